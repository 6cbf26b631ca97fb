# SPDX-License-Identifier: Apache-2.0
"""Conditions on a state over time: whether a flow is in it, for how long, and how often."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from lab.analysis.events import Span
from lab.expect.tree import Bound, Stay
from lab.units import format_duration

__all__ = ["Stayed", "stayed"]

EDGE = 1e-9
"""Times that differ by less, in seconds, are equal."""


@dataclass(frozen=True)
class Stayed:
    """Whether a condition on a state holds in a trial."""

    holds: bool
    observed: str
    """What the flow did, in words."""
    margin: float | None
    """By how many seconds the condition holds, or is missed if it is negative; None if it has no such number."""


def stayed(found: Sequence[Span], name: str, comparator: str, window: tuple[float, float], stay: Stay | None) -> Stayed:
    """Return whether a condition on a state holds between two times, given all spans of states, in order of time.

    Without *stay*, the flow must be in the state *name* all the time (``==``), or never (``!=``).  With it, each time
    that it is in the state must be as long as ``for`` says, except for one that the end of the window cuts, and
    ``every`` says how far the starts of two such times are apart.  The first one must come within the longest such
    distance from the start of the window, and the last one within this distance from its end.
    """
    start, end = window
    inside = [
        Span(max(span.start, start), min(span.end, end), span.name)
        for span in found
        if span.end > start and span.start < end
    ]
    own = [span for span in inside if span.name == name]
    total = math.fsum(span.end - span.start for span in own)
    if stay is not None:
        return _times(own, name, window, stay)
    covered = math.fsum(span.end - span.start for span in inside)
    if comparator == "!=":
        text = f"{_text(total)} in {name}" if own else f"never in {name}"
        return Stayed(not own, text, None)
    others = covered - total
    return Stayed(bool(own) and others <= EDGE, f"{_text(total)} of {_text(covered)} in {name}", None)


def _times(own: Sequence[Span], name: str, window: tuple[float, float], stay: Stay) -> Stayed:
    start, end = window
    whole = [span for span in own if span.end < end - EDGE]
    margins: list[float] = []
    texts: list[str] = []
    if stay.lasts is not None:
        lengths = [span.end - span.start for span in whole]
        margins += [margin for length in lengths for margin in _margins(length, stay.lasts)]
        texts.append(f"for {_range(lengths)}" if lengths else "never for its whole time")
        if not lengths:
            margins.append(-(stay.lasts.low or 0.0) or -EDGE * 2)
    if stay.every is not None:
        gaps = [after.start - before.start for before, after in itertools.pairwise(own)]
        margins += [margin for gap in gaps for margin in _margins(gap, stay.every)]
        if stay.every.high is not None:
            edges = [own[0].start - start, end - own[-1].start] if own else [end - start]
            margins += [stay.every.high - edge for edge in edges]
        if own:
            first = f"first at {_text(own[0].start)}"
            texts.append(f"starts {_range(gaps)} apart, {first}" if gaps else first)
    times = f"{len(own)} time{'' if len(own) == 1 else 's'} in {name}"
    margin = min(margins, default=-1.0)
    return Stayed(bool(own) and margin >= -EDGE, ", ".join([times, *texts]), margin)


def _margins(value: float, bound: Bound) -> list[float]:
    low = [] if bound.low is None else [value - bound.low]
    return low if bound.high is None else [*low, bound.high - value]


def _range(values: Sequence[float]) -> str:
    low, high = _text(min(values)), _text(max(values))
    return low if low == high else f"{low} to {high}"


def _text(seconds: float) -> str:
    return format_duration(round(seconds * 1e9), 4)
