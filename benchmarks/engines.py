# SPDX-License-Identifier: Apache-2.0
"""Measure how long the same trials take in virtual machines and in User-mode Linux, in turn, one at a time.

``python -m benchmarks.engines`` prints a table.  No other programs should run at the same time.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time

from benchmarks.measure import shipped_plan
from lab.engine.selftest import self_test_job
from lab.engine.uml.engine import UmlEngine
from lab.engine.vm.engine import VmEngine
from lab.job import kernels
from lab.job.protocol import Job
from lab.store.folders import scratch_folder

TIMES = 3
VM_KERNEL = kernels.CONFIRMING[kernels.DEFAULT_UML]
"""The kernel of the virtual machine, which has the same version as the default kernel of User-mode Linux."""


def job_of(*overrides: str) -> Job:
    """Return the job of one CUBIC flow without loss, changed by *overrides*."""
    given = ["engine=uml", "repeat=1", "matrix={}", "duration=10s", *overrides]
    (trial,) = shipped_plan(*given).trials
    return trial.job


def jobs() -> dict[str, tuple[Job, bool]]:
    """Return description → (job, whether a virtual machine can run it in reasonable time)."""
    plain = job_of()
    return {
        "20 Mbit/s, 10 s": (plain, True),
        "20 Mbit/s, 10 s, all collectors": ({**plain, "collectors": self_test_job()["collectors"]}, True),
        "100 Mbit/s, 10 s": (job_of("topology.bottleneck.rate=100mbit"), True),
        "100 Mbit/s, 10 s, 100 flows": (job_of("topology.bottleneck.rate=100mbit", "flows.bulk.count=100"), False),
        "1 Gbit/s, 10 s": (job_of("topology.bottleneck.rate=1gbit"), False),
        "2.5 Gbit/s, 1 s, MTU 9000": (job_of("topology.bottleneck.rate=2500mbit", "mtu=9000", "duration=1s"), False),
    }


async def wall_s(engine: VmEngine | UmlEngine, job: Job) -> float:
    """Run a job and return how long it took, in seconds of wall-clock time."""
    with scratch_folder("engines", print) as scratch:
        directory = scratch / "record"
        directory.mkdir()
        began = time.monotonic()
        await engine.run(job, directory, 0, lambda _now: None)
        elapsed = time.monotonic() - began
        record = json.loads((directory / "record.json").read_text(encoding="utf-8"))
        assert record["status"] == "ok", record["error"]
    return elapsed


async def measure() -> None:
    vm, uml = VmEngine([VM_KERNEL]), UmlEngine()
    for engine in (vm, uml):
        engine.locate(print)
        await engine.prepare(print)
    try:
        print("\n| Trial | vm, s | uml, s | Ratio |\n|---|---|---|---|")
        for name, (job, in_vm) in jobs().items():
            pairs = []
            for _ in range(TIMES):
                vm_s = await wall_s(vm, {**job, "kernel": VM_KERNEL}) if in_vm else None
                pairs.append((vm_s, await wall_s(uml, {**job, "kernel": kernels.DEFAULT_UML})))
            fast = statistics.median(pair[1] for pair in pairs)
            slow = [pair[0] for pair in pairs if pair[0] is not None]
            ratio = f"{statistics.median(pair[0] / pair[1] for pair in pairs if pair[0]):.1f}" if slow else "–"
            slow_text = f"{statistics.median(slow):.1f}" if slow else "–"
            print(f"| {name} | {slow_text} | {fast:.2f} | {ratio} |", flush=True)
    finally:
        uml.close()


if __name__ == "__main__":
    asyncio.run(measure())
