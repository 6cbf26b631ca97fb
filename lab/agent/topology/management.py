# SPDX-License-Identifier: Apache-2.0
"""A management link between hosts, on which iperf3's control traffic travels, and the programs that send it there.

The experiment's path never sees this traffic.  ``bpf/control.bpf.c`` explains what the programs do.
"""

from __future__ import annotations

import contextlib
import ctypes
import ipaddress
import socket
from collections.abc import Iterable, Sequence

from lab.agent.collectors.loader import Programs
from lab.agent.process import CommandError, run
from lab.agent.topology.addressing import Port
from lab.agent.topology.netns import write_sysctl
from lab.agent.topology.pins import Pins
from lab.job.protocol import MANAGEMENT_INTERFACE as INTERFACE
from lab.job.protocol import Flow, Job

_BRIDGE = "mgmtbr"
_MTU = 65535

FILTER_PRIORITY = 1
"""The programs come before all other filters at the egress of an interface."""


def iperf3_hosts(flows: Iterable[Flow]) -> list[str]:
    """Return the hosts at which iperf3 runs, each once."""
    ends = [flow[end] for flow in flows if flow["arrivals"] is None for end in ("source", "destination")]
    return list(dict.fromkeys(ends))


def offers_fq() -> bool:
    """Return whether the kernel has the qdisc fq, which can hold packets until a given time."""
    try:
        run(["tc", "qdisc", "add", "dev", "lo", "root", "fq"])
        run(["tc", "qdisc", "delete", "dev", "lo", "root"])
    except CommandError:
        return False
    return True


class Management:
    """The management link of a job's hosts.

    The link consists of a veth pair for each host and a bridge in the namespace of the agent.  It has no addresses:
    the program at the egress of a host's own interfaces writes the Ethernet address of the other host's management
    interface into a packet and redirects it.
    """

    def __init__(self, job: Job, programs: Programs, *, can_hold: bool) -> None:
        """Load the programs; with ``can_hold``, packets that start a flow can be held until its declared start."""
        self.can_hold = can_hold
        self._hosts = iperf3_hosts(job["flows"])
        self._all_hosts = [node["name"] for node in job["nodes"] if node["role"] == "host"]
        self._programs = programs
        self._is_built = False
        self._pins = Pins()
        self._leave = self._pins.pin("accounts_leave", programs.classifier("accounts_leave"))
        self._gate = self._pins.pin("control_gate", programs.classifier("control_gate"))

    def build(self, pids: dict[str, int]) -> None:
        """Create the bridge and each host's interface; ``pids`` are the processes that hold the hosts' namespaces."""
        if not self._hosts:
            return
        bridge = "type bridge stp_state 0 forward_delay 0 mcast_snooping 0"
        commands = [f"link add name {_BRIDGE} mtu {_MTU} {bridge}", f"link set dev {_BRIDGE} up"]
        # A bridge has nothing to say of its own; IPv6 would announce its groups.
        with contextlib.suppress(FileNotFoundError):
            write_sysctl("net.ipv6.conf.default.disable_ipv6", "1")
        entries = []
        for number, host in enumerate(self._hosts):
            outer, mac = f"{INTERFACE}{number}", _mac(number)
            commands += [
                f"link add name {outer} mtu {_MTU} type veth "
                f"peer name {INTERFACE} mtu {_MTU} address {mac} netns {pids[host]}",
                f"link set dev {outer} master {_BRIDGE} up",
            ]
            entries += [f"link set dev {outer} learning off", f"fdb replace {mac} dev {outer} master static"]
        run(["ip", "-batch", "-"], stdin="\n".join(commands))
        self._is_built = True
        run(["bridge", "-batch", "-"], stdin="\n".join(entries))

    def configure(self, host: str, own: Sequence[Port]) -> tuple[list[str], list[str]]:
        """Return ``ip -batch`` and ``tc -batch`` lines for a host; must be called in its network namespace."""
        if host not in self._all_hosts:
            return [], []
        links: list[str] = []
        filters: list[str] = []
        for port in own:
            filters += [
                f"qdisc replace dev {port.interface} clsact",
                f"filter add dev {port.interface} egress protocol all prio {FILTER_PRIORITY} "
                f"bpf object-pinned {self._leave} direct-action",
            ]
        if host in self._hosts:
            # Replies arrive at an interface that has no route to their source.
            for interface in ("all", INTERFACE):
                write_sysctl(f"net.ipv4.conf.{interface}.rp_filter", "0")
            self._declare(host, own)
            links.append(f"link set dev {INTERFACE} up")
            if self.can_hold:
                # fq holds each packet until the time that the program writes into it.
                fq = "fq limit 100000 flow_limit 100000 nopacing horizon 1000s"
                filters.append(f"qdisc add dev {INTERFACE} root handle 1: {fq}")
            filters += [
                f"qdisc add dev {INTERFACE} clsact",
                f"filter add dev {INTERFACE} egress protocol all prio {FILTER_PRIORITY} "
                f"bpf object-pinned {self._gate} direct-action",
            ]
        return links, filters

    def remove(self) -> None:
        """Remove the bridge; the other interfaces vanish with the hosts' namespaces."""
        if self._is_built:
            self._is_built = False
            run(["ip", "link", "delete", "dev", _BRIDGE])

    def close(self) -> None:
        """Remove the names of the programs."""
        self._pins.close()

    def _declare(self, host: str, own: Sequence[Port]) -> None:
        """Tell the programs the host's addresses and its management interface."""
        table = self._programs.table("control_hosts")
        value = table.Leaf()
        value.ifindex = socket.if_nametoindex(INTERFACE)
        value.mac[:] = bytes.fromhex(_mac(self._hosts.index(host)).replace(":", ""))
        for port in own:
            if port.address is not None:
                key = table.Key()
                key.half[0], key.half[1] = _halves(str(port.address.ip))
                table[key] = value


def _mac(number: int) -> str:
    return f"02:00:01:00:{number >> 8:02x}:{number & 255:02x}"


def _halves(address: str) -> tuple[int, int]:
    """Return an address as the programs store it: two words, in the order of memory, of an IPv6 address."""
    parsed = ipaddress.ip_address(address)
    raw = parsed.packed if parsed.version == 6 else bytes(10) + b"\xff\xff" + parsed.packed
    words = (ctypes.c_uint64 * 2).from_buffer_copy(raw)
    return int(words[0]), int(words[1])
