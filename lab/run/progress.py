# SPDX-License-Identifier: Apache-2.0
"""Show the progress of a run on standard error: as a live display on a terminal, otherwise as plain lines."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from html import escape
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from lab.engine.base import Notice
from lab.errors import LabError
from lab.plan.plan import Plan, Trial
from lab.run.early import EarlyAnswer


class Detail(Enum):
    """How much is printed besides results and errors."""

    QUIET = "nothing"
    NORMAL = "progress"
    VERBOSE = "a line for everything that happens"


@dataclass
class _Counts:
    total: int
    finished: int = 0
    cached: int = 0
    failed: int = 0
    running: int = 0

    @property
    def done(self) -> int:
        return self.finished + self.failed

    def text(self) -> str:
        parts = [f"{self.done}/{self.total} trials done"]
        if self.cached:
            parts.append(f"{self.cached} of them from the cache")
        if self.failed:
            parts.append(f"{self.failed} failed")
        parts += [f"{self.running} running", f"{self.total - self.done - self.running} queued"]
        return ", ".join(parts)


class _Clock:
    """Estimates the remaining wall-clock time from the time that the finished virtual time has taken."""

    def __init__(self, plan: Plan) -> None:
        self._needed = {trial.id: trial.job["duration_ns"] for trial in plan.trials}
        self._reached = dict.fromkeys(self._needed, 0)
        self._began: float | None = None

    def start(self) -> None:
        self._began = self._began or time.monotonic()

    def reach(self, trial: Trial, virtual_ns: int) -> None:
        self._reached[trial.id] = min(virtual_ns, self._needed[trial.id])

    def leave_out(self, trial: Trial) -> None:
        """Count the trial as finished, or, before the first trial has started, do not count it at all."""
        if self._began is None:
            del self._needed[trial.id], self._reached[trial.id]
        else:
            self._reached[trial.id] = self._needed[trial.id]

    def share(self) -> float:
        """Return the part of the virtual time that has passed, from 0 to 1."""
        needed = sum(self._needed.values())
        return sum(self._reached.values()) / needed if needed else 1.0

    def left_s(self) -> float | None:
        """Return the estimated remaining time in seconds; None as long as no virtual time has passed."""
        reached, needed = sum(self._reached.values()), sum(self._needed.values())
        if self._began is None or not reached:
            return None
        return (time.monotonic() - self._began) * (needed - reached) / reached


class PlainObserver:
    """Prints one line for each event."""

    def __init__(self, plan: Plan, console: Console) -> None:
        self._counts = _Counts(len(plan.trials))
        self._clock = _Clock(plan)
        self._console = console

    def step(self, what: str) -> None:
        self._print(what)

    def started(self, trial: Trial) -> None:
        self._clock.start()
        self._counts.running += 1

    def reached(self, trial: Trial, virtual_ns: int) -> None:
        self._clock.reach(trial, virtual_ns)

    def finished(self, trial: Trial, wall_s: float, *, cached: bool) -> None:
        self._end(trial, cached)
        self._counts.finished += 1
        self._counts.cached += cached
        self._print(f"{trial.id}: {'from the cache' if cached else f'done in {wall_s:.1f} s'} ({self._state()})")

    def failed(self, trial: Trial, error: LabError) -> None:
        self._end(trial, cached=False)
        self._counts.failed += 1
        self._print(f"{trial.id}: FAILED: {error}")

    def refresh(self) -> None:
        """Show what has changed, for displays that do not do so by themselves; called by the thread that waits."""

    def watch(self, folder: Path) -> None:
        """Also show means of the repetitions in the run folder that are complete, if there is a place for them.

        This takes time that no trial wants.  In real time, even that could change what trials measure.
        """

    def _end(self, trial: Trial, cached: bool) -> None:
        self._clock.leave_out(trial)
        if not cached:
            self._counts.running -= 1

    def _state(self) -> str:
        left = self._clock.left_s()
        return self._counts.text() + (f", about {left:.0f} s left" if left else "")

    def _print(self, line: str) -> None:
        self._console.print(Text(line), soft_wrap=True)


class QuietObserver(PlainObserver):
    """Prints nothing: the command itself reports the trials that failed when the run has ended."""

    def _print(self, line: str) -> None:
        pass


class VerboseObserver(PlainObserver):
    """Also prints when trials start, and the error behind the one that a failed trial reports."""

    def started(self, trial: Trial) -> None:
        super().started(trial)
        self._print(f"{trial.id}: started ({trial.job['duration_ns'] / 1e9:g} virtual s)")

    def failed(self, trial: Trial, error: LabError) -> None:
        super().failed(trial, error)
        if error.__cause__ is not None:
            self._print(f"{trial.id}: the cause: {type(error.__cause__).__name__}: {error.__cause__}")


class LiveObserver(PlainObserver):
    """Updates a display in place: the running trials with their virtual time, and the estimated remaining time."""

    def __init__(self, plan: Plan, console: Console) -> None:
        super().__init__(plan, console)
        self._bars = Progress(
            TextColumn("  {task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[virtual]}"),
            console=console,
        )
        self._rows: dict[str, object] = {}
        self._what = "getting ready"
        self._plan = plan
        self._early: EarlyAnswer | None = None
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=4, transient=True)

    def __enter__(self) -> LiveObserver:
        self._live.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._early is not None:
            self._early.close()
        self._live.stop()

    def watch(self, folder: Path) -> None:
        self._early = EarlyAnswer(self._plan, folder)

    def step(self, what: str) -> None:
        if isinstance(what, Notice):
            self._print(what)
        else:
            self._what = what

    def started(self, trial: Trial) -> None:
        super().started(trial)
        self._what = ""
        total = trial.job["duration_ns"] / 1e9
        self._rows[trial.id] = self._bars.add_task(trial.id, total=total, virtual=f"0.0 of {total:.1f} virtual s")

    def reached(self, trial: Trial, virtual_ns: int) -> None:
        super().reached(trial, virtual_ns)
        total = trial.job["duration_ns"] / 1e9
        now = min(virtual_ns / 1e9, total)
        row = self._rows[trial.id]
        self._bars.update(row, completed=now, virtual=f"{now:.1f} of {total:.1f} virtual s")  # type: ignore[arg-type]

    def _end(self, trial: Trial, cached: bool) -> None:
        super()._end(trial, cached)
        row = self._rows.pop(trial.id, None)
        if row is not None:
            self._bars.remove_task(row)  # type: ignore[arg-type]
        if self._early is not None:
            self._early.ended(trial, cached=cached)

    def _print(self, line: str) -> None:
        if "FAILED" in line or isinstance(line, Notice):
            super()._print(line)

    def _render(self) -> Group:
        head = Table.grid(padding=(0, 2))
        head.add_row(Text(self._what or self._state(), style="bold"))
        table = self._early.table() if self._early is not None else None
        return Group(head, self._bars, *([table] if table is not None else []))


class NotebookObserver(PlainObserver):
    """Updates a progress bar in the output of a notebook's cell, with the failed trials and notices below it.

    rich's own bar would need ipywidgets.  The notebook is told only in :meth:`refresh`: the runner calls the other
    methods in a thread, and what threads display may end up in another cell.
    """

    def __init__(self, plan: Plan, console: Console) -> None:
        super().__init__(plan, console)
        ipython: Any = import_module("IPython.display")
        self._what = "getting ready"
        self._lines: list[str] = []
        self._html = ipython.HTML
        self._shown = ""
        self._handle = ipython.display(self._html(self._text()), display_id=True)

    def __enter__(self) -> NotebookObserver:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._what = ""
        self.refresh()

    def step(self, what: str) -> None:
        if isinstance(what, Notice):
            self._lines.append(what)
        else:
            self._what = what

    def started(self, trial: Trial) -> None:
        super().started(trial)
        self._what = ""

    def refresh(self) -> None:
        text = self._text()
        if text != self._shown:
            self._shown = text
            self._handle.update(self._html(text))

    def _text(self) -> str:
        lines = "".join(f"<div>{escape(line)}</div>" for line in self._lines)
        bar = f'<progress value="{self._clock.share():.3f}"></progress>'
        return f"<div>{bar} {escape(self._what or self._state())}</div>{lines}"

    def _print(self, line: str) -> None:
        if "FAILED" in line:
            self._lines.append(line)


@contextmanager
def observing(plan: Plan, detail: Detail = Detail.NORMAL) -> Iterator[PlainObserver]:
    """Provide the observer that suits *detail* and where it is shown: a notebook, a terminal, or a file of lines."""
    console = Console(stderr=True, highlight=False)
    if detail is Detail.QUIET:
        yield QuietObserver(plan, console)
    elif detail is Detail.VERBOSE:
        yield VerboseObserver(plan, console)
    elif console.is_jupyter:
        with NotebookObserver(plan, console) as notebook:
            yield notebook
    elif console.is_terminal:
        with LiveObserver(plan, console) as live:
            yield live
    else:
        yield PlainObserver(plan, console)
