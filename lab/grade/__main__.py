# SPDX-License-Identifier: Apache-2.0
"""The process that runs one scenario of one submission: ``python -m lab.grade TASK``."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from lab.grade.scenario.task import Task
from lab.grade.scenario.work import carry_out

if __name__ == "__main__":
    # What runs is cleaned up when the process is told to end.
    signal.signal(signal.SIGTERM, lambda _signal, _frame: signal.raise_signal(signal.SIGINT))
    carry_out(Task.read(Path(sys.argv[1])))
