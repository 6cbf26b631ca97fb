# SPDX-License-Identifier: Apache-2.0
"""Run a scenario in ns-3 or in one of lab's engines, and measure what it costs."""

from __future__ import annotations

import json
import subprocess
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.ns3 import cpu_time
from benchmarks.ns3.program import Ns3
from benchmarks.ns3.scenario import DELAY_NS, FIRST_LINK, FIRST_ROUTER, SECOND_ROUTER, Scenario, job_of
from lab.analysis.volume import arrived
from lab.engine.base import processor_of
from lab.engine.uml.engine import UmlEngine
from lab.engine.vm.engine import VmEngine
from lab.job import kernels
from lab.job.protocol import Job, Record
from lab.store.folders import scratch_folder

WORKER = 1
"""The worker of the engines; it decides which processor all simulators run on."""
LIMIT_S = 600.0
"""The wall-clock time after which a run of ns-3 is ended."""
_ALGORITHMS = {"cubic": "TcpCubic", "bbr": "TcpBbr"}


@dataclass(frozen=True)
class Outcome:
    """What a run carried."""

    packets: int
    """The number of packets that left the bottleneck's queue with data."""
    ack_packets: int
    """The number of packets that crossed the same link in the other direction."""
    goodput_bps: float


@dataclass(frozen=True)
class Run:
    """What a run carried, and its cost."""

    cpu_s: float
    wall_s: float
    outcome: Outcome


class Simulator(ABC):
    """Something that carries the traffic of a scenario."""

    def __init__(self, name: str, kernel: str) -> None:
        self.name = name
        self.kernel = kernel

    async def run(self, scenario: Scenario) -> Run:
        """Run *scenario* once.

        Raises:
            RuntimeError: The run failed or took too long.
        """
        job = job_of(scenario, self.kernel)
        with scratch_folder("simulators", print) as scratch:
            cpu, wall = cpu_time.total_s(), time.monotonic()
            outcome = await self._carry(scenario, job, scratch)
            return Run(cpu_time.total_s() - cpu, time.monotonic() - wall, outcome)

    @abstractmethod
    async def _carry(self, scenario: Scenario, job: Job, folder: Path) -> Outcome:
        """Carry the traffic of *scenario*, of which *job* is lab's form; *folder* is an empty folder for files."""


class Ns3Simulator(Simulator):
    """A build of ns-3."""

    def __init__(self, name: str, build: Ns3) -> None:
        super().__init__(name, kernels.DEFAULT_UML)
        self.build = build

    async def _carry(self, scenario: Scenario, job: Job, folder: Path) -> Outcome:
        command = [
            # It ends with this process, even if this process is killed.
            *("setpriv", "--pdeathsig", "KILL", "taskset", "--cpu-list", str(processor_of(WORKER))),
            *(str(self.build.program), *ns3_arguments(scenario), f"--trace={folder / 'trace'}"),
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
        except subprocess.TimeoutExpired as exc:
            raise RuntimeError(f"{self.name} did not end within {LIMIT_S:.0f} s") from exc
        if done.returncode != 0:
            raise RuntimeError(f"{self.name} failed (exit status {done.returncode}): {done.stderr.strip()[-500:]}")
        result = json.loads(done.stdout)
        return Outcome(
            packets=result["packets"],
            ack_packets=result["ack_packets"],
            goodput_bps=result["received_bytes"] * 8 / scenario.duration_s,
        )


def ns3_arguments(scenario: Scenario) -> list[str]:
    """Return the arguments of the ns-3 program (``chain.cc``) for *scenario*."""
    return [
        f"--rate={scenario.rate_bps}",
        f"--delay={DELAY_NS}",
        f"--queue={scenario.queue_bytes}",
        f"--flows={scenario.flows}",
        f"--links={scenario.links}",
        f"--duration={scenario.duration_s}",
        f"--algorithm={_ALGORITHMS[scenario.algorithm]}",
    ]


class LabSimulator(Simulator):
    """One of lab's engines, which must be prepared."""

    def __init__(self, engine: UmlEngine | VmEngine, kernel: str) -> None:
        super().__init__(engine.name, kernel)
        self._engine = engine

    async def _carry(self, scenario: Scenario, job: Job, folder: Path) -> Outcome:
        directory = folder / "record"
        directory.mkdir()
        await self._engine.run(job, directory, WORKER, lambda _now: None)
        record: Record = json.loads((directory / "record.json").read_text(encoding="utf-8"))
        if record["status"] != "ok":
            raise RuntimeError(f"{self.name}: {record['error']}")
        return Outcome(
            packets=_sent_by(record, FIRST_ROUTER),
            ack_packets=_sent_by(record, SECOND_ROUTER),
            goodput_bps=sum(
                arrived(flow, asked).bps for flow, asked in zip(record["flows"], job["flows"], strict=True)
            ),
        )


def _sent_by(record: Record, router: str) -> int:
    """Return the number of packets that left the queue of *router* into the first link while traffic ran."""
    (interface,) = (
        found
        for found in record["interfaces"]
        if (found["node"], found["link"], found["role"]) == (router, FIRST_LINK, "egress")
    )
    return _root_packets(interface["qdiscs_after"]) - _root_packets(interface["qdiscs_before"])


def _root_packets(qdiscs: list[dict[str, Any]]) -> int:
    (packets,) = (qdisc["packets"] for qdisc in qdiscs if qdisc.get("root"))
    return int(packets)
