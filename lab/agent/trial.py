# SPDX-License-Identifier: Apache-2.0
"""Run one job on the local kernel and write its record to a directory."""

from __future__ import annotations

import contextlib
import json
import os
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.agent.algorithms.errors import AlgorithmError
from lab.agent.algorithms.register import register_all
from lab.agent.algorithms.trace import AlgorithmTrace
from lab.agent.collectors.loader import Programs
from lab.agent.collectors.trial_recorders import TrialRecorders
from lab.agent.congestion import load_congestion_control, set_module_parameters
from lab.agent.counters import counted_between
from lab.agent.machine_use import MachineUse
from lab.agent.process import run
from lab.agent.topology.addressing import ports
from lab.agent.topology.calibrate import calibrate
from lab.agent.topology.link_programs import LinkPrograms, needs_programs
from lab.agent.topology.management import Management, offers_fq
from lab.agent.topology.network import Network
from lab.agent.traffic.accounts import Accounts
from lab.agent.traffic.latency_probes import Latency
from lab.agent.traffic.on_the_way import OnTheWay
from lab.agent.traffic.schedule import Traffic
from lab.agent.watched import Nobody, Onlooker
from lab.job.accounts import FlowAccounts
from lab.job.bpf_sources import BPF_SOURCES
from lab.job.protocol import (
    ALGORITHM_LOG,
    PROTOCOL_FORMAT,
    CollectorResult,
    Cpu,
    InterfaceResult,
    Job,
    PathCalibration,
    Pressure,
    Record,
)

_KERNEL = "linux-image"
_VERSIONED = ("iperf3", "iproute2", _KERNEL, "mininet", "python3-bpfcc", "iputils-ping", "ethtool")

_SETTLE_S = 0.5
"""Pause between calibration and traffic, in seconds, in which the last calibration packets arrive."""


class Log:
    """``log.txt`` of the record: one line per step, each with the time of CLOCK_MONOTONIC in seconds."""

    def __init__(self, path: Path, say: Callable[[str], None]) -> None:
        """Create the file; each message is passed to *say*, too."""
        self._file = open(path, "w", encoding="utf-8", buffering=1)  # noqa: SIM115 - closed in close()
        self._say = say

    def __call__(self, message: str) -> None:
        self._file.write(f"{time.monotonic():12.6f} {message}\n")
        self._say(message)

    def close(self) -> None:
        self._file.close()


def run_trial(
    job: Job,
    programs: Programs,
    directory: Path,
    progress: Callable[[int], None],
    *,
    engine: str,
    onlooker: Onlooker | None = None,
) -> Record:
    """Run ``job`` and leave ``record.json``, with every file that it names, in ``directory``.

    A trial that fails leaves a record, too: its ``status`` is ``failed`` and its ``error`` is the reason.  While
    traffic runs, ``progress`` is called at least once a second with the time since the start of traffic, in ns.
    """
    onlooker = onlooker or Nobody()
    log = Log(directory / "log.txt", onlooker.say)
    try:
        record = _run(job, programs, directory, progress, log, engine, onlooker)
    except Exception as exc:
        if isinstance(exc, AlgorithmError):
            (directory / ALGORITHM_LOG).write_text(exc.said, encoding="utf-8")
        log(f"failed: {exc}")
        log(traceback.format_exc())
        record = _failed(str(exc) or type(exc).__name__, traceback.format_exc(), engine)
    finally:
        log.close()
    text = json.dumps(record, indent=1, sort_keys=True)
    (directory / "record.json").write_text(text + "\n", encoding="utf-8")
    return record


def _run(
    job: Job,
    programs: Programs,
    directory: Path,
    progress: Callable[[int], None],
    log: Log,
    engine: str,
    onlooker: Onlooker,
) -> Record:
    if job["format"] != PROTOCOL_FORMAT:
        raise ValueError(f"the job has format {job['format']}; this agent expects format {PROTOCOL_FORMAT}")
    with contextlib.ExitStack() as stack:
        algorithms = register_all(job, stack)
        for own in job.get("algorithms", ()):
            log(f"the algorithm {own['name']} is registered")
        offered = _prepare_congestion_control(job)
        links = _load_links(job, stack, log)
        management = Management(job, programs, can_hold=engine != "native" or offers_fq())
        stack.callback(management.close)
        network = _build(job, links, management, stack, log)
        calibration = _calibrate(network, log)
        recorders = TrialRecorders(network, programs, directory, log)
        rtt_ns = {(path["source"], path["destination"]): path["max_rtt_ns"] or 0 for path in calibration}
        accounts = Accounts(network, programs, directory, max(rtt_ns.values()))
        measured = _run_traffic(
            network,
            links,
            recorders,
            accounts,
            OnTheWay(network, programs, directory),
            AlgorithmTrace(algorithms, directory),
            rtt_ns if management.can_hold else None,
            directory,
            progress,
            with_pressure=engine == "native",
            stack=stack,
            log=log,
            onlooker=onlooker,
        )
        return {
            "format": PROTOCOL_FORMAT,
            "engine": engine,
            "status": "ok",
            "traffic_start_ns": measured.traffic.start_ns,
            "traffic_end_ns": measured.traffic.end_ns,
            "kernel": os.uname().release,
            "versions": read_versions(),
            "sysctls": network.read_sysctls(job["flows"][0]["source"]),
            "available_congestion_control": offered,
            "flows": measured.traffic.results(measured.accounts),
            "interfaces": measured.counters.interfaces(),
            "namespaces": network.namespaces(),
            "counters": measured.counters.nodes(),
            "calibration": calibration,
            "cpu": measured.cpu,
            "pressure": measured.pressure,
            "collectors": measured.collected,
        }


@dataclass(frozen=True)
class _Measured:
    """What has been measured by the end of traffic."""

    traffic: Traffic
    counters: _Counters
    cpu: Cpu
    pressure: Pressure | None
    collected: dict[str, CollectorResult]
    accounts: list[FlowAccounts]


def _run_traffic(
    network: Network,
    links: LinkPrograms | None,
    recorders: TrialRecorders,
    accounts: Accounts,
    on_the_way: OnTheWay,
    trace: AlgorithmTrace,
    rtt_ns: Mapping[tuple[str, str], int] | None,
    directory: Path,
    progress: Callable[[int], None],
    *,
    with_pressure: bool,
    stack: contextlib.ExitStack,
    log: Log,
    onlooker: Onlooker,
) -> _Measured:
    """Run all flows and probes while the collectors record; the processes that they start are stopped by *stack*."""

    def on_tick(now_ns: int) -> int:
        recorders.drain(now_ns)
        accounts.drain(now_ns)
        on_the_way.drain(now_ns)
        trace.drain(now_ns)
        progress(now_ns)
        next_ns = min(one.drain_by(now_ns) for one in (recorders, accounts, on_the_way, trace))
        return onlooker.tick(now_ns, next_ns)

    traffic = Traffic(network, accounts, directory, on_tick, tick_ns=onlooker.tick_ns)
    stack.callback(traffic.stop)
    traffic.wait_until_ready()
    latency = Latency(network, directory)
    stack.callback(latency.stop)
    counters = _Counters(network)
    accounts.start()
    on_the_way.start()
    recorders.start()
    trace.start()
    log("traffic starts")
    machine = MachineUse(with_pressure=with_pressure)
    changes = [(0, machine.begin), *onlooker.changes(network)]

    def on_start(start_ns: int) -> None:
        if links is not None:
            links.begin(start_ns)
        latency.begin(start_ns)
        on_the_way.begin(start_ns)
        own = [] if trace.is_empty else [trace]
        onlooker.begin(network, [*recorders.rings, *accounts.rings, *on_the_way.rings, *own], start_ns)

    traffic.run(rtt_ns, changes, on_start)
    cpu, pressure = machine.end()
    log("traffic has ended")
    accounts.settle()
    collected = recorders.stop(traffic.end_ns) | trace.stop(traffic.end_ns) | latency.results() | traffic.completions()
    counters.read()
    results, counted = accounts.stop(traffic.end_ns)
    results |= on_the_way.stop(traffic.end_ns)
    return _Measured(traffic, counters, cpu, pressure, collected | results, counted)


def _prepare_congestion_control(job: Job) -> list[str]:
    """Load the algorithms that the job uses, set their parameters, and return all algorithms that the kernel offers."""
    wanted = {flow["congestion_control"] for flow in job["flows"] if flow["protocol"] == "tcp"}
    offered = load_congestion_control(wanted | job["congestion_control_parameters"].keys())
    set_module_parameters(job["congestion_control_parameters"])
    return offered


def _load_links(job: Job, stack: contextlib.ExitStack, log: Log) -> LinkPrograms | None:
    """Load the BPF programs of links that need them; *stack* removes them again."""
    if not needs_programs(job):
        return None
    links = LinkPrograms(BPF_SOURCES, job, ports(job))
    stack.callback(links.close)
    log("the BPF programs of the links are loaded")
    return links


def _build(
    job: Job, links: LinkPrograms | None, management: Management, stack: contextlib.ExitStack, log: Log
) -> Network:
    """Build the topology; *stack* takes it down again."""
    network = Network(job, links, management)
    stack.callback(network.stop)
    network.start()
    log("topology is up")
    return network


def _calibrate(network: Network, log: Log) -> list[PathCalibration]:
    calibration = calibrate(network)
    time.sleep(_SETTLE_S)
    network.renew_queues()
    log("calibrated")
    return calibration


class _Counters:
    """The counters of qdiscs and nodes before and after the traffic."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._qdiscs_before, self._nodes_before = network.read_qdiscs(), network.read_counters()
        self._qdiscs_after: dict[str, list[dict[str, Any]]] = {}
        self._nodes_after: dict[str, dict[str, int]] = {}

    def read(self) -> None:
        """Read the counters after the traffic."""
        self._nodes_after = self._network.read_counters()
        self._qdiscs_after = self._network.read_qdiscs()

    def interfaces(self) -> list[InterfaceResult]:
        return self._network.interfaces(self._qdiscs_before, self._qdiscs_after)

    def nodes(self) -> dict[str, dict[str, int]]:
        """Return, for each node, by how much each of its counters has grown."""
        return {node: counted_between(self._nodes_before[node], after) for node, after in self._nodes_after.items()}


def _failed(error: str, trace: str, engine: str) -> Record:
    return {
        "format": PROTOCOL_FORMAT,
        "engine": engine,
        "status": "failed",
        "error": error,
        "traceback": trace,
        "traffic_start_ns": 0,
        "traffic_end_ns": 0,
        "kernel": os.uname().release,
        "versions": {},
        "sysctls": {},
        "available_congestion_control": [],
        "flows": [],
        "interfaces": [],
        "namespaces": [],
        "counters": {},
        "calibration": [],
        "cpu": {"total_ns": 0, "busy_ns": 0, "processors": 0},
        "pressure": None,
        "collectors": {},
    }


def read_versions() -> dict[str, str]:
    """Return the versions of the tools on which the outcome of a trial depends.

    The guest's image lists its packages in a file; on the host, the tools are asked themselves.
    """
    packages = Path("/usr/share/lab/packages")
    if packages.exists():
        lines = packages.read_text(encoding="utf-8").splitlines()
        listed = dict(line.split(" ", 1) for line in lines if line.startswith(_VERSIONED))
        if not Path("/usr/lib/modules", os.uname().release).exists():
            # User-mode Linux is another kernel than the one that is installed in the image.
            listed = {name: version for name, version in listed.items() if not name.startswith(_KERNEL)}
        return listed
    return {
        "iperf3": run(["iperf3", "--version"]).splitlines()[0],
        "iproute2": run(["tc", "-V"]).strip(),
    }
