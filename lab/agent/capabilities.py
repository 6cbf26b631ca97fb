# SPDX-License-Identifier: Apache-2.0
"""Find out what this machine's kernel and packages offer for trials in real time.

Each feature is tried out rather than looked up.  The program must therefore run as root in new network, mount and
process namespaces, where its attempts cannot disturb the host.

``python3 -m lab.agent.capabilities [JOB.json …]`` prints a JSON list of :class:`Capability`.  With jobs, the list
covers only what these jobs need; without, it covers everything that any experiment may need.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from lab.agent.collectors.btf import KernelTypes, TypesError
from lab.agent.collectors.registry import ALWAYS, RECORDERS
from lab.agent.collectors.support import try_one
from lab.agent.process import CommandError, run
from lab.agent.topology.management import iperf3_hosts
from lab.job.bpf_sources import BPF_SOURCES
from lab.job.kernels import ALGORITHMS
from lab.job.protocol import Direction, Job

_COMMANDS = {
    "ip": "iproute2",
    "tc": "iproute2",
    "bridge": "iproute2",
    "ping": "iputils-ping",
    "iperf3": "iperf3",
    "mnexec": "mininet",
}
_MODULES = {"mininet": "mininet", "bcc": "python3-bpfcc"}
_LINKS = ("veth", "bridge", "ifb")
_DISCIPLINES = (
    "tbf", "netem", "bfifo", "pfifo", "codel", "fq_codel", "fq", "pie", "fq_pie", "red", "sfq", "cake",
)  # fmt: skip
_ARGUMENTS = {
    "tbf": "rate 10mbit burst 2000 limit 20000",
    "bfifo": "limit 10000",
    "pfifo": "limit 10",
    "red": "limit 100000 avpkt 1000",
}


@dataclass(frozen=True)
class Capability:
    """A command, Python module, kernel feature or collector that a trial may need, and whether it works here."""

    kind: str
    name: str
    works: bool
    why: str
    """The reason why it does not work; empty if it works."""
    fix: str
    """What the user can do to make it work; empty if it works or if nothing can be done."""


def everything() -> list[tuple[str, str]]:
    """Return (kind, name) of every capability that an experiment may need."""
    return [
        *(("command", name) for name in _COMMANDS),
        *(("Python module", name) for name in _MODULES),
        *(("device", name) for name in _LINKS),
        *(("qdisc", name) for name in _DISCIPLINES),
        ("filter", "matchall"),
        ("filter", "bpf"),
        *(("congestion control", name) for name in ALGORITHMS),
        ("your own congestion control", "struct_ops"),
        *(("collector", name) for name in RECORDERS),
    ]


def needed(job: Job) -> list[tuple[str, str]]:
    """Return (kind, name) of every capability that *job* needs, without duplicates."""
    found = [("command", name) for name in _COMMANDS]
    found += [("Python module", "mininet"), ("Python module", "bcc"), ("device", "veth"), ("filter", "bpf")]
    if any(node["role"] == "switch" for node in job["nodes"]) or iperf3_hosts(job["flows"]):
        found.append(("device", "bridge"))
    directions = [direction for link in job["links"] for direction in (link["ab"], link["ba"])]
    if any(direction["netem"] for direction in directions):
        found += [("device", "ifb"), ("qdisc", "netem"), ("filter", "matchall")]
    found += [("qdisc", name) for direction in directions for name in _disciplines(direction)]
    queues = [node["settings"]["queue"] for node in job["nodes"] if "settings" in node]
    found += [("qdisc", queue["discipline"]) for queue in queues if queue]
    own = {algorithm["name"] for algorithm in job.get("algorithms", ())}
    found += [("your own congestion control", "struct_ops")] if own else []
    algorithms = [flow["congestion_control"] for flow in job["flows"] if flow["protocol"] == "tcp"]
    found += [("congestion control", name) for name in algorithms if name not in own]
    found += [("collector", name) for name in (*ALWAYS, *job["collectors"])]
    return list(dict.fromkeys(found))


def _disciplines(direction: Direction) -> list[str]:
    if direction["capacity"] is not None:
        return ["fq"]
    return ["tbf", direction["queue"]["discipline"]] if direction["queue"] is not None else []


def examine(wanted: Iterable[tuple[str, str]]) -> Iterator[Capability]:
    """Try out each (kind, name) of *wanted* and yield the result."""
    for kind, name in wanted:
        why = _TRIALS[kind](name)
        yield Capability(kind, name, not why, why, _fix(kind, name) if why else "")


def _fix(kind: str, name: str) -> str:
    if kind == "command":
        return f"install the package {_COMMANDS[name]}"
    if kind == "Python module":
        return f"install the package {_MODULES[name]}"
    if kind == "collector":
        return ""
    if kind == "your own congestion control":
        return "use a kernel built with CONFIG_BPF_JIT, CONFIG_BPF_SYSCALL and CONFIG_DEBUG_INFO_BTF, or engine: vm"
    options = {
        "device": {"veth": "VETH", "bridge": "BRIDGE", "ifb": "IFB"},
        "filter": {"matchall": "NET_CLS_MATCHALL and NET_ACT_MIRRED", "bpf": "NET_CLS_BPF"},
    }.get(kind, {})
    option = options.get(name) or (f"NET_SCH_{name.upper()}" if kind == "qdisc" else f"TCP_CONG_{name.upper()}")
    return f"use a kernel built with CONFIG_{option}, or install the module that this option builds"


def _command(name: str) -> str:
    return "" if shutil.which(name) else "not installed"


def _module(name: str) -> str:
    return "" if importlib.util.find_spec(name) else f"not installed for {sys.executable}"


def _device(name: str) -> str:
    peer = " peer name labtest1" if name == "veth" else ""
    return _tried(f"ip link add labtest0 type {name}{peer}", "ip link delete labtest0")


def _qdisc(name: str) -> str:
    return _tried(
        f"tc qdisc add dev lo root handle 9: {name} {_ARGUMENTS.get(name, '')}", "tc qdisc delete dev lo root"
    )


def _filter(name: str) -> str:
    # This is the shortest possible classic BPF program: a single BPF_RET of 0, which matches no packet.
    arguments = {"bpf": "bpf bytecode '1,6 0 0 0,'", "matchall": "matchall action mirred egress redirect dev lo"}[name]
    return _tried("tc qdisc replace dev lo clsact", "") or _tried(
        f"tc filter add dev lo ingress protocol all {arguments}", "tc qdisc delete dev lo clsact"
    )


def _congestion_control(name: str) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            # Setting the option makes the kernel load the algorithm's module if it exists.
            probe.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name.encode())
        except OSError as exc:
            return f"the kernel does not have it ({exc.strerror})"
    return ""


def _struct_ops(_name: str) -> str:
    try:
        # The structure exists in a kernel that can register a program as a congestion control.
        found = KernelTypes().places("bpf_struct_ops_tcp_congestion_ops", ["data"])
    except TypesError as exc:
        return str(exc)
    return "" if found else "the kernel cannot register BPF programs as a congestion control"


def _collector(name: str) -> str:
    support = try_one(RECORDERS[name], BPF_SOURCES)
    return "" if support.works else support.why


def _tried(command: str, undo: str) -> str:
    """Run *command*, then *undo*; return the error message of whichever failed, or an empty string.

    An empty *undo* is skipped.
    """
    try:
        run(["sh", "-c", command])
        if undo:
            run(["sh", "-c", undo])
    except CommandError as exc:
        message = str(exc).rpartition("Error: ")[2]
        return message.partition(" We have an error")[0]
    return ""


_TRIALS: dict[str, Callable[[str], str]] = {
    "command": _command,
    "Python module": _module,
    "device": _device,
    "qdisc": _qdisc,
    "filter": _filter,
    "congestion control": _congestion_control,
    "your own congestion control": _struct_ops,
    "collector": _collector,
}


def main(arguments: list[str]) -> None:
    jobs: list[Job] = [json.loads(Path(name).read_text(encoding="utf-8")) for name in arguments]
    wanted = dict.fromkeys(capability for job in jobs for capability in needed(job)) if jobs else everything()
    json.dump([asdict(capability) for capability in examine(wanted)], sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
