# SPDX-License-Identifier: Apache-2.0
"""Measure how fast trials run, their fixed cost, and the memory and disk space of a virtual machine.

Prints tables and stores all figures as JSON under results/bench/.  No other programs should run at the same time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import measure
from lab.engine.vm.engine import VmEngine

RESULTS = Path(__file__).parents[1] / "results" / "bench"
RATES_MBIT = (10, 20, 100)
FLOWS = (1, 4)


def about(engine: VmEngine, times: int) -> dict[str, Any]:
    """Return facts about this machine and about what is measured."""
    processor = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "median_of": times,
        "cpu": processor[1] if processor else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "host_kernel": platform.release(),
        "load_before": round(os.getloadavg()[0], 2),
        **engine.about(),
    }


def processor_seconds() -> dict[str, float]:
    """Return processor time since the machine was started, in seconds over all processors.

    ``all`` is the time used by all processes, ``own`` that used by this process and its ended children, and ``stolen``
    the time for which a hypervisor withheld the processors.
    """
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, file.readline().split()[1:9])
    ticks = os.sysconf("SC_CLK_TCK")
    own = sum(os.times()[:4])
    return {"all": (user + nice + system + irq + softirq) / ticks, "own": own, "stolen": steal / ticks}


def disturbance(before: dict[str, float], wall_s: float) -> dict[str, float]:
    """Return the shares of all processor time that went elsewhere since ``before``.

    Both shares must be near 0 for the measurements to be meaningful.
    """
    now = processor_seconds()
    spent = {name: now[name] - before[name] for name in now}
    total = wall_s * (os.cpu_count() or 1)
    others = max(0.0, spent["all"] - spent["own"])
    return {"others_share": round(others / total, 3), "stolen_share": round(spent["stolen"] / total, 3)}


def disturbance_text(row: dict[str, float]) -> str:
    return (
        f"disturbance: other processes used {row['others_share']:.0%} of the processor time, "
        f"and a hypervisor withheld {row['stolen_share']:.0%}"
    )


def show_machine(facts: dict[str, Any]) -> None:
    print(f"{facts['cpu']}, {facts['cores']} cores, {facts['memory_gib']} GiB; Linux {facts['host_kernel']}")
    print(
        f"QEMU {facts['qemu_version']}; load average before the start: {facts['load_before']}; "
        f"figures are medians of {facts['median_of']}"
    )


def speeds(engine: VmEngine, times: int) -> list[dict[str, Any]]:
    print(f"\nvirtual seconds per wall-clock second, on one core ({measure.LONG_S} s of CUBIC, recorded by tcp_probe)")
    print("  rate         flows  traffic alone  whole trial  fixed cost  CPU busy")
    rows = []
    for rate_mbit in RATES_MBIT:
        for flows in FLOWS:
            row = measure.speed(engine, rate_mbit, flows, times)
            rows.append(row)
            print(
                f"  {rate_mbit:>3} Mbit/s  {flows:>7}  {row['traffic_virtual_s_per_wall_s']:>13.2f}"
                f"  {row['whole_trial_virtual_s_per_wall_s']:>11.2f}  {row['fixed_s']:>8.2f} s"
                f"  {row['cpu_busy_share']:>8.1%}",
                flush=True,
            )
    print(
        f"  (traffic alone: from the difference between a trial of {measure.LONG_S} s and one of {measure.SHORT_S} s; "
        "fixed cost: the rest of a trial's time)"
    )
    return rows


def start_text(row: dict[str, Any]) -> str:
    return f"start of QEMU: restored after {row['restored_s']} s, first sign of the agent after {row['first_line_s']} s"


def template_text(seconds: float) -> str:
    return f"template built in {seconds} s"


def speed_up_text(row: dict[str, Any]) -> str:
    same = "the same results" if row["same_results"] else "DIFFERENT RESULTS"
    walls = f"{row['one_job_s']} s with 1 job, {row['two_jobs_s']} s with 2, {row['trials']} trials, {same}"
    return f"speed-up with 2 parallel jobs: {row['speed_up']} × ({walls})"


def memory_text(row: dict[str, Any]) -> str:
    return (
        f"memory per machine, with {row['machines']} at the same time: PSS {row['peak_pss_mib']} MiB, "
        f"private dirty {row['peak_private_dirty_mib']} MiB, RSS {row['peak_rss_mib']} MiB"
    )


def probe_text(row: dict[str, Any]) -> str:
    return (
        f"effect of tcp_probe at 20 Mbit/s: goodput {row['goodput_change']:+.4%}, "
        f"CPU busy {row['cpu_busy_share_off']:.1%} → {row['cpu_busy_share_on']:.1%}, "
        f"wall-clock time {row['wall_off_s']} → {row['wall_on_s']} s"
    )


def disk(engine: VmEngine) -> dict[str, int]:
    """Return the disk space of the image and of the template, in bytes."""
    _qemu, image = engine.machine()
    return {"image": measure.bytes_on_disk(image.path), "template": measure.bytes_on_disk(engine.template().path)}


def disk_text(row: dict[str, int]) -> str:
    return f"disk space: image {row['image'] / 1e6:.0f} MB, template {row['template'] / 1e6:.0f} MB"


def measure_all(engine: VmEngine, times: int) -> dict[str, Any]:
    """Do all measurements one after another, and print and return the results."""

    def printed(result: Any, text: Callable[[Any], str]) -> Any:
        print(text(result), flush=True)
        return result

    return {
        "speed": speeds(engine, times),
        "start": printed(measure.start_times(engine, times), start_text),
        "template_build_s": printed(measure.template_build_s(engine, times), template_text),
        "jobs": printed(measure.speed_up(engine, times), speed_up_text),
        "memory": [printed(measure.memory(engine, machines), memory_text) for machines in (1, 2)],
        "tcp_probe": printed(measure.probe_effect(engine, times), probe_text),
        "bytes_on_disk": printed(disk(engine), disk_text),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="measure everything once instead of three times")
    times = 1 if parser.parse_args().quick else 3
    engine = VmEngine()
    engine.locate(print)
    facts = about(engine, times)
    asyncio.run(engine.prepare(print))
    show_machine(facts)
    before, began = processor_seconds(), time.monotonic()
    result = {**facts, **measure_all(engine, times)}
    result["disturbance"] = disturbance(before, time.monotonic() - began)
    print(disturbance_text(result["disturbance"]))
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
