# SPDX-License-Identifier: Apache-2.0
"""What happened when: stretches of time with one name, values that hold until they change, counts in buckets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab.analysis.ack_samples import Floats, weighted_mean, weighted_quantile


@dataclass(frozen=True)
class Span:
    """A stretch of time in which something had one name (a mode, a state); in seconds since the start of traffic."""

    start: float
    end: float
    name: str


def spans(times: NDArray[Any], names: Sequence[str], codes: NDArray[Any] | None = None) -> list[Span]:
    """Return the stretches of equal names; each lasts until the next begins, and the last until the last time.

    With *codes*, ``names[codes[i]]`` is the name at ``times[i]``; without, ``names[i]`` is.
    """
    if not len(times):
        return []
    if codes is None:
        distinct = list(dict.fromkeys(names))
        codes, names = np.array([distinct.index(name) for name in names]), distinct
    starts = np.flatnonzero(np.diff(codes, prepend=codes[0] - 1))
    ends = np.append(starts[1:], len(times) - 1)
    return [
        Span(float(times[start]), float(times[end]), names[codes[start]])
        for start, end in zip(starts, ends, strict=True)
    ]


@dataclass(frozen=True)
class StateChange:
    """A socket went from one state to another."""

    socket: int
    time_s: float
    old: str
    new: str
    held_s: float
    """How long it had been in the old state; 0 where that is not known."""
    row: int = 0
    """Whatever the caller wants to find it by."""


@dataclass(frozen=True)
class StateHistory:
    """The life of one end of a connection."""

    spans: tuple[Span, ...]
    rows: tuple[int, ...]
    """Of its changes."""


def state_histories(changes: Iterable[StateChange], end_s: float) -> list[StateHistory]:
    """Return the states of each connection's end from its changes, which are in order of time.

    A socket's identity may be used again once it is closed.  What is still open lasts until *end_s*.  A socket that
    only listened is no connection.
    """
    running: dict[int, list[StateChange]] = {}
    finished: list[list[StateChange]] = []
    for change in changes:
        life = running.setdefault(change.socket, [])
        if not life:
            finished.append(life)
        life.append(change)
        if change.new == "CLOSE":
            del running[change.socket]
    found = []
    for life in finished:
        first = life[0]
        stretches = []
        if first.held_s > 0 and first.old not in ("CLOSE", "LISTEN"):
            stretches.append(Span(first.time_s - first.held_s, first.time_s, first.old))
        ends = [change.time_s for change in life[1:]] + [max(end_s, life[-1].time_s)]
        stretches += [
            Span(change.time_s, end, change.new)
            for change, end in zip(life, ends, strict=True)
            if change.new not in ("CLOSE", "LISTEN")
        ]
        if stretches:
            found.append(StateHistory(tuple(stretches), tuple(change.row for change in life)))
    return found


def held_at(times: NDArray[Any], values: NDArray[Any], moments: NDArray[Any], before: float = 0.0) -> Floats:
    """Return the value at each of *moments* of something that holds each value until the next; *before* the first."""
    place = np.searchsorted(times, moments, side="right") - 1
    if not len(times):
        return np.full(len(moments), before)
    return np.where(place < 0, before, np.asarray(values, dtype=np.float64)[np.maximum(place, 0)])


@dataclass(frozen=True)
class Occupancy:
    """How full a queue was, over time."""

    mean: float
    p95: float
    most: float


def occupancy(times: NDArray[Any], values: NDArray[Any], start: float, end: float) -> Occupancy | None:
    """Return mean, 95th percentile and maximum over the time from *start* to *end*; empty before the first sample.

    Each sample's value holds until the next one, so it counts for that long.
    """
    if end <= start:
        return None
    inside = (times > start) & (times < end)
    edges = np.concatenate([[start], times[inside], [end]]).astype(np.float64)
    held = held_at(times, values, edges[:-1])
    lengths = np.diff(edges)
    mean, p95 = weighted_mean(held, lengths), weighted_quantile(held, lengths, 0.95)
    return None if mean is None or p95 is None else Occupancy(mean, p95, float(held.max()))


def bucket_quantile(at_least: Sequence[int], counts: Sequence[int], quantile: float) -> int | None:
    """Return the lower bound of the bucket in which *quantile* of what was counted is reached; None for nothing."""
    order = sorted(zip(at_least, counts, strict=True))
    total, seen = sum(counts), 0
    for bound, count in order:
        seen += count
        if total and seen >= quantile * total:
            return bound
    return None


def thinned(times: NDArray[Any], end: float, bins: int) -> Floats:
    """Return the first of *times* (ascending, 0 to *end*) in each of *bins* equal bins: more would run together."""
    times = np.asarray(times, dtype=np.float64)
    if not len(times) or end <= 0:
        return times
    number = np.minimum((times / end * bins).astype(np.int64), bins - 1)
    return times[np.flatnonzero(np.diff(number, prepend=-1))]
