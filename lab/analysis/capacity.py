# SPDX-License-Identifier: Apache-2.0
"""How much links and paths can carry from one time to another, with schedules and capacity files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lab.analysis.ack_samples import Floats, Integers
from lab.analysis.path import FlowPath
from lab.job.network import Hop
from lab.job.over_time import Steps, delay_over_time, opportunity_times_ns, rate_over_time
from lab.job.protocol import Direction

_LONG_NS = 3_600_000_000_000
"""How long a constant rate is continued before the start of traffic and after its end, in nanoseconds."""


@dataclass(frozen=True)
class Carried:
    """How many bytes, with their Ethernet headers, a link can have sent since the start of traffic."""

    time_ns: Floats
    """Ascending times, in nanoseconds."""
    bytes: Floats
    """The bytes by each of these times."""
    at_once: bool
    """Whether they are sent all at once at these times (a capacity file), rather than evenly until these times."""

    def until(self, times_ns: NDArray[np.float64]) -> Floats:
        """Return the bytes that the link can have sent before each of *times_ns*."""
        if not self.at_once:
            return np.interp(times_ns, self.time_ns, self.bytes)
        found: Floats = np.concatenate([[0.0], self.bytes])[np.searchsorted(self.time_ns, times_ns, side="left")]
        return found

    def when(self, bytes_: NDArray[np.float64]) -> Floats:
        """Return the times by which the link can have sent so many bytes, in nanoseconds; at most the last time."""
        if not self.at_once:
            return np.interp(bytes_, self.bytes, self.time_ns)
        place = np.searchsorted(self.bytes, bytes_, side="left")
        last = len(self.time_ns) - 1
        found: Floats = self.time_ns[np.minimum(place, last)]
        return found


def carried(direction: Direction, end_ns: int) -> Carried | None:
    """Return what a direction of a link can carry; None if it has no rate limit.

    Capacity files are read up to *end_ns*, and then for another minute.
    """
    if (capacity := direction["capacity"]) is not None:
        times = np.fromiter(opportunity_times_ns(capacity, end_ns + 60_000_000_000), dtype=np.float64)
        by_then: Floats = np.arange(1, len(times) + 1, dtype=np.float64) * capacity["packet_bytes"]
        return Carried(times, by_then, at_once=True)
    rates = rate_over_time(direction, end_ns)
    if rates is None:
        return None
    edges = np.array([-_LONG_NS, *(at_ns for at_ns, _rate in rates.changes[1:]), end_ns + _LONG_NS], dtype=np.float64)
    per_ns = np.array([rate_bps / 8e9 for _at, rate_bps in rates.changes])
    sent: Floats = np.concatenate([[0.0], np.cumsum(np.diff(edges) * per_ns)])
    at_start = Carried(edges, sent, at_once=False).until(np.zeros(1))[0]
    return Carried(edges, sent - at_start, at_once=False)


def path_carries(path: FlowPath) -> Callable[[Integers], Floats | None]:
    """Return a function that says how many bytes can arrive at the receiver in each bin.

    It takes the ends of the bins in nanoseconds, one more than there are bins, and returns None if no hop of the path
    has a rate limit.  In each bin, the hop counts that carries the least.  A hop's bytes count when they arrive at the
    receiver, after the delays behind the hop's queue.
    """
    links = [
        (link, delay_over_time(path.forward[place:]))
        for place, hop in enumerate(path.forward)
        if (link := carried(hop.direction, path.end_ns)) is not None
    ]

    def carries(edges_ns: Integers) -> Floats | None:
        if not links:
            return None
        least: Floats = np.min([np.diff(link.until(_left_at(edges_ns, delay))) for link, delay in links], axis=0)
        return least

    return carries


def capacity_changes_ns(path: FlowPath) -> list[int]:
    """Return when scheduled changes of a rate on the path of the data are felt at the receiver, in nanoseconds."""
    return sorted(
        at_ns + delay_over_time(path.forward[place:]).at(at_ns)
        for place, hop in enumerate(path.forward)
        if hop.direction["capacity"] is None
        for at_ns, _rate in _changes(hop, path.end_ns)
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


def _changes(hop: Hop, end_ns: int) -> Sequence[tuple[int, float]]:
    rates = rate_over_time(hop.direction, end_ns)
    return rates.without_repeats().changes[1:] if rates else ()


def _left_at(arrival_ns: Integers, delay: Steps[int]) -> Floats:
    """Return until when packets must have left to arrive by *arrival_ns*; *delay* is that in force when they leave."""
    ends = [*(at_ns for at_ns, _delay in delay.changes[1:]), np.inf]
    left = np.full(len(arrival_ns), -np.inf)
    for number, (since_ns, delay_ns) in enumerate(delay.changes):
        has_begun = (arrival_ns >= since_ns + delay_ns) | (number == 0)
        left = np.maximum(left, np.where(has_begun, np.minimum(arrival_ns - delay_ns, ends[number]), -np.inf))
    return left
