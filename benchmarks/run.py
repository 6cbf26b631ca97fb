# SPDX-License-Identifier: Apache-2.0
"""``make bench``: how fast trials run, what one costs before its traffic, and how much memory its machine takes."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import statistics
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lab.engine.vm.engine import VmEngine
from lab.engine.vm.template import build_template
from lab.plan import Trial, make_plan
from lab.spec.load import load_experiment

SHIPPED = Path(__file__).parents[1] / "experiments" / "cubic_vs_bbr.yaml"
RESULTS = Path(__file__).parents[1] / "results" / "bench"
SHORT_S, LONG_S = 1, 11


@dataclass(frozen=True)
class Run:
    wall_s: float
    busy_share: float
    proportional_mib: float
    """Proportional set size: pages that several machines share count once."""
    own_mib: float
    """Pages of its own."""


def trial_of(rate_mbit: int, flows: int, seconds: int, *overrides: str) -> Trial:
    """A single CUBIC trial on a path without loss."""
    declared = ", ".join(f"f{number}: {{from: s{number}, to: d{number}}}" for number in range(1, flows + 1))
    plan = make_plan(
        load_experiment(
            SHIPPED,
            [
                "matrix={}", "repeat=1", "start_jitter=0ms", f"duration={seconds}s", f"topology.pairs={flows}",
                f"flows={{{declared}}}", f"topology.bottleneck.rate={rate_mbit}mbit", *overrides,
            ],
        ).raw
    )  # fmt: skip
    return plan.trials[0]


async def run_once(engine: VmEngine, trial: Trial, worker: int = 0) -> Run:
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch) / "record"
        directory.mkdir()
        memory: list[tuple[float, float]] = [(0.0, 0.0)]
        began = time.monotonic()
        await engine.run(trial.job, directory, worker, lambda _now: memory.append(memory_of_machines()))
        wall_s = time.monotonic() - began
        record = json.loads((directory / "record.json").read_text(encoding="utf-8"))
    if record["status"] != "ok":
        raise SystemExit(f"a trial failed: {record['error']}")
    cpu = record["cpu"]
    return Run(wall_s, cpu["busy_ns"] / cpu["total_ns"], *max(memory))


def memory_of_machines() -> tuple[float, float]:
    """(proportional, own) MiB of the largest QEMU that this process has started."""
    found = [(0.0, 0.0)]
    for child in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split():
        try:
            rollup = Path(f"/proc/{child}/smaps_rollup").read_text()
        except OSError:
            continue
        sizes = {name: int(size) / 1024 for name, size in re.findall(r"^(\w+): +(\d+) kB", rollup, re.MULTILINE)}
        if sizes:
            found.append((sizes["Pss"], sizes["Private_Dirty"] + sizes["Private_Clean"]))
    return max(found)


def median_run(engine: VmEngine, trial: Trial, times: int) -> Run:
    runs = [asyncio.run(run_once(engine, trial)) for _ in range(times)]
    return sorted(runs, key=lambda run: run.wall_s)[len(runs) // 2]


def speed(engine: VmEngine, rate_mbit: int, flows: int, times: int) -> dict[str, Any]:
    """The cost of the traffic alone is the difference between a long and a short trial."""
    short = median_run(engine, trial_of(rate_mbit, flows, SHORT_S), times)
    long = median_run(engine, trial_of(rate_mbit, flows, LONG_S), times)
    per_second = (long.wall_s - short.wall_s) / (LONG_S - SHORT_S)
    return {
        "rate_mbit": rate_mbit,
        "flows": flows,
        "virtual_s_per_wall_s": round(1 / per_second, 2),
        "fixed_s": round(short.wall_s - SHORT_S * per_second, 2),
        "cpu_busy": round(long.busy_share, 3),
        "pss_mib": round(long.proportional_mib),
        "own_mib": round(long.own_mib),
    }


async def _together(engine: VmEngine, trial: Trial, jobs: int, trials: int) -> float:
    waiting = iter(range(trials))
    began = time.monotonic()

    async def work(worker: int) -> None:
        for _ in waiting:
            await run_once(engine, trial, worker)

    async with asyncio.TaskGroup() as group:
        for worker in range(jobs):
            group.create_task(work(worker))
    return time.monotonic() - began


def speed_up(engine: VmEngine, times: int) -> float:
    """Wall time of four trials one after another, over that of two at a time."""
    trial = trial_of(20, 1, 5)
    ratios = [
        asyncio.run(_together(engine, trial, 1, 4)) / asyncio.run(_together(engine, trial, 2, 4)) for _ in range(times)
    ]
    return round(statistics.median(ratios), 2)


def template_build_s(engine: VmEngine) -> float:
    """From nothing but the image."""
    found, image = engine.machine()
    before = os.environ.get("LAB_CACHE")
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["LAB_CACHE"] = scratch
        began = time.monotonic()
        asyncio.run(build_template(found, image, lambda _what: None))
        wall_s = time.monotonic() - began
    if before is None:
        del os.environ["LAB_CACHE"]
    else:
        os.environ["LAB_CACHE"] = before
    return round(wall_s, 1)


def first_line_s(engine: VmEngine, times: int) -> float:
    """From starting QEMU to the restored agent's first sign of life."""
    trial = trial_of(1, 1, 1)
    return round(statistics.median(asyncio.run(engine.time_to_first_sign(trial.job)) for _ in range(times)), 3)


def bytes_on_disk(path: Path) -> int:
    return sum(file.stat().st_blocks * 512 for file in path.rglob("*") if file.is_file())


def about(engine: VmEngine) -> dict[str, Any]:
    cpu = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": cpu[1] if cpu else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "host_kernel": platform.release(),
        **engine.identity(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one run of each instead of the median of three")
    times = 1 if parser.parse_args().quick else 3
    engine = VmEngine()
    engine.locate(print)
    asyncio.run(engine.prepare(print))
    result = about(engine)
    print(f"{'rate':>10}  flows  virtual s per wall s  fixed cost  CPU busy  memory (shared once / own)")
    result["speed"] = []
    for rate_mbit in (10, 20, 100):
        for flows in (1, 4):
            row = speed(engine, rate_mbit, flows, times)
            result["speed"].append(row)
            print(
                f"{rate_mbit:>4} Mbit/s  {flows:>5}  {row['virtual_s_per_wall_s']:>20}  {row['fixed_s']:>8} s"
                f"  {row['cpu_busy']:>7.0%}  {row['pss_mib']} / {row['own_mib']} MiB",
                flush=True,
            )
    result["speed_up_2_jobs"] = speed_up(engine, times)
    result["first_sign_s"] = first_line_s(engine, times)
    result["template_build_s"] = template_build_s(engine)
    _found, image = engine.machine()
    result["image_bytes"] = image.bytes_on_disk()
    result["template_bytes"] = bytes_on_disk(engine.template().path)
    print(f"two jobs over one: {result['speed_up_2_jobs']} x")
    print(f"QEMU's start to the agent's first sign: {result['first_sign_s']} s")
    print(f"template build: {result['template_build_s']} s")
    print(f"on disk: image {result['image_bytes'] / 1e6:.0f} MB, template {result['template_bytes'] / 1e6:.0f} MB")
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
