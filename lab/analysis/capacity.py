# SPDX-License-Identifier: Apache-2.0
"""How much links and paths can carry from one time to another, with schedules and capacity files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lab.analysis.ack_samples import Floats, Integers
from lab.analysis.path import FlowPath
from lab.job.network import Hop
from lab.job.over_time import (
    Steps,
    capacity_over_time,
    delay_over_time,
    is_down,
    netem_over_time,
    opportunity_times_ns,
    rate_over_time,
)
from lab.job.protocol import Direction

_LONG_NS = 3_600_000_000_000
"""How long a constant rate is continued before the start of traffic and after its end, in nanoseconds."""


@dataclass(frozen=True)
class Carried:
    """How many bytes, with their Ethernet headers, can have passed since the start of traffic."""

    time_ns: Floats
    """Ascending times, in nanoseconds."""
    bytes: Floats
    """The bytes by each of these times."""
    at_once: bool
    """Whether they pass all at once at these times (a capacity file), rather than evenly until these times."""

    def until(self, times_ns: NDArray[np.float64]) -> Floats:
        """Return the bytes that can have passed before each of *times_ns*."""
        if not self.at_once:
            return np.interp(times_ns, self.time_ns, self.bytes)
        found: Floats = np.concatenate([[0.0], self.bytes])[np.searchsorted(self.time_ns, times_ns, side="left")]
        return found

    def when(self, bytes_: NDArray[np.float64]) -> Floats:
        """Return the times by which so many bytes can have passed, in nanoseconds; at most the last time."""
        if not self.at_once:
            return np.interp(bytes_, self.bytes, self.time_ns)
        place = np.searchsorted(self.bytes, bytes_, side="left")
        last = len(self.time_ns) - 1
        found: Floats = self.time_ns[np.minimum(place, last)]
        return found


def leaves(direction: Direction, end_ns: int) -> Carried | None:
    """Return what can leave the queue of a direction; None if it has no rate limit.

    Packets also leave for a link that is down.  Capacity files are read up to *end_ns*, and then once more.
    """
    if (capacity := direction["capacity"]) is not None:
        until_ns = end_ns + (capacity["period_ms"] + 1) * 1_000_000
        times = np.fromiter(opportunity_times_ns(capacity, until_ns), dtype=np.float64)
        return _at_once(times, float(capacity["packet_bytes"]))
    rates = rate_over_time(direction, end_ns)
    return None if rates is None else _evenly(rates, end_ns)


def carried(direction: Direction, end_ns: int) -> Carried | None:
    """Return what a direction of a link can carry, which is nothing while it is down; None if it has no rate limit."""
    link, rates = leaves(direction, end_ns), capacity_over_time(direction, end_ns)
    if link is None or rates is None or not link.at_once:
        return None if rates is None else _evenly(rates, end_ns)
    down = netem_over_time(direction).map(is_down).changes
    place = np.searchsorted([at_ns for at_ns, _down in down], link.time_ns, side="right") - 1
    is_up = ~np.array([is_down_then for _at, is_down_then in down], dtype=np.bool_)[place]
    return _at_once(link.time_ns[is_up], float(link.bytes[0]))


def _evenly(rates: Steps[float], end_ns: int) -> Carried:
    edges = np.array([-_LONG_NS, *(at_ns for at_ns, _rate in rates.changes[1:]), end_ns + _LONG_NS], dtype=np.float64)
    per_ns = np.array([rate_bps / 8e9 for _at, rate_bps in rates.changes])
    sent: Floats = np.concatenate([[0.0], np.cumsum(np.diff(edges) * per_ns)])
    at_start = Carried(edges, sent, at_once=False).until(np.zeros(1))[0]
    return Carried(edges, sent - at_start, at_once=False)


def _at_once(time_ns: Floats, bytes_each: float) -> Carried:
    by_then: Floats = np.arange(1, len(time_ns) + 1, dtype=np.float64) * bytes_each
    return Carried(time_ns, by_then, at_once=True)


@dataclass(frozen=True)
class PathCapacity:
    """What can arrive at the receiver of a path, behind the delays of its links.

    Bins are given by their edges in nanoseconds, one more than there are bins.  In each bin, the hop counts that
    carries the least.
    """

    links: tuple[tuple[Carried, Steps[int]], ...]
    """What each hop with a rate limit can carry, and the delay from the end of its queue to the receiver."""

    def bytes_in(self, edges_ns: Integers) -> Floats | None:
        """Return how many bytes can arrive in each bin; None if no hop has a rate limit."""
        found = [np.diff(link.until(_left_at(edges_ns, delay))) for link, delay in self.links]
        least: Floats | None = np.min(found, axis=0) if found else None
        return least

    def bps_in(self, edges_ns: Integers) -> Floats | None:
        """Return the capacity in each bin in bit/s: that in the time when the packets left that arrive in the bin.

        The result is None if no hop has a rate limit.  When a delay grows, nothing arrives for some time, but the
        capacity is what it was.
        """
        found = []
        for link, delay in self.links:
            left_ns = _left_at(edges_ns, delay)
            took_ns = np.diff(left_ns)
            rate = np.diff(link.until(left_ns)) * 8e9 / np.where(took_ns > 0, took_ns, 1.0)
            # A bin in which nothing arrives has the capacity of the bin before.
            known = np.maximum.accumulate(np.where(took_ns > 0, np.arange(len(rate)), 0))
            found.append(rate[known])
        least: Floats | None = np.min(found, axis=0) if found else None
        return least


def path_capacity(path: FlowPath) -> PathCapacity:
    """Return what can arrive at the receiver of *path*."""
    return PathCapacity(
        tuple(
            (link, delay_over_time(path.forward[place:]))
            for place, hop in enumerate(path.forward)
            if (link := carried(hop.direction, path.end_ns)) is not None
        )
    )


def capacity_changes_ns(path: FlowPath) -> list[int]:
    """Return when scheduled changes of a link's capacity are felt at the receiver of the data, in nanoseconds."""
    return sorted(
        at_ns + delay_over_time(path.forward[place:]).at(at_ns)
        for place, hop in enumerate(path.forward)
        for at_ns in _changes_ns(hop, path.end_ns)
    )


def follows_file(path: FlowPath) -> bool:
    """Return whether a link on the path of the data follows a capacity file."""
    return any(hop.direction["capacity"] is not None for hop in path.forward)


def bin_edges_ns(end_ns: int, width_ns: int, changes_ns: Sequence[int] = ()) -> Integers:
    """Return the edges of bins from 0 to *end_ns* that begin anew at each of *changes_ns*.

    A bin is *width_ns* wide, or up to twice as wide before a change and at the end.  A change is passed over if the one
    before it is closer than *width_ns*.
    """
    starts = [0]
    for at_ns in sorted(changes_ns):
        if at_ns - starts[-1] >= width_ns and end_ns - at_ns >= width_ns:
            starts.append(at_ns)
    edges: list[int] = []
    for since_ns, until_ns in zip(starts, [*starts[1:], end_ns], strict=True):
        edges += [since_ns + number * width_ns for number in range(max(1, (until_ns - since_ns) // width_ns))]
    return np.array([*edges, end_ns], dtype=np.int64)


def _changes_ns(hop: Hop, end_ns: int) -> Sequence[int]:
    """Return when the capacity of a hop changes; for a capacity file, when the link goes down or up."""
    if hop.direction["capacity"] is None:
        capacity = capacity_over_time(hop.direction, end_ns)
        return [at_ns for at_ns, _rate in capacity.without_repeats().changes[1:]] if capacity else []
    return [at_ns for at_ns, _down in netem_over_time(hop.direction).map(is_down).without_repeats().changes[1:]]


def _left_at(arrival_ns: Integers, delay: Steps[int]) -> Floats:
    """Return until when packets must have left to arrive by *arrival_ns*; *delay* is that in force when they leave."""
    ends = [*(at_ns for at_ns, _delay in delay.changes[1:]), np.inf]
    left = np.full(len(arrival_ns), -np.inf)
    for number, (since_ns, delay_ns) in enumerate(delay.changes):
        has_begun = (arrival_ns >= since_ns + delay_ns) | (number == 0)
        left = np.maximum(left, np.where(has_begun, np.minimum(arrival_ns - delay_ns, ends[number]), -np.inf))
    return left
