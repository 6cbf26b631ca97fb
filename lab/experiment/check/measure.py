# SPDX-License-Identifier: Apache-2.0
"""Check the measured windows: each must lie within the time of what it measures.  This module does no I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lab.experiment.check.problems import Problem
from lab.experiment.resolve.traffic import connections_of
from lab.experiment.schema.experiment import Experiment, Measure
from lab.experiment.schema.fields import Path
from lab.units import format_duration

__all__ = ["measure_problems"]

_CLOCK = "'from' and 'to' are measured from the start of traffic"


@dataclass(frozen=True)
class _Runs:
    """A flow or probe, with the periods in which it runs, whatever the start jitter: (start, end) in nanoseconds."""

    what: str
    """``flow`` or ``probe``."""
    here: Path
    measure: Measure | None
    """Its own."""
    periods: tuple[tuple[int, int], ...]
    is_on_off: bool = False
    per_second: float | None = None
    """The mean number of short flows that start in each second; None for anything else."""

    @property
    def start_ns(self) -> int:
        return min(start for start, _end in self.periods)

    @property
    def end_ns(self) -> int:
        return max(end for _start, end in self.periods)


def measure_problems(experiment: Experiment) -> Iterator[Problem]:
    """Yield the problems of the experiment's ``measure`` and of those of its flows and probes.

    The times of flows and probes must have been checked before.
    """
    found = list(_of_experiment(experiment))
    yield from found
    for runs in _all_runs(experiment):
        if runs.measure is not None:
            own = list(_of_one(runs, runs.measure))
            yield from own or _outside(experiment, runs, runs.measure, (*runs.here, "measure"))
        elif experiment.measure is not None and not found:
            yield from _outside(experiment, runs, experiment.measure, ("measure",))


def _all_runs(experiment: Experiment) -> Iterator[_Runs]:
    for name, flow in experiment.flows.items():
        periods = tuple(
            (one.start_ns, one.start_ns + one.duration_ns) for one in connections_of(name, flow, experiment.duration)
        )
        per_second = flow.arrivals.per_second if flow.arrivals is not None else None
        yield _Runs("flow", ("flows", name), flow.measure, periods, flow.on is not None, per_second)
    for name, probe in experiment.probes.items():
        end_ns = experiment.duration if probe.duration is None else probe.start + probe.duration
        yield _Runs("probe", ("probes", name), probe.measure, ((probe.start, end_ns),))


def _of_experiment(experiment: Experiment) -> Iterator[Problem]:
    if experiment.measure is None:
        return
    total = f"the experiment's duration, {format_duration(experiment.duration)}"
    start, end = experiment.measure.start, experiment.measure.end
    if start >= experiment.duration:
        yield Problem(("measure", "from"), f"found {format_duration(start)}; expected less than {total}")
    elif end != "end" and end <= start:
        yield _not_later(("measure", "to"), start, end)
    elif end != "end" and end > experiment.duration:
        yield Problem(("measure", "to"), f"found {format_duration(end)}; expected 'end', or at most {total}")


def _of_one(runs: _Runs, measure: Measure) -> Iterator[Problem]:
    """Yield the problem of a window that is not within the time of its flow or probe."""
    here: Path = (*runs.here, "measure")
    start, end = measure.start, measure.end
    name = f"{runs.what} '{runs.here[-1]}'"
    if 0 < start < runs.start_ns or start >= runs.end_ns:
        yield Problem(
            (*here, "from"),
            f"found {format_duration(start)}, when {name} does not run; expected a time from "
            f"{format_duration(runs.start_ns)} to {format_duration(runs.end_ns)}, because {_CLOCK}",
        )
    elif end != "end" and end <= start:
        yield _not_later((*here, "to"), start, end)
    elif end != "end" and not runs.start_ns < end <= runs.end_ns:
        yield Problem(
            (*here, "to"),
            f"found {format_duration(end)}, when {name} does not run; expected 'end', or a time after "
            f"{format_duration(runs.start_ns)} and not after {format_duration(runs.end_ns)}, because {_CLOCK}",
        )


def _not_later(here: Path, start: int, end: int) -> Problem:
    found = f"found {format_duration(end)} with 'from' at {format_duration(start)}"
    return Problem(here, f"{found}; expected 'end' or a later time than 'from'")


def _outside(experiment: Experiment, runs: _Runs, measure: Measure, here: Path) -> Iterator[Problem]:
    """Yield a problem if the window has no part in which the flow runs, however the start jitter shifts it.

    Of a flow that sends on and off, the window must only contain a part of one period.
    """
    jitter_ns = experiment.start_jitter if runs.what == "flow" else 0
    to = runs.end_ns + jitter_ns if measure.end == "end" else measure.end
    shares = [min(to, end) - max(measure.start, start + jitter_ns) for start, end in runs.periods]
    if (max(shares) if runs.is_on_off else min(shares)) <= 0:
        hint = "" if runs.measure else f", or a 'measure' of its own for this {runs.what}"
        message = f"found a window {_text(measure)}, in which {_absent(runs, shares, jitter_ns)}"
        yield Problem(here, f"{message}; expected a window with a part of its time{hint}", "key")
    elif runs.per_second is not None and runs.per_second * min(shares) < 10**9:
        yield Problem(
            here,
            f"found a window {_text(measure)}, in which fewer than one short flow of '{runs.here[-1]}' starts on "
            "average; expected at least one",
            "key",
        )


def _text(measure: Measure) -> str:
    end = "the end" if measure.end == "end" else format_duration(measure.end)
    return f"from {format_duration(measure.start)} to {end}"


def _absent(runs: _Runs, shares: Sequence[int], jitter_ns: int) -> str:
    """Return what does not run in a window; *shares* are how much of each period is in it."""
    if runs.is_on_off:
        return f"flow '{runs.here[-1]}' does not send"
    start, end = runs.periods[shares.index(min(shares))]
    one = "one of the flows of" if len(runs.periods) > 1 else runs.what
    shifted = f", shifted by up to {format_duration(jitter_ns)}" if jitter_ns else ""
    when = f"from {format_duration(start)} to {format_duration(end)}{shifted}"
    return f"{one} '{runs.here[-1]}' does not run (it runs {when})"
