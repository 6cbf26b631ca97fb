# SPDX-License-Identifier: Apache-2.0
"""Arithmetic on events over time: spans with one name, values that hold until they change, and histograms."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab.analysis.ack_samples import Floats, weighted_mean, weighted_quantile


@dataclass(frozen=True)
class Span:
    """A period with one name, such as a mode or a state; its times are seconds since the start of traffic."""

    start: float
    end: float
    name: str


def spans(times: NDArray[Any], names: Sequence[str], codes: NDArray[Any] | None = None) -> list[Span]:
    """Return the spans of consecutive equal names.

    Each span lasts until the next one begins, and the last one until the last of *times*.  If *codes* is given,
    ``names[codes[i]]`` is the name at ``times[i]``; otherwise it is ``names[i]``.
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
    """The change of a socket from one TCP state to another."""

    socket: int
    time_s: float
    old: str
    new: str
    held_s: float
    """How long the socket had been in the old state, in seconds; 0 if that is not known."""
    row: int = 0
    """A number by which the caller can find the change again."""


@dataclass(frozen=True)
class StateHistory:
    """The states of one end of a connection, from first to last."""

    spans: tuple[Span, ...]
    rows: tuple[int, ...]
    """The :attr:`StateChange.row` of each of its changes."""


def state_histories(changes: Iterable[StateChange], end_s: float) -> list[StateHistory]:
    """Return the states of each end of each connection.

    *changes* must be in order of time.  Once a socket is closed, a new one may have the same identity.  The state of
    a connection that is still open lasts until *end_s*.  Sockets that only listened are left out, because they are not
    connections.
    """
    running: dict[int, list[StateChange]] = {}
    lives: list[list[StateChange]] = []
    for change in changes:
        life = running.setdefault(change.socket, [])
        if not life:
            lives.append(life)
        life.append(change)
        if change.new == "CLOSE":
            del running[change.socket]
    found = []
    for life in lives:
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
    """Return the value at each of *moments* of a quantity that keeps each of *values* until the next of *times*.

    At moments before the first of *times* the result is *before*.
    """
    place = np.searchsorted(times, moments, side="right") - 1
    if not len(times):
        return np.full(len(moments), before)
    return np.where(place < 0, before, np.asarray(values, dtype=np.float64)[np.maximum(place, 0)])


@dataclass(frozen=True)
class Occupancy:
    """How full a queue was: statistics over time, in the unit of the samples."""

    mean: float
    p95: float
    most: float
    """Largest value."""


def occupancy(times: NDArray[Any], values: NDArray[Any], start: float, end: float) -> Occupancy | None:
    """Return the mean, p95 and maximum over the time from *start* to *end*; None if that time is empty.

    Each sample holds until the next one, and is weighted by how long it held.  Before the first sample the queue is
    taken to be empty.
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
    """Return the lower bound of the histogram bucket that contains the quantile; None if all counts are 0.

    *at_least* are the lower bounds of the buckets, in any order, and *counts* the number of values in each.
    """
    order = sorted(zip(at_least, counts, strict=True))
    total, seen = sum(counts), 0
    for bound, count in order:
        seen += count
        if total and seen >= quantile * total:
            return bound
    return None


def thinned(times: NDArray[Any], end: float, bins: int) -> Floats:
    """Return the first of *times* in each of *bins* equal bins, so that the marks in a figure do not overlap.

    *times* must be ascending and lie between 0 and *end*.
    """
    times = np.asarray(times, dtype=np.float64)
    if not len(times) or end <= 0:
        return times
    number = np.minimum((times / end * bins).astype(np.int64), bins - 1)
    return times[np.flatnonzero(np.diff(number, prepend=-1))]
