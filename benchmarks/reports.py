# SPDX-License-Identifier: Apache-2.0
"""Measure how long reports and comparisons of runs take, and their memory: the shipped experiment, and 500 trials.

Without run folders, both experiments run in User-mode Linux first (or come from the cache).  Each command is a process
of its own with an empty cache, so that every figure is drawn.  Prints a table and stores all figures as JSON under
results/bench/.  No other programs should run at the same time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import lab
from benchmarks.measure import SHIPPED
from benchmarks.run import RESULTS
from lab.store.folders import scratch_folder

MANY = """\
name: many_trials
title: 500 trials of 4 s
topology:
  kind: dumbbell
  bottleneck:
    rate: 10mbit
    delay: 10ms
    loss: 0.1%
    queue: {discipline: bfifo, limit: 1bdp}
flows:
  bulk: {from: s1, to: d1}
duration: 4s
matrix:
  flows.bulk.cc: [cubic, bbr, reno, vegas, westwood]
  topology.bottleneck.loss: [0.1%, 0.2%, 0.5%, 1%, 2%]
  topology.bottleneck.queue.limit: [1bdp, 4bdp]
repeat: 10
start_jitter: 50ms
"""
"""An experiment with 500 trials."""


@dataclass(frozen=True)
class Target:
    """What a command may take."""

    wall_s: float
    rss_mib: float | None = None


TARGETS = {
    "lab report of the shipped experiment": Target(8),
    "lab compare of two such runs": Target(2),
    "lab report of 500 trials": Target(60, 1500),
}


@dataclass(frozen=True)
class Cost:
    """What a command took."""

    wall_s: float
    cpu_s: float
    """Processor time of the command and of the processes that it started."""
    rss_mib: float
    """Peak of the resident memory of the largest of its processes; they share most of it."""

    def within(self, target: Target) -> bool:
        """Return whether the command took no more than it may."""
        return self.wall_s <= target.wall_s and (target.rss_mib is None or self.rss_mib <= target.rss_mib)


_MEASURING = """
import json, os, resource, subprocess, sys, time
began = time.perf_counter()
status = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([status, time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss]))
"""
"""A small process that runs a command.

The kernel counts what a process had in memory before execve(2) as memory of the command, and this process is large.
"""


def cost(arguments: list[str], cache: Path) -> Cost:
    """Run ``lab`` once with these arguments and this folder as its cache.

    Raises:
        RuntimeError: The command failed.
    """
    lab = str(Path(sys.executable).with_name("lab"))
    done = subprocess.run(
        [sys.executable, "-S", "-c", _MEASURING, lab, *arguments],
        env={**os.environ, "LAB_CACHE": str(cache)},
        stdout=subprocess.PIPE,
        check=True,
    )
    status, wall_s, cpu_s, most_kib = json.loads(done.stdout)
    if status:
        raise RuntimeError(f"lab {' '.join(arguments)} failed")
    return Cost(round(wall_s, 2), round(cpu_s, 2), round(most_kib / 1024, 1))


def median_cost(arguments: list[str], scratch: Path, times: int) -> Cost:
    """Return the medians over several runs of a command, each with an empty cache."""
    found = []
    for _ in range(times):
        cache = scratch / "cache"
        shutil.rmtree(cache, ignore_errors=True)
        found.append(cost(arguments, cache))
    columns = zip(*(vars(one).values() for one in found), strict=True)
    return Cost(*(round(statistics.median(column), 2) for column in columns))


def measured(shipped: Path, many: Path, scratch: Path, times: int) -> dict[str, Cost]:
    """Return the costs of all commands, which work on copies of the runs *shipped* and *many*."""
    # Both copies have the name of one experiment, as runs of it do.
    first, second, large = (scratch / "runs" / name for name in ("first", "second", "many"))
    for source, copy in ((shipped, first), (shipped, second), (many, large)):
        shutil.copytree(source.resolve(), copy, ignore=shutil.ignore_patterns("report"))
    return {
        "lab report of the shipped experiment": median_cost(["report", str(first)], scratch, times),
        "lab compare of two such runs": median_cost(["compare", str(first), str(second)], scratch, times),
        "lab report of 500 trials": median_cost(["report", str(large)], scratch, max(1, times // 3)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reports", description=__doc__)
    parser.add_argument("--shipped", type=Path, help="a run of the shipped experiment [default: run it]")
    parser.add_argument("--many", type=Path, help="a run of 500 trials [default: run them]")
    parser.add_argument("--times", type=int, default=3, help="measure everything this often [default: 3]")
    arguments = parser.parse_args()
    with scratch_folder("bench-reports", print) as scratch:
        shipped = arguments.shipped or lab.run(SHIPPED, engine="uml", output=scratch).path
        many = arguments.many or lab.run(_file(scratch), engine="uml", output=scratch).path
        load = round(os.getloadavg()[0], 2)
        found = measured(shipped, many, scratch, arguments.times)
    print(f"medians of {arguments.times}; load average {load}")
    for name, item in found.items():
        target = TARGETS[name]
        limits = f"{target.wall_s:g} s" + (f" and {target.rss_mib:g} MiB" if target.rss_mib else "")
        verdict = "within" if item.within(target) else "BEYOND"
        print(f"  {name:<40} {item.wall_s:>6.2f} s  {item.cpu_s:>6.2f} s of processor time  {item.rss_mib:>6.0f} MiB")
        print(f"    {verdict} the target of {limits}")
    facts = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "median_of": arguments.times,
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "load": load,
        "costs": {name: asdict(item) for name, item in found.items()},
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"reports-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    print(path)


def _file(scratch: Path) -> Path:
    path = scratch / "many_trials.yaml"
    path.write_text(MANY, encoding="utf-8")
    return path


if __name__ == "__main__":
    main()
