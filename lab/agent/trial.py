# SPDX-License-Identifier: Apache-2.0
"""Run one job on the kernel the agent lives on, and leave its record in a directory."""

from __future__ import annotations

import contextlib
import json
import os
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.agent.collectors.loader import BPF_SOURCES, Programs
from lab.agent.collectors.options import settings
from lab.agent.collectors.recording import Recorder, recorder
from lab.agent.congestion import load_congestion_control, set_module_parameters
from lab.agent.counters import counted_between
from lab.agent.pressure import between, read_pressure
from lab.agent.process import run
from lab.agent.topology.addressing import ports
from lab.agent.topology.calibrate import calibrate
from lab.agent.topology.link_programs import LinkPrograms, needs_programs
from lab.agent.topology.network import Network
from lab.agent.traffic.latency_probes import Latency
from lab.agent.traffic.schedule import Traffic
from lab.job.protocol import PROTOCOL_FORMAT, Cpu, Job, Record

_VERSIONED = ("iperf3", "iproute2", "linux-image", "mininet", "python3-bpfcc", "iputils-ping", "ethtool")

_SETTLE_S = 0.5
"""Between calibration and traffic: whatever is still on its way arrives."""


class Log:
    """``log.txt`` of the record: one line per step, with the kernel's monotonic clock."""

    def __init__(self, path: Path) -> None:
        self._file = open(path, "w", encoding="utf-8", buffering=1)  # noqa: SIM115 - closed in close()

    def __call__(self, message: str) -> None:
        self._file.write(f"{time.monotonic():12.6f} {message}\n")

    def close(self) -> None:
        self._file.close()


def run_trial(
    job: Job, programs: Programs | None, directory: Path, progress: Callable[[int], None], *, engine: str = "vm"
) -> Record:
    """Run ``job``; ``record.json`` and every file it names are in ``directory`` afterwards.

    A trial that fails still leaves a record: its ``status`` is ``failed`` and ``error`` says why.
    ``progress`` is called several times a second of traffic with the time since its start, in ns.
    """
    log = Log(directory / "log.txt")
    try:
        record = _run(job, programs, directory, progress, log, engine)
    except Exception as exc:
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
    programs: Programs | None,
    directory: Path,
    progress: Callable[[int], None],
    log: Log,
    engine: str,
) -> Record:
    if job["format"] != PROTOCOL_FORMAT:
        raise ValueError(f"job format {job['format']}, this agent speaks {PROTOCOL_FORMAT}")
    wanted = {flow["congestion_control"] for flow in job["flows"] if flow["protocol"] == "tcp"}
    offered = load_congestion_control(wanted | job["congestion_control_parameters"].keys())
    set_module_parameters(job["congestion_control_parameters"])
    with contextlib.ExitStack() as stack:
        links = None
        if needs_programs(job):
            links = LinkPrograms(BPF_SOURCES, job, ports(job))
            stack.callback(links.close)
            log("links' programs are loaded")
        network = Network(job, links)
        stack.callback(network.stop)
        network.start()
        log("topology is up")
        calibration = calibrate(network)
        time.sleep(_SETTLE_S)
        log("calibrated")
        recorders = [_recorder(name, job, network, _need(programs), directory) for name in sorted(job["collectors"])]
        switches = _switches(job)

        def on_tick(now_ns: int) -> None:
            for one in recorders:
                one.drain(now_ns)
                while switches[one.name] and switches[one.name][0][0] <= now_ns:
                    _when, on = switches[one.name].pop(0)
                    log(f"{one.name}: {'on' if on else 'off'}")
                    (one.switch_on if on else one.switch_off)()
            progress(now_ns)

        traffic = Traffic(network, directory, on_tick)
        stack.callback(traffic.stop)
        traffic.wait_until_ready()
        latency = Latency(network, directory)
        stack.callback(latency.stop)
        before, counted_before = network.read_qdiscs(), network.read_counters()
        for one in recorders:
            one.start(on=not switches[one.name])
        log("traffic starts")
        changes = network.changes()
        pressure_before = read_pressure() if engine != "vm" else None
        cpu_before = _read_cpu()
        after: list[dict[str, list[dict[str, Any]]]] = []

        def on_stuck() -> None:
            log("iperf3 cannot exchange its results: from here on, nothing is lost at random")
            after.append(network.read_qdiscs())
            network.lose_nothing()

        def on_start(start_ns: int) -> None:
            if links is not None:
                links.begin()
            latency.begin(start_ns)

        traffic.run(changes, on_stuck, on_start)
        cpu = _cpu_between(cpu_before, _read_cpu())
        pressure = between(pressure_before, read_pressure()) if pressure_before is not None else None
        log("traffic has ended")
        collected = {name: result for one in recorders for name, result in one.stop(traffic.end_ns).items()}
        collected |= latency.results() | traffic.completions()
        counted_after = network.read_counters()
        after = after or [network.read_qdiscs()]
        return {
            "format": PROTOCOL_FORMAT,
            "engine": engine,
            "status": "ok",
            "traffic_start_ns": traffic.start_ns,
            "traffic_end_ns": traffic.end_ns,
            "kernel": os.uname().release,
            "versions": read_versions(),
            "sysctls": network.read_sysctls(job["flows"][0]["source"]),
            "available_congestion_control": offered,
            "flows": traffic.results(),
            "interfaces": network.interfaces(before, after[0]),
            "namespaces": network.namespaces(),
            "counters": {node: counted_between(counted_before[node], counted_after[node]) for node in counted_after},
            "calibration": calibration,
            "cpu": cpu,
            "pressure": pressure,
            "collectors": collected,
        }


def _recorder(name: str, job: Job, network: Network, programs: Programs, directory: Path) -> Recorder:
    options = job["collectors"][name]
    if options.get("ends") == "senders" and any(flow["initiator"] == "destination" for flow in job["flows"]):
        # In reverse mode the sender is at the server's port: by its port alone, it cannot be told from receivers.
        options = {**options, "ends": "both"}
    nodes = {node["name"] for node in job["nodes"]}
    # Only drops are recorded of whatever is dropped: a queue counts other packets than the flows', too.
    ports = [0, 65535] if name == "drops" else [flow["port"] for flow in job["flows"]]

    def resolve(host: str) -> str:
        return network.address_of(host) if host in nodes else host

    chosen = settings(name, options, (min(ports), max(ports)), resolve)
    return recorder(name, programs, directory, chosen, options.get("interval") or 0)


def _switches(job: Job) -> dict[str, list[tuple[int, bool]]]:
    """Collector → when it is switched on and off again, for those that do not run all the time."""
    switches: dict[str, list[tuple[int, bool]]] = {name: [] for name in job["collectors"]}
    for name, options in job["collectors"].items():
        window = options.get("window")
        if window is not None:
            switches[name] = [(window["from"], True)]
            if window.get("to") is not None:
                switches[name].append((window["to"], False))
    return switches


def _need(programs: Programs | None) -> Programs:
    if programs is None:
        raise ValueError("collectors were asked for, but no BPF loader is there")
    return programs


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


def _read_cpu() -> tuple[int, list[int]]:
    """(monotonic ns, the fields of /proc/stat's first line in USER_HZ ticks)."""
    with open("/proc/stat", encoding="ascii") as file:
        return time.monotonic_ns(), [int(field) for field in file.readline().split()[1:]]


def _cpu_between(before: tuple[int, list[int]], after: tuple[int, list[int]]) -> Cpu:
    processors = os.cpu_count() or 1
    tick_ns = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    total = (after[0] - before[0]) * processors
    idle = sum(after[1][field] - before[1][field] for field in (3, 4)) * tick_ns  # idle, iowait
    return {"total_ns": total, "busy_ns": max(0, total - idle), "processors": processors}


def read_versions() -> dict[str, str]:
    """Versions of the tools a trial's outcome depends on."""
    packages = Path("/usr/share/lab/packages")
    if packages.exists():
        lines = packages.read_text(encoding="utf-8").splitlines()
        return dict(line.split(" ", 1) for line in lines if line.startswith(_VERSIONED))
    return {
        "iperf3": run(["iperf3", "--version"]).splitlines()[0],
        "iproute2": run(["tc", "-V"]).strip(),
    }
