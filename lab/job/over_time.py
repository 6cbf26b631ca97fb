# SPDX-License-Identifier: Apache-2.0
"""Values that change while traffic runs: the rate, the queue and the delay of a link, and the bottleneck of a path.

A schedule changes a link at given times, and a capacity file changes its rate all the time.  This module is copied into
the guest.  It therefore uses only the standard library and imports nothing from ``lab`` but the protocol.
"""

from __future__ import annotations

import base64
import math
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Generic, TypeVar

from lab.job.network import Hop, mean_loss
from lab.job.protocol import Capacity, Direction, Netem, Queue

T = TypeVar("T")
U = TypeVar("U")

CAPACITY_BIN_NS = 100_000_000
"""A capacity file has opportunities instead of a rate.  Its rate is that of its opportunities in bins of this width."""

_MS = 1_000_000

LOWEST_JITTER = {"uniform": -1.0, "normal": -32768 / 8192, "pareto": -5461 / 8192, "paretonormal": -12305 / 8192}
"""Distribution → the smallest deviation from the delay, as a multiple of the jitter.

``tabledist()`` (net/sched/sch_netem.c) draws from delay − jitter to delay + jitter without a table, and otherwise
multiplies the jitter by an entry of the table in units of 1/8192.  The entries are those of iproute2's ``*.dist``.
"""
HIGHEST_JITTER = {"uniform": 1.0, "normal": 28858 / 8192, "pareto": 32767 / 8192, "paretonormal": 31789 / 8192}
"""Distribution → the largest deviation from the delay, as a multiple of the jitter."""


@dataclass(frozen=True)
class Steps(Generic[T]):
    """A quantity that keeps each of its values until it changes."""

    changes: tuple[tuple[int, T], ...]
    """Pairs of a time in nanoseconds since the start of traffic and the value from then on, in order of time.

    There is at least one.  Before the first time, the quantity has the first value.
    """

    def at(self, time_ns: int) -> T:
        """Return the value at a time."""
        return self.changes[max(0, bisect_right(self.changes, time_ns, key=lambda change: change[0]) - 1)][1]

    def spans(self, start_ns: int, end_ns: int) -> Iterator[tuple[int, int, T]]:
        """Yield the start, the end and the value of each period from *start_ns* to *end_ns* in which it is constant.

        If both times are the same, the only period has no length.
        """
        inside = [at_ns for at_ns, _value in self.changes if start_ns < at_ns < end_ns]
        for since_ns, until_ns in pairwise([start_ns, *inside, end_ns]):
            yield since_ns, until_ns, self.at(since_ns)

    def map(self, change: Callable[[T], U]) -> Steps[U]:
        """Return the quantity with *change* applied to each value."""
        return Steps(tuple((at_ns, change(value)) for at_ns, value in self.changes))

    def without_repeats(self) -> Steps[T]:
        """Return the same quantity without changes that change nothing."""
        kept = [self.changes[0]]
        for at_ns, value in self.changes[1:]:
            if value != kept[-1][1]:
                kept.append((at_ns, value))
        return Steps(tuple(kept))


def combined(parts: Sequence[Steps[T]], how: Callable[[Sequence[T]], U]) -> Steps[U]:
    """Return a quantity that *how* computes from the values of *parts* at each time."""
    times = sorted({at_ns for part in parts for at_ns, _value in part.changes}) or [0]
    places = [0] * len(parts)
    found = []
    for at_ns in times:
        for number, part in enumerate(parts):
            while places[number] + 1 < len(part.changes) and part.changes[places[number] + 1][0] <= at_ns:
                places[number] += 1
        found.append((at_ns, how([part.changes[place][1] for part, place in zip(parts, places, strict=True)])))
    return Steps(tuple(found))


def mean(steps: Steps[float], start_ns: int, end_ns: int) -> float:
    """Return the mean over the time from *start_ns* to *end_ns*; the value at *start_ns* if that time is empty."""
    if end_ns <= start_ns:
        return steps.at(start_ns)
    total = math.fsum((until_ns - since_ns) * value for since_ns, until_ns, value in steps.spans(start_ns, end_ns))
    return total / (end_ns - start_ns)


# --- one direction of a link -------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def _opportunities(counts: str) -> tuple[int, ...]:
    counted = zlib.decompress(base64.b64decode(counts))
    return tuple(ms for ms, count in enumerate(counted) for _ in range(count))


def opportunities_ms(capacity: Capacity) -> tuple[int, ...]:
    """Return the times at which packets may leave, in ms from the start of the period, one for each opportunity."""
    return _opportunities(capacity["counts"])


def longest_wait_ns(capacity: Capacity) -> int:
    """Return the longest time between two opportunities, in nanoseconds."""
    times = opportunities_ms(capacity)
    return max(after - before for before, after in pairwise([*times, times[0] + capacity["period_ms"]])) * _MS


def opportunity_times_ns(capacity: Capacity, end_ns: int) -> Iterator[int]:
    """Yield the times of all opportunities before *end_ns*, in nanoseconds since the start of traffic."""
    start_ns, times = 0, opportunities_ms(capacity)
    while start_ns < end_ns:
        for ms in times:
            if (at_ns := start_ns + ms * _MS) >= end_ns:
                return
            yield at_ns
        start_ns += capacity["period_ms"] * _MS


def rate_over_time(direction: Direction, end_ns: int) -> Steps[float] | None:
    """Return the rate of a direction in bit/s; None if it has no rate limit.

    The rate of a capacity file is that of its opportunities in bins of :data:`CAPACITY_BIN_NS`, up to *end_ns*.
    """
    if direction["rate_bps"] is None:
        return None
    if (capacity := direction["capacity"]) is not None:
        counts = [0] * max(1, -(-end_ns // CAPACITY_BIN_NS))
        for at_ns in opportunity_times_ns(capacity, len(counts) * CAPACITY_BIN_NS):
            counts[at_ns // CAPACITY_BIN_NS] += 1
        bps = capacity["packet_bytes"] * 8 * 10**9 / CAPACITY_BIN_NS
        return Steps(tuple((number * CAPACITY_BIN_NS, count * bps) for number, count in enumerate(counts)))
    later = [(change["at_ns"], change["rate_bps"]) for change in direction["changes"] if change["rate_bps"] is not None]
    return Steps((*_from_start(direction["rate_bps"]), *((at_ns, float(rate)) for at_ns, rate in later)))


def _from_start(rate_bps: int) -> tuple[tuple[int, float], ...]:
    return ((0, float(rate_bps)),)


def capacity_over_time(direction: Direction, end_ns: int) -> Steps[float] | None:
    """Return what a direction can carry in bit/s: its rate, and nothing while it is down; None without a rate limit."""
    rates = rate_over_time(direction, end_ns)
    if rates is None or not any(is_down(netem) for _at, netem in netem_over_time(direction).changes):
        return rates
    up = netem_over_time(direction).map(lambda netem: 0.0 if is_down(netem) else 1.0)
    return combined([rates, up], lambda now: now[0] * now[1]).without_repeats()


def is_down(netem: Netem | None) -> bool:
    """Return whether netem loses all packets."""
    return netem is not None and mean_loss(netem) == 1


def queue_over_time(direction: Direction) -> Steps[Queue | None]:
    """Return the queue of a direction as its schedule changes it; None if it has none."""
    later = [(change["at_ns"], change["queue"]) for change in direction["changes"] if change["queue"] is not None]
    return Steps(((0, direction["queue"]), *later))


def netem_over_time(direction: Direction) -> Steps[Netem | None]:
    """Return the netem of a direction as its schedule changes it; None if it has none."""
    later = [(change["at_ns"], change["netem"]) for change in direction["changes"] if change["netem"] is not None]
    return Steps(((0, direction["netem"]), *later))


def delay_ns(netem: Netem | None) -> int:
    """Return the declared delay of a netem, in nanoseconds."""
    return netem["delay_ns"] if netem else 0


def lowest_delay_ns(netem: Netem | None) -> int:
    """Return the shortest delay that netem can give to a packet that it delays, in nanoseconds.

    Packets that netem sends ahead of others (``reorder``) are not delayed at all; they do not count here.
    """
    return _with_jitter(netem, LOWEST_JITTER)


def highest_delay_ns(netem: Netem | None) -> int:
    """Return the longest delay that netem can give to a packet, in nanoseconds."""
    return _with_jitter(netem, HIGHEST_JITTER)


def _with_jitter(netem: Netem | None, deviation: dict[str, float]) -> int:
    if netem is None:
        return 0
    jitter = netem["jitter"]
    off = round(deviation[jitter["distribution"]] * jitter["spread_ns"]) if jitter else 0
    return max(0, netem["delay_ns"] + off)


def delay_over_time(hops: Iterable[Hop], of: Callable[[Netem | None], int] = delay_ns) -> Steps[int]:
    """Return the sum of the delays of *hops*, in nanoseconds; *of* says which delay of a netem counts."""
    return combined([netem_over_time(hop.direction).map(of) for hop in hops], sum).without_repeats()


# --- a path ------------------------------------------------------------------------------------------------


def bottleneck_over_time(hops: Sequence[Hop], end_ns: int) -> Steps[Hop | None]:
    """Return the hop with the lowest rate, the first of several; None if no hop has a rate.

    The rate of a link that is down is 0.
    """
    limited = [(hop, rates) for hop in hops if (rates := capacity_over_time(hop.direction, end_ns)) is not None]
    if not limited:
        return Steps(((0, None),))
    place = combined([rates for _hop, rates in limited], lambda rates: min(range(len(rates)), key=rates.__getitem__))
    return place.without_repeats().map(lambda number: limited[number][0])


def path_rate_over_time(hops: Sequence[Hop], end_ns: int) -> Steps[float] | None:
    """Return the lowest rate of *hops* in bit/s, which is 0 while a link is down; None if no hop has a rate."""
    limited = [rates for hop in hops if (rates := capacity_over_time(hop.direction, end_ns)) is not None]
    return combined(limited, min).without_repeats() if limited else None


def queue_limit_bytes(queue: Queue | None, packet_bytes: int) -> int | None:
    """Return the limit of a queue in bytes; None if there is no queue, or no known limit.

    A limit in packets is converted with packets of *packet_bytes*.
    """
    if queue is None:
        return None
    if queue["limit_bytes"] is not None:
        return queue["limit_bytes"]
    return None if queue["limit_packets"] is None else queue["limit_packets"] * packet_bytes
