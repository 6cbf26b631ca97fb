# SPDX-License-Identifier: Apache-2.0
"""Means of the repetitions that are complete, while the others still run.

They are computed by another process, ``python -m lab.run.early RUN TRIAL…``, which only gets time that no trial wants
(SCHED_IDLE, see sched(7)) and writes nothing: neither the trials nor their results notice it.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.table import Table

from lab.errors import LabError
from lab.evaluation.early import EarlyRow, early_rows
from lab.plan.plan import Plan, Trial

MOST_ROWS = 16
"""Largest number of rows of the table; more would not fit on a terminal beside the running trials."""
_MEASURES = (("goodput_bps", 1e-6, 2), ("queueing_delay_us", 1e-3, 2), ("retransmits", 1.0, 0))
"""Field of a row, what it is multiplied by, and the number of its decimals."""


class EarlyAnswer:
    """Has the complete repetitions of a run evaluated, one after the other, and keeps what came out."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self._folder = folder
        self._cells = {trial.id: trial.cell_id for trial in plan.trials}
        self._waiting: dict[int, set[str]] = {}
        for trial in plan.trials:
            self._waiting.setdefault(trial.repetition, set()).add(trial.id)
        self._members = {number: tuple(trials) for number, trials in self._waiting.items()}
        self._has_run: set[int] = set()
        self._ready: list[int] = []
        self._process: subprocess.Popen[str] | None = None
        self._rows: list[EarlyRow] = []
        self._lock = threading.Lock()
        self._is_closed = False

    def ended(self, trial: Trial, *, cached: bool) -> None:
        """Note that a trial is finished or has failed; if its repetition is complete, have it evaluated.

        A repetition that came from the cache takes no time, and after the last one the report follows: neither is.
        """
        self._waiting[trial.repetition].discard(trial.id)
        if not cached:
            self._has_run.add(trial.repetition)
        is_over = not any(self._waiting.values())
        if not self._waiting[trial.repetition] and trial.repetition in self._has_run and not is_over:
            # What came from the cache before belongs to the means, too.
            earlier = [number for number, left in self._waiting.items() if not left and number not in self._has_run]
            self._has_run.update(earlier)
            with self._lock:
                self._ready += [*earlier, trial.repetition]
            self._next()

    def rows(self) -> tuple[EarlyRow, ...]:
        """Return the rows of all trials that have been evaluated until now."""
        with self._lock:
            return tuple(self._rows)

    def table(self) -> Table | None:
        """Return the means of each cell and flow over the repetitions; None as long as there are none."""
        return means_table(self.rows(), self._cells)

    def close(self) -> None:
        """End the process that evaluates, if there is one; nothing starts any more."""
        with self._lock:
            self._is_closed = True
            process, self._ready = self._process, []
        if process is not None:
            process.kill()
            process.wait()

    def _next(self) -> None:
        """Start evaluating the next complete repetition, unless another one is being evaluated."""
        with self._lock:
            if self._is_closed or self._process is not None or not self._ready:
                return
            trials = self._members[self._ready.pop(0)]
            command = [sys.executable, "-m", __name__, str(self._folder), *trials]
            try:
                self._process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
                )
            except OSError:
                # The run is complete without early means.
                return
        threading.Thread(target=self._collect, args=(self._process,), daemon=True).start()

    def _collect(self, process: subprocess.Popen[str]) -> None:
        text, _errors = process.communicate()
        found = [EarlyRow(**fields) for fields in json.loads(text)] if process.returncode == 0 else []
        with self._lock:
            self._rows += found
            self._process = None
        self._next()


@dataclass(frozen=True)
class _Mean:
    cell: str
    flow: str
    number: int
    values: tuple[float | None, ...]


def means_table(rows: Sequence[EarlyRow], cells: Mapping[str, str]) -> Table | None:
    """Return the means of *rows*, in the order of the cells; *cells* are the ids of trials with those of their cells.

    The result is None without rows.
    """
    means = _means(rows, cells)
    if not means:
        return None
    table = Table(box=None, padding=(0, 2), title="means until now", title_justify="left", title_style="bold")
    for heading in ("cell", "flow"):
        table.add_column(heading)
    for heading in ("n", "goodput, Mbit/s", "queueing delay, ms", "retransmissions"):
        table.add_column(heading, justify="right")
    for mean in means[:MOST_ROWS]:
        texts = [
            "–" if value is None else f"{value * factor:,.{digits}f}"
            for value, (_name, factor, digits) in zip(mean.values, _MEASURES, strict=True)
        ]
        table.add_row(mean.cell, mean.flow, str(mean.number), *texts)
    if len(means) > MOST_ROWS:
        table.add_row(f"and {len(means) - MOST_ROWS} more", "", "")
    return table


def _means(rows: Sequence[EarlyRow], cells: Mapping[str, str]) -> list[_Mean]:
    groups: dict[tuple[str, str], list[EarlyRow]] = {}
    has_groups = len({row.group for row in rows}) > 1
    for row in rows:
        flow = f"{row.group} ({row.algorithm})" if has_groups and row.group != row.algorithm else row.algorithm
        groups.setdefault((cells[row.trial], flow), []).append(row)
    order = list(dict.fromkeys(cells.values()))
    found = []
    for (cell, flow), own in sorted(groups.items(), key=lambda item: order.index(item[0][0])):
        known = [[value for row in own if (value := getattr(row, name)) is not None] for name, _f, _d in _MEASURES]
        means = tuple(math.fsum(values) / len(values) if values else None for values in known)
        found.append(_Mean(cell, flow, len(own), means))
    return found


def main(arguments: Sequence[str]) -> None:
    """Print the rows of some trials of a run as JSON."""
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    from lab.store.run import open_run

    folder, *wanted = arguments
    rows: list[EarlyRow] = []
    run = open_run(Path(folder))
    for trial in wanted:
        # A failed trial has no rows, and the report says what is wrong with a damaged one.
        with contextlib.suppress(LabError):
            rows += early_rows(run.trial(trial))
    json.dump([asdict(row) for row in rows], sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
