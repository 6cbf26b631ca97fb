# SPDX-License-Identifier: Apache-2.0
"""Measure how long grading takes: one submission of the assignment aimd, and a class with one process and with all.

Each submission of the class has a window of its own, so that no two of them have the same trials; the scenario takes
ten virtual seconds.  Prints a table and stores all figures as JSON under results/bench/.  No other programs should run
at the same time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.run import RESULTS
from lab.store.folders import scratch_folder

ROOT = Path(__file__).parents[1]
TARGET_S = 60.0
"""How long grading one submission of aimd may take on two processors, in seconds."""

ASSIGNMENT = """\
name: bench
title: A class
submission:
  my_cc.bpf.c: {kind: congestion control}
scenarios:
  alone: alone.yaml
rubric:
  goodput: {points: 10, scenario: alone, value: utilisation(flow=mine), full: 90%, none: 10%}
"""
SCENARIO = """\
name: alone
engine: vm
topology: {kind: dumbbell, bottleneck: {rate: 6mbit, delay: 20ms}}
flows:
  mine: {from: s1, to: d1, cc: my_cc.bpf.c}
duration: 10s
"""


def graded_s(*arguments: str) -> float:
    """Return how long ``lab grade`` takes with these arguments, in seconds."""
    began = time.perf_counter()
    command = [str(Path(sys.executable).with_name("lab")), "grade", *arguments, "--no-cache", "--quiet"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def write_class(folder: Path, size: int) -> tuple[Path, Path]:
    """Write an assignment and a class of *size* submissions, no two of which have the same trials."""
    source = (ROOT / "lab" / "cc" / "starters" / "fixed.bpf.c").read_text(encoding="utf-8")
    assignment, handed = folder / "bench", folder / "handed"
    assignment.mkdir()
    for name, text in {"assignment.yaml": ASSIGNMENT, "alone.yaml": SCENARIO, "handout.md": "# Bench\n"}.items():
        (assignment / name).write_text(text, encoding="utf-8")
    (assignment / "my_cc.bpf.c").write_text(source, encoding="utf-8")
    for number in range(size):
        (handed / f"s{number:02}").mkdir(parents=True)
        own = source.replace("#define WINDOW 20", f"#define WINDOW {20 + number}")
        assert own != source or number == 0
        (handed / f"s{number:02}" / "my_cc.bpf.c").write_text(own, encoding="utf-8")
    return assignment, handed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=30, help="number of submissions of the class")
    size = parser.parse_args().size
    processors = len(os.sched_getaffinity(0))
    with scratch_folder("bench", print) as folder:
        one = graded_s(str(ROOT / "assignments" / "aimd"), "--reference", "-o", str(folder / "one"))
        assignment, handed = write_class(folder, size)
        times = {
            jobs: graded_s(str(assignment), str(handed), "-o", str(folder / f"jobs{jobs}"), "--jobs", str(jobs))
            for jobs in sorted({1, processors})
        }
    found = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": platform.processor() or platform.machine(),
        "processors": processors,
        "one_submission_s": round(one, 1),
        "class_size": size,
        "class_s": {str(jobs): round(seconds, 1) for jobs, seconds in times.items()},
        "speedup": round(times[1] / times[processors], 2),
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "grading.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"one submission of aimd: {one:.1f} s (target: {TARGET_S:g} s on 2 processors)")
    for jobs, seconds in times.items():
        print(f"{size} submissions, {jobs} at a time: {seconds:.1f} s, {seconds / size:.2f} s each")
    print(f"speed-up on {processors} processors: {found['speedup']}")


if __name__ == "__main__":
    main()
