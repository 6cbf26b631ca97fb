# SPDX-License-Identifier: Apache-2.0
"""Rates in windows of equal length, from what arrived in bins."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lab.analysis.ack_samples import Floats, Integers
from lab.analysis.series import Bins

WINDOW_NS = 1_000_000_000
"""Length of the windows over which rates are compared with each other.

It is longer than a round trip of almost every path, so that a window holds more than one burst.
"""


def window_starts(start_ns: int, end_ns: int, width_ns: int = WINDOW_NS, step_ns: int | None = None) -> Integers:
    """Return the starts of the whole windows between two times, every *step_ns*; without it, one after the other."""
    step = width_ns if step_ns is None else step_ns
    number = max(0, (end_ns - start_ns - width_ns) // step + 1)
    return start_ns + step * np.arange(number, dtype=np.int64)


def rates_in(bins: Bins, starts_ns: Integers, width_ns: int = WINDOW_NS) -> Floats:
    """Return the rate in bit/s at which payload arrived in the windows that begin at these times.

    What arrived in a bin that an edge of a window cuts is spread evenly over the bin.
    """
    if not len(bins.start_ns):
        return np.zeros(len(starts_ns))
    times = np.stack([bins.start_ns, bins.start_ns + bins.width_ns], axis=1).reshape(-1)
    total = np.cumsum(bins.bytes).astype(np.float64)
    arrived = np.stack([total - bins.bytes, total], axis=1).reshape(-1)
    by_start, by_end = np.interp(starts_ns, times, arrived), np.interp(starts_ns + width_ns, times, arrived)
    rates: Floats = (by_end - by_start) * 8e9 / width_ns
    return rates


def in_a_row(holds: Sequence[bool], times: int) -> int | None:
    """Return the first place from which on *holds* is true so many times in a row; None if there is none."""
    count = 0
    for place, one in enumerate(holds):
        count = count + 1 if one else 0
        if count == times:
            return place - times + 1
    return None
