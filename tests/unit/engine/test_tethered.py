# SPDX-License-Identifier: Apache-2.0
"""Programs that end with the process that started them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from lab.engine.tethered import tethered

PARENT = """
import os, subprocess, sys
from lab.engine.tethered import tethered
child = subprocess.Popen(tethered(["sleep", "60"], os.getpid()))
print(child.pid, flush=True)
sys.stdin.read()
"""


def test_it_runs_on_the_processor_that_was_asked_for() -> None:
    asked = max(os.sched_getaffinity(0))
    shown = [sys.executable, "-c", "import os; print(os.sched_getaffinity(0), os.environ['LAB_TEST'])"]
    done = subprocess.run(
        tethered(shown, os.getpid(), asked),
        env={**os.environ, "LAB_TEST": "kept"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{{{asked}}} kept\n"


def test_it_ends_with_its_parent() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    while b"sleep" not in Path(f"/proc/{child}/cmdline").read_bytes():
        time.sleep(0.01)
    parent.kill()
    parent.communicate()
    end = time.monotonic() + 10
    while _runs(child):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_it_does_not_start_without_its_parent() -> None:
    done = subprocess.run(tethered(["echo", "started"], 1), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert (done.stdout, done.stderr) == ("", "the process that started this one has ended\n")


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(") ")[1][0] != "Z"
    except FileNotFoundError:
        return False
