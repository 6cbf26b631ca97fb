# SPDX-License-Identifier: Apache-2.0
"""Traces as curves: binned goodput, and fewer points that look the same."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab.analysis.ack_samples import AckSamples, Floats, unwrap32

MIN_BIN_NS = 100_000_000
MAX_BINS = 300


def bin_width_ns(duration_ns: int, rtt_us: float) -> int:
    """Return the width of goodput's bins: at least 100 ms, one round trip, and 1/300 of the duration.

    Shorter bins than a round trip would show the bursts of the ACK clock rather than a rate.  The width is a
    multiple of 10 ms.
    """
    least = max(MIN_BIN_NS, rtt_us * 1000, duration_ns / MAX_BINS)
    return math.ceil(least / 10_000_000) * 10_000_000


def goodput_series(samples: AckSamples, start_ns: int, end_ns: int, width_ns: int) -> tuple[Floats, Floats]:
    """Return (times in s, goodput in bit/s): delivered bytes per bin of *width_ns*, at the bins' middles.

    What one ACK acknowledges is spread over the time since snd_una last moved.  While a hole is open snd_una stands
    still though data arrives (and is selectively acknowledged); an ACK that closes it jumps over that, and would
    look faster than the link.  A last bin shorter than *width_ns* is left out.
    """
    edges = np.arange(start_ns, end_ns + 1, width_ns, dtype=np.int64)
    acked = unwrap32(samples.snd_una)
    moved = np.flatnonzero(np.diff(acked) > 0)
    if len(edges) < 2 or not len(moved):
        return np.zeros(0), np.zeros(0)
    # A row holds what was true before its own ACK: row i+1 shows what the ACK of row i acknowledged.
    times = np.concatenate([samples.time_ns[:1], samples.time_ns[moved]])
    delivered = np.interp(edges, times, np.concatenate([acked[:1], acked[moved + 1]]))
    rate: Floats = np.diff(delivered) * 8e9 / width_ns
    middles: Floats = (edges[:-1].astype(np.float64) + width_ns / 2) / 1e9
    return middles, rate


def decimate(x: NDArray[Any], y: NDArray[Any], bins: int) -> tuple[Floats, Floats]:
    """Return at most ``4 * bins`` of the points (x ascending): per bin of x the first, lowest, highest and last.

    A line through them covers the same pixels as one through all points, if a bin is a pixel wide or less.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if len(x) <= 4 * bins or x[-1] <= x[0]:
        return x, y
    number = np.minimum(((x - x[0]) / (x[-1] - x[0]) * bins).astype(np.int64), bins - 1)
    starts = np.flatnonzero(np.diff(number, prepend=-1))
    lasts = np.append(starts[1:], len(x)) - 1
    # lexsort keeps each bin's points together and in order of y: its ends are the extrema.
    by_value = np.lexsort((y, number))
    keep = np.unique(np.concatenate([starts, lasts, by_value[starts], by_value[lasts]]))
    return x[keep], y[keep]
