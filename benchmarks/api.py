# SPDX-License-Identifier: Apache-2.0
"""Measure how long a program waits for a run's data: imports, ``lab.load()``, traces, metrics, figures and exports.

Without a run folder, the shipped experiment runs in User-mode Linux first (or comes from the cache).  Prints a table
and stores all figures as JSON under results/bench/.  No other programs should run at the same time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lab
from benchmarks.measure import SHIPPED
from benchmarks.run import RESULTS
from lab.store.folders import scratch_folder

TARGET_MS = 50.0
"""How long ``lab.load()`` and one trace of ``tcp_probe`` may take, in milliseconds."""


def median_ms(work: Callable[[], object], times: int) -> float:
    """Return the median wall-clock time of *work* in milliseconds; a first call, which warms up, does not count."""
    work()
    walls = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        walls.append((time.perf_counter() - began) * 1e3)
    return round(statistics.median(walls), 2)


def import_ms(code: str, times: int) -> float:
    """Return how much longer a new interpreter takes with *code* than without, in milliseconds (medians)."""
    command = [sys.executable, "-c"]
    with_code = median_ms(lambda: subprocess.run([*command, code], check=True), times)
    return round(with_code - median_ms(lambda: subprocess.run([*command, "pass"], check=True), times), 1)


def measured(run: lab.Run, times: int) -> dict[str, float]:
    """Return the times of all steps for *run*, in milliseconds."""
    trial = str(run.trials.filter(status="ok")["trial"][0])
    few = ["time_ns", "flow", "snd_cwnd", "srtt_us"]

    def fresh() -> lab.Run:
        return lab.load(run.path)

    with scratch_folder("bench", print) as folder:
        return {
            "import lab": import_ms("import lab", times),
            "import lab; lab.load": import_ms("import lab; lab.load", times),
            "lab.load()": median_ms(fresh, times),
            "lab.load() and a trace": median_ms(lambda: fresh().trace("tcp_probe", trial), times),
            "lab.load() and 4 columns of a trace": median_ms(
                lambda: fresh().trace("tcp_probe", trial, columns=few), times
            ),
            "lab.load() and metrics": median_ms(lambda: fresh().metrics, times),
            "lab.load() and 4 columns of all traces": median_ms(lambda: fresh().trace("tcp_probe", columns=few), times),
            "lab.load() and a figure": median_ms(lambda: fresh().figure("cwnd"), max(1, times // 5)),
            "lab.runs() of one run": median_ms(lambda: lab.runs(run.path), times),
            "to_flent() of a trial": median_ms(lambda: run.to_flent(folder, trial), times),
            "to_csv() of a trial": median_ms(lambda: run.to_csv(folder, trial), max(1, times // 5)),
        }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.api", description=__doc__)
    parser.add_argument("run_dir", nargs="?", type=Path, help="the folder of a run [default: run the experiment]")
    parser.add_argument("--times", type=int, default=15, help="measure everything this often [default: 15]")
    arguments = parser.parse_args()
    with scratch_folder("bench-api", print) as folder:
        run = lab.load(arguments.run_dir) if arguments.run_dir else lab.run(SHIPPED, engine="uml", output=folder)
        times = measured(run, arguments.times)
        rows = len(run.trace("tcp_probe", str(run.trials.filter(status="ok")["trial"][0])))
        trials = len(run.trials)
    facts: dict[str, Any] = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "median_of": arguments.times,
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
        "trials": trials,
        "rows_of_the_trace": rows,
    }
    print(f"{trials} trials; the trace has {rows} rows; medians of {arguments.times}; load average {facts['load']}")
    for name, wall_ms in times.items():
        print(f"  {name:<40} {wall_ms:>9.1f} ms")
    within = times["lab.load() and a trace"] < TARGET_MS
    print(f"lab.load() and a trace: {'within' if within else 'BEYOND'} the target of {TARGET_MS:g} ms")
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"api-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps({**facts, "wall_ms": times}, indent=1) + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
