# SPDX-License-Identifier: Apache-2.0
"""A flow's tcp_probe trace as arrays, and what can be read from it.

``tcp_probe`` fires at the top of ``tcp_rcv_established`` (``net/ipv4/tcp_input.c``), so a row's values are from
*before* its ACK is processed: they have been in force since the row before.  All integrals here follow from that: the
value of row ``i`` holds in the time ``(t[i-1], t[i]]``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

INFINITE_SSTHRESH = 0x7FFFFFFF
"""``TCP_INFINITE_SSTHRESH`` in ``include/net/tcp.h``."""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

TRACE_COLUMNS = ("time_ns", "snd_nxt", "snd_una", "snd_cwnd", "ssthresh", "srtt_us")


@dataclass(frozen=True)
class FlowTrace:
    """One data socket's rows in order of time.  All arrays have one shape, (rows,)."""

    time_ns: Integers
    """From the start of traffic."""
    snd_nxt: Integers
    snd_una: Integers
    """Sequence numbers as on the wire, 32 bits."""
    snd_cwnd: Integers
    """Segments."""
    ssthresh: Integers
    """Segments; :data:`INFINITE_SSTHRESH` is infinite."""
    srtt_us: Integers
    """Microseconds; 0 before the first measurement."""

    @classmethod
    def from_columns(cls, columns: Mapping[str, NDArray[Any]]) -> FlowTrace:
        """Build a trace from :data:`TRACE_COLUMNS`."""
        return cls(**{name: np.asarray(columns[name]).astype(np.int64) for name in TRACE_COLUMNS})

    def __len__(self) -> int:
        return len(self.time_ns)

    def between(self, start_ns: int, end_ns: int) -> FlowTrace:
        """Return the rows with ``start_ns <= time_ns <= end_ns``."""
        keep = (self.time_ns >= start_ns) & (self.time_ns <= end_ns)
        return FlowTrace(**{name: getattr(self, name)[keep] for name in TRACE_COLUMNS})


def unwrap32(sequence: NDArray[Any]) -> Integers:
    """Return how far 32-bit sequence numbers have moved from the first one, through any number of wraps.

    Each step must be within ±2³¹, as for TCP's own comparisons (RFC 9293, 3.4).
    """
    if not len(sequence):
        return np.zeros(0, dtype=np.int64)
    # The difference modulo 2**32, read as a signed number, is the step.
    steps = np.diff(np.asarray(sequence).astype(np.int64)).astype(np.uint32).astype(np.int32)
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(steps, dtype=np.int64)])


def acked_bytes(trace: FlowTrace) -> int:
    """Return the bytes acknowledged between the first and the last row."""
    return int(unwrap32(trace.snd_una)[-1]) if len(trace) else 0


def holding_times(trace: FlowTrace) -> Integers:
    """Return for how long (ns) each row's values were in force; 0 for the first row, whose beginning is unknown."""
    return np.diff(trace.time_ns, prepend=trace.time_ns[:1])


def weighted_mean(values: NDArray[Any], weights: NDArray[Any]) -> float | None:
    """Return Σwv/Σw, or None when there is no weight."""
    total = float(np.sum(weights))
    return float(np.sum(values * weights.astype(np.float64))) / total if total > 0 else None


def weighted_quantile(values: NDArray[Any], weights: NDArray[Any], quantile: float) -> float | None:
    """Return the smallest value at or below which at least *quantile* of the weight lies; None without weight."""
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(weights[order].astype(np.float64))
    if not len(cumulative) or cumulative[-1] <= 0:
        return None
    position = np.searchsorted(cumulative, quantile * cumulative[-1] * (1 - 1e-12))
    return float(values[order][min(int(position), len(values) - 1)])


def reductions(trace: FlowTrace) -> Integers:
    """Return the rows before which the sender lowered its window because of loss or a mark.

    A reduction shows as a new finite ssthresh that is below the congestion window of the row before: loss
    recovery sets ssthresh to a fraction of cwnd.  Not counted are the end of slow start by HyStart, which sets ssthresh
    to cwnd itself, and the undoing of a reduction that proved spurious, which restores the value before.  Two
    reductions to the same value count as one, so this is a lower bound.  It means nothing for BBR.
    """
    ssthresh = trace.ssthresh
    found: list[int] = []
    for row in (np.flatnonzero(np.diff(ssthresh)) + 1).tolist():
        undone = bool(found) and ssthresh[row] > ssthresh[row - 1] and ssthresh[row] == ssthresh[found[-1] - 1]
        if undone:
            found.pop()
        elif ssthresh[row] < INFINITE_SSTHRESH and ssthresh[row] < trace.snd_cwnd[row - 1]:
            found.append(row)
    return np.asarray(found, dtype=np.int64)
