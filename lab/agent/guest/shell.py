# SPDX-License-Identifier: Apache-2.0
"""Build a job's topology and open Mininet's command line on the console of the virtual machine.

This runs in the guest's first process, instead of a trial, for exploring a topology by hand.  Nothing is measured, and
the machine runs in real time.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from lab.agent.algorithms.register import register_all
from lab.agent.process import run
from lab.agent.topology.addressing import ports
from lab.agent.topology.link_programs import LinkPrograms, needs_programs
from lab.agent.topology.network import Network
from lab.agent.traffic.iperf3 import ends
from lab.job.bpf_sources import BPF_SOURCES
from lab.job.protocol import Flow, Job

JOB = Path("/run/lab/job.json")
OPTION = "lab.shell"
"""The kernel parameter that asks for a shell; its value is the terminal's size in lines and columns, as in
``lab.shell=24x80``."""

_CONSOLE = "/dev/ttyS0"
_HOSTS = Path("/run/hosts")


def asked_for() -> tuple[int, int] | None:
    """Return the terminal's (lines, columns) if the kernel's command line asks for a shell, otherwise None."""
    for word in Path("/proc/cmdline").read_text(encoding="ascii").split():
        if word.startswith(f"{OPTION}="):
            lines, _, columns = word.partition("=")[2].partition("x")
            return int(lines), int(columns)
    return None


def main(size: tuple[int, int]) -> NoReturn:
    """Run the shell in a terminal of *size* (lines, columns).

    This function never returns: when the shell ends, the machine reboots, on which QEMU exits.
    """
    child = os.fork()
    if child == 0:
        status = 1
        try:
            _take_terminal(size)
            with contextlib.ExitStack() as stack:
                _serve(json.loads(JOB.read_text(encoding="utf-8")), stack)
            status = 0
        except BaseException as error:
            print(f"lab shell: {type(error).__name__}: {error}", file=sys.stderr)
        finally:
            os._exit(status)
    # The first process of a machine inherits orphaned processes and must wait for them.
    while os.wait()[0] != child:
        pass
    subprocess.run(["busybox", "reboot", "-f"], check=False)
    while True:
        os.wait()


def _take_terminal(size: tuple[int, int]) -> None:
    os.setsid()
    console = os.open(_CONSOLE, os.O_RDWR)
    fcntl.ioctl(console, termios.TIOCSCTTY, 0)
    termios.tcsetwinsize(console, size)
    for descriptor in (0, 1, 2):
        os.dup2(console, descriptor)
    os.environ["TERM"] = "linux"


def _serve(job: Job, stack: contextlib.ExitStack) -> None:
    from mininet.cli import CLI
    from mininet.log import setLogLevel

    # A process must hold the links of algorithms, or the kernel would remove them.
    register_all(job, stack)
    own = [one["name"] for one in job.get("algorithms", ())]
    programs = LinkPrograms(BPF_SOURCES, job, ports(job)) if needs_programs(job) else None
    network = Network(job, programs)
    # /etc/hosts must be in place before the nodes get mount namespaces of their own.
    addresses = {node["name"]: network.address_of(node["name"]) for node in job["nodes"] if node["role"] != "switch"}
    _name(addresses)
    network.start()
    for flow in job["flows"]:
        _client, server = ends(flow)
        network.mininet[server].cmd(f"iperf3 --server --daemon --port {flow['port']}")
    if programs is not None:
        programs.begin(time.monotonic_ns())
    setLogLevel("output")  # At a lower level, Mininet would not show the output of commands.
    print(_greeting(job, own))
    CLI(network.mininet)


def _name(addresses: dict[str, str]) -> None:
    """Let every program resolve the names of nodes.

    The image is read-only, so a file with the names is mounted over /etc/hosts.
    """
    _HOSTS.write_text("".join(f"{address} {name}\n" for name, address in addresses.items()), encoding="ascii")
    run(["mount", "--bind", str(_HOSTS), "/etc/hosts"])


def _greeting(job: Job, own: Sequence[str]) -> str:
    lines = []
    for role in ("host", "router", "switch"):
        names = [node["name"] for node in job["nodes"] if node["role"] == role]
        if names:
            lines.append(f"{role + 's:':<9} {' '.join(names)}")
    pairs = [f"{link['a']}–{link['b']}" for link in job["links"]]
    lines += [
        f"links:    {' '.join(pairs)}",
        *(["your own congestion control is registered: " + " ".join(own)] if own else []),
        "To run a command on a node, type the node's name in front of it.",
        "The iperf3 servers of the experiment's flows are running:",
        *(f"  {_command(flow)}" for flow in job["flows"][:4]),
        "  r1 tc -s qdisc        s1 ping -c 3 d1        s1 ss -ti",
        "Type help for Mininet's own commands, and exit to shut the machine down.",
    ]
    return "\n".join(lines)


def _command(flow: Flow) -> str:
    node, peer = ends(flow)
    reverse = " --reverse" if flow["initiator"] == "destination" else ""
    control = (
        f" --udp --bitrate {flow['rate_bps']}" if flow["protocol"] == "udp" else f" -C {flow['congestion_control']}"
    )
    return f"{node} iperf3 -c {peer} -p {flow['port']}{control}{reverse} -t 10"
