# SPDX-License-Identifier: Apache-2.0
"""Turn measurements into curves: rates in bins, and fewer points that look the same in a figure."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab.analysis.ack_samples import Floats, Integers, merged_times

MIN_BIN_NS = 100_000_000
MAX_BINS = 300
MIN_BIN_PACKETS = 4


def bin_width_ns(duration_ns: int, rtt_us: float, packet_ns: float = 0.0) -> int:
    """Return the width of the bins for goodput, in nanoseconds: at least 100 ms, one RTT and 1/300 of the duration.

    Bins shorter than an RTT would show the bursts of the ACK clock rather than a rate, and bins of less than
    :data:`MIN_BIN_PACKETS` packets, each of which takes *packet_ns* to send, would show single packets.  The width is a
    multiple of 10 ms.
    """
    least = max(MIN_BIN_NS, rtt_us * 1000, duration_ns / MAX_BINS, MIN_BIN_PACKETS * packet_ns)
    return math.ceil(least / 10_000_000) * 10_000_000


@dataclass(frozen=True)
class Bins:
    """The payload that arrived of a flow, in bins of equal width; bins in which nothing arrived are left out."""

    start_ns: Integers
    """Start of each bin, in nanoseconds since the start of traffic, ascending."""
    bytes: Integers
    """Payload that arrived in each bin, without further copies of packets, in bytes."""
    width_ns: int


def rate_series(
    bins: Bins, edges_ns: Integers, carries: Callable[[Integers], Floats | None], ahead_bytes: int, gap_ns: int
) -> Floats:
    """Return the rate at which payload arrived between each two of *edges_ns*, in bit/s.

    The edges may cut the bins of *bins*, and on a slow link a bin holds a packet or none.  So that the rate does not
    jump, what arrived in a bin is spread over the time since the bin before, unless nothing arrived for longer than
    *gap_ns*: then the flow was interrupted.  It is spread in proportion to what the path can carry, which *carries*
    returns for each two of a list of edges: payload in bytes, or None without a limit.  A packet arrives at once, but a
    link needs time to send it, and a token bucket lets some pass ahead of their time; up to *ahead_bytes* therefore
    count earlier where more would otherwise arrive than the path can carry.
    """
    if len(edges_ns) < 2 or not len(bins.start_ns):
        return np.zeros(max(0, len(edges_ns) - 1))
    ends = bins.start_ns + bins.width_ns
    begins = np.concatenate([bins.start_ns[:1], np.where(np.diff(ends) <= gap_ns, ends[:-1], bins.start_ns[1:])])
    times = np.stack([begins, ends], axis=1).reshape(-1)
    total = np.cumsum(bins.bytes).astype(np.float64)
    arrived = np.stack([total - bins.bytes, total], axis=1).reshape(-1)
    knots = merged_times(times, edges_ns)
    room = carries(knots)
    if room is None:
        by_knot = np.interp(knots, times, arrived)
    else:
        most = np.concatenate([[0.0], np.cumsum(room)])
        # Where the path carries nothing, time must still pass.
        place = most + (knots - knots[0]) * 1e-9
        over = np.interp(place, place[np.searchsorted(knots, times)], arrived) - most
        by_knot = most + _ahead(over, ahead_bytes)
    rate: Floats = np.diff(by_knot[np.searchsorted(knots, edges_ns)]) * 8e9 / np.diff(edges_ns)
    return rate


def _ahead(over: Floats, ahead_bytes: int) -> Floats:
    """Return the lowest curve that never rises, is at least *over*, and exceeds it by *ahead_bytes* at most.

    Where it would exceed it by more, it rises all the same.
    """
    found = over.tolist()
    for place in range(len(found) - 2, -1, -1):
        if found[place + 1] > found[place]:
            found[place] = min(found[place] + ahead_bytes, found[place + 1])
    return np.array(found, dtype=np.float64)


def decimate(x: NDArray[Any], y: NDArray[Any], bins: int) -> tuple[Floats, Floats]:
    """Return at most ``4 * bins`` of the points: the first, lowest, highest and last point of each bin of x.

    *x* must be ascending.  If a bin is at most one pixel wide, a line through the returned points covers the same
    pixels as a line through all points.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if len(x) <= 4 * bins or x[-1] <= x[0]:
        return x, y
    number = np.minimum(((x - x[0]) / (x[-1] - x[0]) * bins).astype(np.int64), bins - 1)
    starts = np.flatnonzero(np.diff(number, prepend=-1))
    lasts = np.append(starts[1:], len(x)) - 1
    # lexsort keeps the points of each bin together and orders them by y, so the first and last are the extrema.
    by_value = np.lexsort((y, number))
    keep = np.unique(np.concatenate([starts, lasts, by_value[starts], by_value[lasts]]))
    return x[keep], y[keep]
