# SPDX-License-Identifier: Apache-2.0
"""Save many figures on all processors."""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Sequence
from pathlib import Path

from lab.report.figures.drawn import Drawn
from lab.report.figures.look.settings import save

_MOST = 255
"""Number of figures that are shared out: their numbers are bytes in a pipe."""


def save_all(figures: Sequence[Drawn], folder: Path, processes: int | None = None) -> None:
    """Save all *figures* in *folder*, each in all formats; the bytes do not depend on the number of processes.

    Saving takes most of the time of a report.  Forks of this process share it: they have the figures already, and each
    process takes the next figure that nobody has taken.  If another thread runs, nothing is forked, because it may hold
    a lock that the fork would wait for.  *processes* is the number of processors unless it is given.
    """
    wanted = len(os.sched_getaffinity(0)) if processes is None else processes
    number = min(wanted, len(figures), _MOST) if threading.active_count() == 1 else 1
    saved = _in_processes(figures[:_MOST], folder, number) if number > 1 else set()
    for place, item in enumerate(figures):
        # What a process has not finished, for whatever reason, is saved here, where an error is told.
        if place not in saved:
            save(item.figure, folder, item.name)


def _in_processes(figures: Sequence[Drawn], folder: Path, number: int) -> set[int]:
    """Save *figures* in this process and in *number* − 1 forks of it; return the places of those that are saved."""
    _load_libraries()
    (take, give), (told, tell) = os.pipe(), os.pipe()
    children: list[int] = []
    with os.fdopen(told, "rb") as answers:
        try:
            with os.fdopen(give, "wb") as numbers:
                numbers.write(bytes(range(len(figures))))
            children += [_fork(figures, folder, take, tell) for _ in range(number - 1)]
            _save_next(figures, folder, take, tell)
        finally:
            for child in children:
                os.waitpid(child, 0)
            os.close(take)
            os.close(tell)
        return set(answers.read())


def _fork(figures: Sequence[Drawn], folder: Path, take: int, tell: int) -> int:
    child = os.fork()
    if child:
        return child
    try:
        _save_next(figures, folder, take, tell)
    finally:
        # Whatever happened, this process must not return to where the report is built.
        os._exit(0)


def _save_next(figures: Sequence[Drawn], folder: Path, take: int, tell: int) -> None:
    """Save the figures whose numbers can be taken from one pipe, until it is empty, and write them to the other."""
    while number := os.read(take, 1):
        item = figures[number[0]]
        save(item.figure, folder, item.name)
        os.write(tell, number)


def _load_libraries() -> None:
    """Import what all processes need before they are forked, so that it is imported once."""
    for name in ("svg", "pdf", "agg"):
        importlib.import_module(f"matplotlib.backends.backend_{name}")
