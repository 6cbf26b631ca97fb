# SPDX-License-Identifier: Apache-2.0
"""Build a job's topology with Mininet, shape its links, and read the resulting state back from the kernel."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import resource
from collections.abc import Callable, Iterable
from typing import Any

from mininet.link import Intf, Link
from mininet.log import setLogLevel
from mininet.net import Mininet
from mininet.node import Node
from mininet.nodelib import LinuxBridge
from mininet.topo import Topo

from lab.agent import counters
from lab.agent.process import run
from lab.agent.topology import addressing, links
from lab.agent.topology.addressing import Port
from lab.agent.topology.interfaces import interface_names, read_mtu, read_offloads, set_offloads
from lab.agent.topology.link_programs import LinkPrograms
from lab.agent.topology.management import Management
from lab.agent.topology.netns import network_namespace, read_sysctl, write_sysctl
from lab.job.network import DirectionName
from lab.job.protocol import Change, InterfaceResult, Job, Namespace

_ECN = {"off": "0", "on": "1", "passive": "2"}
_SILENT = "arp off multicast off addrgenmode none"
"""What keeps an interface from sending packets of IPv6's own on the experiment's links.

Without them, IPv6 gives itself a link-local address, asks for routers, looks for duplicates of its addresses, and joins
the groups for neighbour discovery and of all routers, which it announces at random times in MLD reports (RFC 3810).
"""
_GLOBAL_SYSCTLS = (
    "net.core.default_qdisc",
    "net.core.rmem_max",
    "net.core.wmem_max",
    "net.ipv4.tcp_mem",
    "net.ipv4.udp_mem",
)
"""Recorded sysctls that a network namespace does not have, or does not show."""
_BRIDGE = "bridge"
_MOST_DESCRIPTORS = 1024
"""The soft limit of open files for the agent and the programs that it starts."""
RECORDED_SYSCTLS = (
    "net.core.default_qdisc",
    "net.core.netdev_max_backlog",
    "net.core.rmem_max",
    "net.core.wmem_max",
    "net.ipv4.tcp_congestion_control",
    "net.ipv4.tcp_ecn",
    "net.ipv4.tcp_mem",
    "net.ipv4.tcp_min_tso_segs",
    "net.ipv4.tcp_no_metrics_save",
    "net.ipv4.tcp_no_ssthresh_metrics_save",
    "net.ipv4.tcp_notsent_lowat",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_sack",
    "net.ipv4.tcp_slow_start_after_idle",
    "net.ipv4.tcp_timestamps",
    "net.ipv4.tcp_wmem",
    "net.ipv4.udp_mem",
)


class LabInterface(Intf):  # type: ignore[misc]
    """A Mininet interface without addresses: :class:`Network` sets them, because Mininet does not support IPv6."""

    def config(self, **_params: Any) -> dict[str, Any]:
        return {}

    def updateIP(self) -> str | None:  # noqa: N802 - Mininet's name
        return None


class LabLink(Link):  # type: ignore[misc]
    """A veth pair that is shaped by :mod:`lab.agent.topology.links` rather than by Mininet's TCLink.

    The page ``docs/explanation/architecture.md`` explains why.
    """

    def __init__(self, *args: Any, **params: Any) -> None:
        params["intf"] = LabInterface
        super().__init__(*args, **params)


class LabNode(Node):  # type: ignore[misc]
    """A Mininet node with a role: ``host`` or ``router``."""

    def config(self, role: str = "host", protocol: str = "ipv4", **params: Any) -> dict[str, Any]:
        result: dict[str, Any] = super().config(**params)
        with network_namespace(self.pid):
            # The other IP version is switched off, so that nodes send no packets of their own.
            write_sysctl("net.ipv4.ip_forward", "1" if role == "router" else "0")
            # A router has no sockets among which it would have to look for each packet's own.
            write_sysctl("net.ipv4.ip_early_demux", "0" if role == "router" else "1")
            # Echo replies then belong to the socket that asked.  For a raw socket, the kernel delivers a copy of the
            # reply, and reports the reply itself as dropped.
            write_sysctl("net.ipv4.ping_group_range", "0 2147483647")
            for where in ("all", "default"):
                write_sysctl(f"net.ipv6.conf.{where}.disable_ipv6", "1" if protocol == "ipv4" else "0")
        return result


class LabSwitch(LinuxBridge):  # type: ignore[misc]
    """A Linux bridge in its own namespace, without a spanning tree, and without brctl, which Mininet's bridge needs."""

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **{**params, "inNamespace": True})
        with network_namespace(self.pid):
            # A bridge must only forward frames.  IPv6 is switched off before the bridge has interfaces, so that it
            # never sends packets of its own.
            for where in ("all", "default"):
                write_sysctl(f"net.ipv6.conf.{where}.disable_ipv6", "1")

    @classmethod
    def setup(cls) -> None:
        """Do nothing, where Mininet's own method would check that brctl is installed."""

    def start(self, _controllers: Any) -> None:
        """Do nothing: :class:`Network` builds the bridge together with the rest of the node."""

    def stop(self, deleteIntfs: bool = True) -> None:  # noqa: N803 - Mininet's name
        Node.stop(self, deleteIntfs)


class JobTopo(Topo):  # type: ignore[misc]
    """The job's nodes and links as a Mininet topology."""

    def build(self, job: Job, ports: list[Port]) -> None:
        for number, node in enumerate(job["nodes"], 1):
            if node["role"] == "switch":
                # Without a given number, Mininet would derive one from the name and reject names without digits.
                self.addSwitch(node["name"], dpid=f"{number:016x}")
            else:
                self.addHost(node["name"], role=node["role"], protocol=job["ip"], ip=None)
        for a, b in zip(ports[::2], ports[1::2], strict=True):
            self.addLink(a.node, b.node, intfName1=a.interface, intfName2=b.interface, addr1=a.mac, addr2=b.mac)


class Network:
    """The topology of a job.  :meth:`start` builds it and :meth:`stop` takes it down."""

    def __init__(self, job: Job, programs: LinkPrograms | None = None, management: Management | None = None) -> None:
        """Prepare the topology without building it.

        ``programs`` is required for jobs with capacity files or listed losses: see
        :func:`lab.agent.topology.link_programs.needs_programs`.
        """
        self.job = job
        self.ports = addressing.ports(job)
        self.programs = programs
        self._management = management
        self._ifb: dict[str, str] = {}
        self._family = "-6" if job["ip"] == "ipv6" else "-4"
        setLogLevel("warning")
        self.mininet = Mininet(
            topo=JobTopo(job=job, ports=self.ports),
            host=LabNode,
            switch=LabSwitch,
            link=LabLink,
            controller=None,
            build=False,
            waitConnected=False,
        )
        # Mininet's constructor sets some sysctls and limits itself, so these must be set after it.
        self._set_global_sysctls()
        _limit_descriptors()

    def start(self) -> None:
        """Build nodes and links, then configure addresses, routes, offloads and shaping of each node."""
        self.mininet.build()
        if self._management is not None:
            self._management.build({node["name"]: self.pid(node["name"]) for node in self.job["nodes"]})
        table = addressing.routes(self.job, self.ports)
        for node in self.job["nodes"]:
            with network_namespace(self.pid(node["name"])):
                own = self.ports_of(node["name"])
                settings = node.get("settings")
                commands = self._port_commands(own)
                if node["role"] == "switch":
                    commands += self._bridge_commands(own)
                else:
                    self._configure_sysctls()
                    window = settings["initial_window"] if settings else None
                    first = f" initcwnd {window}" if window is not None else ""
                    commands += [
                        f"route add {item.destination} via {item.gateway}{first}" for item in table[node["name"]]
                    ]
                    if window is not None:
                        commands += [
                            f"route replace {port.address.network} dev {port.interface}{first}"
                            for port in own
                            if port.address
                        ]
                for name, value in (settings["sysctls"] if settings else {}).items():
                    write_sysctl(name, value)
                filters: list[str] = []
                if self._management is not None:
                    management, filters = self._management.configure(node["name"], own)
                    commands += management
                run(["ip", self._family, "-batch", "-"], stdin="\n".join(commands))
                if node["role"] == "router" and self._family == "-6":
                    # By now, the interfaces are silent; before, each would have joined the group of all routers.
                    write_sysctl("net.ipv6.conf.all.forwarding", "1")
                if node["role"] == "switch":
                    run(["bridge", "-batch", "-"], stdin="\n".join(self._fdb_commands(node["name"])))
                offloads = settings["offloads"] if settings else None
                for port in own:
                    set_offloads(port.interface, on=self.job["offloads"] if offloads is None else offloads)
                batch = [*filters, *self._tc_commands(own)]
                if settings and settings["queue"]:
                    batch += links.host_queue_commands(self.job, own, settings["queue"])
                if batch:
                    run(["tc", "-batch", "-"], stdin="\n".join(batch))

    def stop(self) -> None:
        """Take the topology down."""
        self.mininet.stop()
        if self._management is not None:
            self._management.remove()

    def pid(self, node: str) -> int:
        """Return the id of the process that holds the node's namespaces."""
        return int(self.mininet[node].pid)

    def address_of(self, node: str) -> str:
        """Return the address by which other nodes reach the node, which is that of its first interface."""
        address = self.ports_of(node)[0].address
        assert address is not None, f"{node} is a switch"
        return str(address.ip)

    def path(self, source: str, destination: str) -> list[Port]:
        """Return the ports through which a packet from *source* to *destination* leaves each node, in order."""
        return addressing.path(self.job, self.ports, source, destination)

    def ports_of(self, node: str) -> list[Port]:
        """Return the node's ports, in the order of its interfaces."""
        return [port for port in self.ports if port.node == node]

    def has_netem(self, port: Port) -> bool:
        """Return whether packets that arrive at the port pass through netem."""
        return port.interface in self._ifb

    def _set_global_sysctls(self) -> None:
        # These two sysctls are global: they cannot be raised inside a node's namespace.
        limit = str(self.job["socket_buffer_bytes"])
        for name in ("net.core.rmem_max", "net.core.wmem_max"):
            if int(read_sysctl(name)) < int(limit):
                # An agent that runs in a namespace of its own may not change them, but it can always set tcp_rmem and
                # tcp_wmem, which are per namespace.
                with contextlib.suppress(PermissionError):
                    write_sysctl(name, limit)

    def _configure_sysctls(self) -> None:
        limit = self.job["socket_buffer_bytes"]
        write_sysctl("net.ipv4.tcp_no_metrics_save", "1")
        write_sysctl("net.ipv4.tcp_ecn", _ECN[self.job["ecn"]])
        write_sysctl("net.ipv4.tcp_rmem", f"4096 131072 {limit}")
        write_sysctl("net.ipv4.tcp_wmem", f"4096 16384 {limit}")

    def _port_commands(self, own: Iterable[Port]) -> list[str]:
        commands = []
        for port in own:
            if links.arriving(self.job, port)["netem"] is not None:
                ifb = links.ifb_name(len([name for name in self._ifb if name.startswith(f"{port.node}-")]))
                self._ifb[port.interface] = ifb
                commands += [
                    f"link add name {ifb} numtxqueues 1 type ifb",
                    f"link set dev {ifb} addrgenmode none",
                    f"link set dev {ifb} up",
                ]
            if self._family == "-6" and port.address is not None:
                # Mininet has set the interface up already, which gave it a link-local address; down, it loses that.
                commands.append(f"link set dev {port.interface} down")
                # A command that also says "up" would set the interface up first.
                commands.append(f"link set dev {port.interface} {_SILENT}")
            commands.append(f"link set dev {port.interface} mtu {self.job['mtu']} up")
            if port.address is None:
                continue
            commands.append(f"address add {port.address} dev {port.interface}")
            # Static neighbour entries avoid address resolution, whose packets would be counted as traffic.
            for other in addressing.neighbours(self.ports, port):
                assert other.address is not None
                commands.append(
                    f"neighbour replace {other.address.ip} lladdr {other.mac} dev {port.interface} nud permanent"
                )
        return commands

    def _bridge_commands(self, own: Iterable[Port]) -> list[str]:
        return [
            f"link add name {_BRIDGE} mtu {self.job['mtu']} type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
            *(f"link set dev {port.interface} master {_BRIDGE}" for port in own),
            f"link set dev {_BRIDGE} up",
        ]

    def _fdb_commands(self, node: str) -> list[str]:
        """Return ``bridge -batch`` lines for a static forwarding table, so that the switch never floods or learns."""
        return [
            f"fdb replace {mac} dev {interface} master static"
            for mac, interface in addressing.forwarding(self.job, self.ports, node)
        ]

    def _tc_commands(self, own: Iterable[Port]) -> list[str]:
        batch = []
        for port in own:
            leaves, arrives = self.programs.commands(port) if self.programs else ([], [])
            batch += leaves or links.rate_commands(port.interface, links.leaving(self.job, port), self.job["mtu"])
            netem = links.arriving(self.job, port)["netem"]
            if netem is not None:
                first, *rest = links.netem_commands(port.interface, self._ifb[port.interface], netem)
                batch += [first, *arrives, *rest]
            elif arrives:
                batch += [links.ingress_command(port.interface), *arrives]
        return batch

    def renew_queues(self) -> None:
        """Replace the queues that remember earlier packets, such as those of the calibration, by new ones."""
        for node in self.job["nodes"]:
            batch = [
                command
                for port in self.ports_of(node["name"])
                for command in links.fresh_queue_commands(port.interface, links.leaving(self.job, port))
            ]
            if batch:
                with network_namespace(self.pid(node["name"])):
                    run(["tc", "-batch", "-"], stdin="\n".join(batch))

    def changes(self) -> list[tuple[int, Callable[[], None]]]:
        """Return (time in ns from the start of traffic, function that applies it) for each scheduled change of a link.

        The list is sorted by time.  Changes of the same node at the same time are combined.
        """
        # The commands are made in advance, because this takes virtual time in a virtual machine.
        return [
            (at_ns, functools.partial(self._shape, node, batch))
            for (at_ns, node), batch in sorted(self._change_batches(self.ports).items())
            if batch
        ]

    def apply_changes(self, at_ns: int, of: tuple[str, DirectionName] | None = None) -> None:
        """Apply all changes that are scheduled for ``at_ns``; with *of*, those of this direction of a link only."""
        ports = [port for port in self.ports if of is None or (port.link, port.direction) == of]
        for (when_ns, node), batch in sorted(self._change_batches(ports).items()):
            if when_ns == at_ns and batch:
                self._shape(node, batch)

    def replace_changes(self, link: str, way: DirectionName, changes: list[Change]) -> None:
        """Replace the scheduled changes of one direction of a link, whose times may be among those of the job."""
        (found,) = (known for known in self.job["links"] if known["name"] == link)
        found[way]["changes"] = changes

    def _change_batches(self, ports: Iterable[Port]) -> dict[tuple[int, str], list[str]]:
        """Return (time of a change, node) → ``tc -batch`` lines, for what leaves through *ports*."""
        batches: dict[tuple[int, str], list[str]] = {}
        for port in ports:
            receiver = next(other for other in self.ports if other.link == port.link and other != port)
            for change in links.leaving(self.job, port)["changes"]:
                ifb = self._ifb.get(receiver.interface)
                leaving, arriving = links.change_commands(port.interface, ifb, change, self.job["mtu"])
                batches.setdefault((change["at_ns"], port.node), []).extend(leaving)
                batches.setdefault((change["at_ns"], receiver.node), []).extend(arriving)
        return batches

    def _shape(self, node: str, batch: list[str]) -> None:
        with network_namespace(self.pid(node)):
            run(["tc", "-batch", "-"], stdin="\n".join(batch))

    def read_qdiscs(self) -> dict[str, list[dict[str, Any]]]:
        """Return node → output of ``tc -j -s qdisc show``."""
        result = {}
        for node in self.job["nodes"]:
            with network_namespace(self.pid(node["name"])):
                result[node["name"]] = json.loads(run(["tc", "-j", "-s", "qdisc", "show"]))
        return result

    def read_counters(self) -> dict[str, dict[str, int]]:
        """Return node → the kernel's protocol counters of the node's namespace."""
        result = {}
        for node in self.job["nodes"]:
            with network_namespace(self.pid(node["name"])):
                result[node["name"]] = counters.read_counters()
        return result

    def interfaces(
        self, before: dict[str, list[dict[str, Any]]], after: dict[str, list[dict[str, Any]]]
    ) -> list[InterfaceResult]:
        """Return the state of every interface, read back from the kernel, with its qdiscs before and after traffic."""
        result: list[InterfaceResult] = []
        for port in self.ports:
            with network_namespace(self.pid(port.node)):
                offloads, mtu = read_offloads(port.interface), read_mtu(port.interface)
            result.append(_interface(port, "egress", port.interface, offloads, mtu, before, after))
            ifb = self._ifb.get(port.interface)
            if ifb is not None:
                result.append(_interface(port, "ingress", ifb, {}, mtu, before, after))
        return result

    def namespaces(self) -> list[Namespace]:
        """Return the numbers by which kernel events identify each node's namespace and its interfaces."""
        found: list[Namespace] = []
        for node in self.job["nodes"]:
            with network_namespace(self.pid(node["name"])):
                interfaces = interface_names()
            found.append(
                {
                    "node": node["name"],
                    "number": os.stat(f"/proc/{self.pid(node['name'])}/ns/net").st_ino,
                    "interfaces": {str(index): name for index, name in interfaces.items()},
                }
            )
        return found

    def places(self) -> dict[tuple[str, str], tuple[int, int]]:
        """Return (node, interface) → the numbers of its namespace and of the interface, as kernel events have them."""
        return {
            (space["node"], name): (space["number"], int(index))
            for space in self.namespaces()
            for index, name in space["interfaces"].items()
        }

    def read_sysctls(self, node: str) -> dict[str, str]:
        """Return the values of :data:`RECORDED_SYSCTLS` on *node*; sysctls that cannot be read are left out."""
        with network_namespace(self.pid(node)):
            values = {}
            for name in RECORDED_SYSCTLS:
                try:
                    values[name] = read_sysctl(name)
                except OSError:
                    continue  # The kernel does not have it, or (net.core.*) does not show it inside a namespace.
        for name in _GLOBAL_SYSCTLS:
            # An agent that runs in a namespace of its own cannot see all of these global sysctls either.
            with contextlib.suppress(OSError):
                values.setdefault(name, read_sysctl(name))
        return values


def _limit_descriptors() -> None:
    """Lower the soft limit of open files, which Mininet has raised to 16384.

    mnexec, with which Mininet starts everything in a node, closes as many descriptors one by one as there may be.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, _MOST_DESCRIPTORS), hard))


def _interface(
    port: Port,
    role: Any,
    name: str,
    offloads: dict[str, bool],
    mtu: int,
    before: dict[str, list[dict[str, Any]]],
    after: dict[str, list[dict[str, Any]]],
) -> InterfaceResult:
    return {
        "node": port.node,
        "interface": name,
        "link": port.link,
        "role": role,
        "offloads": offloads,
        "mtu": mtu,
        "qdiscs_before": [qdisc for qdisc in before[port.node] if qdisc.get("dev") == name],
        "qdiscs_after": [qdisc for qdisc in after[port.node] if qdisc.get("dev") == name],
    }
