# SPDX-License-Identifier: Apache-2.0
"""Turn measurements into curves: rates in bins, and fewer points that look the same in a figure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab.analysis.ack_samples import Floats, Integers

MIN_BIN_NS = 100_000_000
MAX_BINS = 300


def bin_width_ns(duration_ns: int, rtt_us: float) -> int:
    """Return the width of the bins for goodput, in nanoseconds: at least 100 ms, one RTT and 1/300 of the duration.

    Bins shorter than an RTT would show the bursts of the ACK clock rather than a rate.  The width is a multiple of
    10 ms.
    """
    least = max(MIN_BIN_NS, rtt_us * 1000, duration_ns / MAX_BINS)
    return math.ceil(least / 10_000_000) * 10_000_000


@dataclass(frozen=True)
class Bins:
    """The payload that arrived of a flow, in bins of equal width; bins in which nothing arrived are left out."""

    start_ns: Integers
    """Start of each bin, in nanoseconds since the start of traffic, ascending."""
    bytes: Integers
    """Payload that arrived in each bin, without further copies of packets, in bytes."""
    width_ns: int


def rate_series(bins: Bins, start_ns: int, end_ns: int, width_ns: int) -> tuple[Floats, Floats]:
    """Return the middles of bins of *width_ns* in seconds, and the rate at which payload arrived in each, in bit/s.

    *width_ns* is wider than the bins of *bins*.  On a slow link a bin holds a packet or none.  So that the rate does
    not jump, what arrived in a bin is spread over the time since the bin before, unless nothing arrived for longer than
    *width_ns*: then the flow was interrupted.

    A last bin that is shorter than *width_ns* is left out.
    """
    edges = np.arange(start_ns, end_ns + 1, width_ns, dtype=np.int64)
    if len(edges) < 2 or not len(bins.start_ns):
        return np.zeros(0), np.zeros(0)
    ends = bins.start_ns + bins.width_ns
    begins = np.concatenate([bins.start_ns[:1], np.where(np.diff(ends) <= width_ns, ends[:-1], bins.start_ns[1:])])
    times = np.stack([begins, ends], axis=1).reshape(-1)
    total = np.cumsum(bins.bytes)
    arrived = np.stack([total - bins.bytes, total], axis=1).reshape(-1)
    rate: Floats = np.diff(np.interp(edges, times, arrived)) * 8e9 / width_ns
    middles: Floats = (edges[:-1].astype(np.float64) + width_ns / 2) / 1e9
    return middles, rate


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
