# SPDX-License-Identifier: Apache-2.0
"""The measurements of ``make bench``, one function each.

Wall-clock times are medians of several runs.  Figures from inside the guest are reproducible and need no repetition.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.memory import PeakMemory
from lab.analysis.volume import arrived
from lab.engine.vm import machine, qemu
from lab.engine.vm.engine import VmEngine
from lab.engine.vm.template import build_template
from lab.errors import LabError
from lab.experiment.read.load import load_experiment
from lab.job.mailbox import State
from lab.job.protocol import Record
from lab.plan.plan import Plan, Trial, make_plan
from lab.run.runner import Runner
from lab.store import places
from lab.store.folders import scratch_folder
from lab.store.run import create_run
from lab.store.trial_cache import TrialCache

SHIPPED = Path(__file__).parents[1] / "experiments" / "cubic_vs_bbr.yaml"
SHORT_S, LONG_S = 1, 11
"""Two durations of the same traffic, in seconds.  The difference of their costs is the cost of the traffic; the rest is
the fixed cost of a trial."""

ONE_CUBIC_FLOW = ("matrix={}", "repeat=1", "start_jitter=0ms")
SPEED_UP_TRIALS = ("matrix.topology.bottleneck.loss=[0%]", "repeat=4", "duration=10s")


@dataclass(frozen=True)
class Timed:
    """The wall-clock time of one trial, and the CPU use and goodput in its record."""

    wall_s: float
    busy_share: float
    goodput_bps: float


class SilentObserver:
    """An observer that prints nothing and ends the benchmark if a trial fails.

    Implements :class:`lab.run.runner.Observer`.
    """

    def step(self, what: str) -> None: ...

    def started(self, trial: Trial) -> None: ...

    def reached(self, trial: Trial, virtual_ns: int) -> None: ...

    def finished(self, trial: Trial, wall_s: float, *, cached: bool) -> None: ...

    def failed(self, trial: Trial, error: LabError) -> None:
        raise SystemExit(f"trial {trial.id} failed: {error}")


def shipped_plan(*overrides: str) -> Plan:
    """Return the plan of the shipped experiment, changed by ``PATH=VALUE`` overrides."""
    return make_plan(load_experiment(SHIPPED, overrides).checked)


def trial_of(rate_mbit: int, flows: int, seconds: int, *overrides: str) -> Trial:
    """Return a trial with *flows* CUBIC flows, each between its own pair of hosts, and no loss.

    Everything else is as in the shipped experiment.
    """
    declared = ", ".join(f"f{number}: {{from: s{number}, to: d{number}}}" for number in range(1, flows + 1))
    return shipped_plan(
        *ONE_CUBIC_FLOW,
        f"duration={seconds}s",
        f"topology.pairs={flows}",
        f"flows={{{declared}}}",
        f"topology.bottleneck.rate={rate_mbit}mbit",
        *overrides,
    ).trials[0]


async def run_trial(engine: VmEngine, trial: Trial, worker: int = 0, sample: Callable[[], None] | None = None) -> Timed:
    """Run one trial and measure it; ``sample`` is called about five times a second while it runs."""
    with scratch_folder("measure", print) as scratch:
        directory = scratch / "record"
        directory.mkdir()
        began = time.monotonic()
        await engine.run(trial.job, directory, worker, lambda _now: sample() if sample is not None else None)
        wall_s = time.monotonic() - began
        record: Record = json.loads((directory / "record.json").read_text(encoding="utf-8"))
        if record["status"] != "ok":
            raise SystemExit(f"trial {trial.id} failed: {record['error']}")
    goodput_bps = sum(arrived(flow, asked).bps for flow, asked in zip(record["flows"], trial.job["flows"], strict=True))
    return Timed(wall_s, record["cpu"]["busy_ns"] / record["cpu"]["total_ns"], goodput_bps)


def median_trial(engine: VmEngine, trial: Trial, times: int) -> Timed:
    """Run *trial* several times and return the run with the median wall-clock time."""
    runs = [asyncio.run(run_trial(engine, trial)) for _ in range(times)]
    return sorted(runs, key=lambda run: run.wall_s)[len(runs) // 2]


def speed(engine: VmEngine, rate_mbit: int, flows: int, times: int) -> dict[str, Any]:
    """Measure the speed of a trial on one processor: that of the traffic alone and that of the whole trial.

    The speed of the traffic alone follows from the difference between the two durations.
    """
    short = median_trial(engine, trial_of(rate_mbit, flows, SHORT_S), times)
    long = median_trial(engine, trial_of(rate_mbit, flows, LONG_S), times)
    per_second = (long.wall_s - short.wall_s) / (LONG_S - SHORT_S)
    return {
        "rate_mbit": rate_mbit,
        "flows": flows,
        "traffic_virtual_s_per_wall_s": round(1 / per_second, 2),
        "whole_trial_virtual_s_per_wall_s": round(LONG_S / long.wall_s, 2),
        "fixed_s": round(short.wall_s - SHORT_S * per_second, 2),
        "short_wall_s": round(short.wall_s, 3),
        "long_wall_s": round(long.wall_s, 3),
        "cpu_busy_share": round(long.busy_share, 3),
    }


def probe_effect(engine: VmEngine, times: int) -> dict[str, Any]:
    """Measure how recording every ACK changes goodput, CPU use and wall-clock time at 20 Mbit/s."""
    off = median_trial(engine, trial_of(20, 1, LONG_S, "collect={}"), times)
    on = median_trial(engine, trial_of(20, 1, LONG_S, "collect={tcp_probe: {record: every_ack}}"), times)
    return {
        "goodput_off_bps": round(off.goodput_bps),
        "goodput_on_bps": round(on.goodput_bps),
        "goodput_change": on.goodput_bps / off.goodput_bps - 1,
        "cpu_busy_share_off": round(off.busy_share, 3),
        "cpu_busy_share_on": round(on.busy_share, 3),
        "wall_off_s": round(off.wall_s, 3),
        "wall_on_s": round(on.wall_s, 3),
    }


def memory(engine: VmEngine, machines: int) -> dict[str, Any]:
    """Measure the memory of a virtual machine while *machines* of them run the same heavy trial at the same time."""
    peak = PeakMemory()
    trial = trial_of(100, 1, 3)

    async def together() -> None:
        await asyncio.gather(*(run_trial(engine, trial, worker, peak.sample) for worker in range(machines)))

    asyncio.run(together())
    return {
        "machines": peak.machines,
        "peak_rss_mib": round(peak.peak.resident),
        "peak_pss_mib": round(peak.peak.proportional),
        "peak_private_dirty_mib": round(peak.peak.dirty),
    }


def start_times(engine: VmEngine, times: int) -> dict[str, float]:
    """Measure the time from the start of QEMU until its state is restored, and until the agent reports that it runs."""
    found = [asyncio.run(_start(engine)) for _ in range(times)]
    restored, first_line = (statistics.median(column) for column in zip(*found, strict=True))
    return {"restored_s": round(restored, 3), "first_line_s": round(first_line, 3)}


async def _start(engine: VmEngine) -> tuple[float, float]:
    template = engine.template()
    arguments = qemu.machine_arguments(template.image, template.ram, share_ram=False)
    job = json.dumps(trial_of(1, 1, 1).job).encode()
    with scratch_folder("measure", print) as scratch:
        console = scratch / "console.log"
        began = time.monotonic()
        async with machine.start(
            engine.machine()[0], arguments, job, console, processor=_first_processor(), state=template.state
        ) as guest:
            restored_s = time.monotonic() - began
            running = asyncio.ensure_future(guest.run_until_stop())
            while guest.mailbox.state is State.BLANK:
                if running.done():
                    running.result()
                await asyncio.sleep(0.001)
            first_line_s = time.monotonic() - began
            running.cancel()
            await asyncio.wait((running,))
    return restored_s, first_line_s


def _first_processor() -> int:
    return min(os.sched_getaffinity(0))


def speed_up(engine: VmEngine, times: int) -> dict[str, Any]:
    """Measure how much faster two parallel jobs are than one.

    The trials go through the runner, which stores all results as usual.  No trial comes from the cache.
    """
    plan = shipped_plan(*SPEED_UP_TRIALS)
    pairs = [(_run_all(engine, plan, 1), _run_all(engine, plan, 2)) for _ in range(times)]
    digests = {digest for pair in pairs for _wall_s, digest in pair}
    one, two = (statistics.median(pair[index][0] for pair in pairs) for index in (0, 1))
    ratio = statistics.median(one_job[0] / two_jobs[0] for one_job, two_jobs in pairs)
    return {
        "trials": len(plan.trials),
        "one_job_s": round(one, 2),
        "two_jobs_s": round(two, 2),
        "speed_up": round(ratio, 2),
        "same_results": len(digests) == 1,
    }


def _run_all(engine: VmEngine, plan: Plan, jobs: int) -> tuple[float, str]:
    """Run all trials of *plan* and return (wall-clock seconds, digest of the results)."""
    with scratch_folder("measure", print) as scratch:
        folder = create_run(scratch, plan.name, SHIPPED.read_bytes(), json.loads(plan.to_json()))
        trials = TrialCache(scratch / "trials")
        runner = Runner(engine, SilentObserver(), plan, folder, jobs=jobs, cache=trials, read_cache=False)
        outcome = asyncio.run(runner.run({"command": "benchmark"}))
        return outcome.wall_s, folder.results_digest()


def template_build_s(engine: VmEngine, times: int) -> float:
    """Measure the time in seconds to build a template from an existing image, on the disk that holds the cache."""
    walls = []
    for _ in range(times):
        with empty_cache():
            began = time.monotonic()
            asyncio.run(build_template(*engine.machine(), lambda _what: None))
            walls.append(time.monotonic() - began)
    return round(statistics.median(walls), 1)


@contextmanager
def empty_cache() -> Iterator[None]:
    """Use, inside the block, a temporary cache that holds only the images; it is on the same disk as the real cache."""
    root = places.cache_root()
    before = os.environ.get("LAB_CACHE")
    with scratch_folder("measure", print, root) as scratch:
        for name in ("images", "recipes"):
            Path(scratch, name).symlink_to(root / name)
        os.environ["LAB_CACHE"] = str(scratch)
        try:
            yield
        finally:
            if before is None:
                del os.environ["LAB_CACHE"]
            else:
                os.environ["LAB_CACHE"] = before


def bytes_on_disk(path: Path) -> int:
    """Return the disk space that the files below *path* occupy, in bytes."""
    return sum(file.stat().st_blocks * 512 for file in path.rglob("*") if file.is_file())
