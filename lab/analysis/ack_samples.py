# SPDX-License-Identifier: Apache-2.0
"""A flow's tcp_probe trace as arrays, and what can be read from it.

``tcp_probe`` fires at the top of ``tcp_rcv_established`` (``net/ipv4/tcp_input.c``), so a row's values are from
*before* its ACK is processed: they have been in force since the row before.  All integrals here follow from that: the
value of row ``i`` holds in the time ``(t[i-1], t[i]]``.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

INFINITE_SSTHRESH = 0x7FFFFFFF
"""``TCP_INFINITE_SSTHRESH`` in ``include/net/tcp.h``."""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

SAMPLE_COLUMNS = ("time_ns", "snd_nxt", "snd_una", "snd_cwnd", "ssthresh", "srtt_us")


@dataclass(frozen=True)
class AckSamples:
    """One data socket's rows in order of time.  All arrays have one shape, (rows,)."""

    time_ns: Integers
    """From the start of traffic."""
    snd_nxt: Integers
    snd_una: Integers
    """Sequence numbers as on the wire, 32 bits."""
    snd_cwnd: Integers
    """Segments."""
    ssthresh: Integers
    """As reported, in segments; :data:`INFINITE_SSTHRESH` is infinite.  See :func:`ssthresh`."""
    srtt_us: Integers
    """Microseconds; 0 before the first measurement."""

    @classmethod
    def from_columns(cls, columns: Mapping[str, NDArray[Any]]) -> AckSamples:
        """Build a trace from :data:`SAMPLE_COLUMNS`."""
        return cls(**{name: np.asarray(columns[name]).astype(np.int64) for name in SAMPLE_COLUMNS})

    def __len__(self) -> int:
        return len(self.time_ns)

    def between(self, start_ns: int, end_ns: int) -> AckSamples:
        """Return the rows with ``start_ns <= time_ns <= end_ns``."""
        keep = (self.time_ns >= start_ns) & (self.time_ns <= end_ns)
        return AckSamples(**{name: getattr(self, name)[keep] for name in SAMPLE_COLUMNS})


def unwrap32(sequence: NDArray[Any]) -> Integers:
    """Return how far 32-bit sequence numbers have moved from the first one, through any number of wraps.

    Each step must be within ±2³¹, as for TCP's own comparisons (RFC 9293, 3.4).
    """
    if not len(sequence):
        return np.zeros(0, dtype=np.int64)
    # The difference modulo 2**32, read as a signed number, is the step.
    steps = np.diff(np.asarray(sequence).astype(np.int64)).astype(np.uint32).astype(np.int32)
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(steps, dtype=np.int64)])


def acked_bytes(samples: AckSamples) -> int:
    """Return the bytes acknowledged between the first and the last row."""
    return int(unwrap32(samples.snd_una)[-1]) if len(samples) else 0


def holding_times(samples: AckSamples) -> Integers:
    """Return for how long (ns) each row's values were in force; 0 for the first row, whose beginning is unknown."""
    return np.diff(samples.time_ns, prepend=samples.time_ns[:1])


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


def ssthresh(samples: AckSamples) -> Integers:
    """Return the slow-start threshold itself, row by row.

    The tracepoint reports ``tcp_current_ssthresh()`` (``include/net/tcp.h``): outside of recovery that is at least
    three quarters of the congestion window, whatever the threshold.  Here a rise to exactly that is not taken over.
    """
    held = samples.ssthresh.copy()
    changes = _changes(samples.ssthresh)
    floor = _three_quarters(samples.snd_cwnd)
    value = int(held[0]) if len(held) else 0
    for row, following in itertools.pairwise([*changes, len(held)]):
        reported = int(samples.ssthresh[row])
        if reported < value or reported != floor[row]:
            value = reported
        held[row:following] = value
    return held


def reductions(samples: AckSamples) -> Integers:
    """Return the rows before which the sender lowered its window because of loss or a mark.

    On entering recovery the kernel sets the threshold to a fraction of the window, and from then on reports it as it is
    (see :func:`ssthresh`): a new value that is below the window of the row before.  The end of slow start by HyStart
    sets it to the window itself and does not count; nor does a reduction that is undone and whose earlier threshold
    shows again.  It means nothing for BBR.
    """
    held, reported = ssthresh(samples), samples.ssthresh
    found: list[int] = []
    for row in _changes(reported):
        new, before = int(held[row]), int(held[row - 1])
        lowered = int(reported[row]) < int(reported[row - 1]) and int(samples.snd_cwnd[row]) > new
        # An undone reduction's report rises; a later reduction to what the threshold was before falls.
        if found and new > before and new == held[found[-1] - 1] and reported[row] > reported[row - 1]:
            found.pop()
        elif new == reported[row] < samples.snd_cwnd[row - 1] and (new != before or lowered):
            found.append(row)
    return np.asarray(found, dtype=np.int64)


def _changes(values: Integers) -> list[int]:
    """Return the rows whose value differs from that of the row before."""
    rows: list[int] = (np.flatnonzero(np.diff(values)) + 1).tolist()
    return rows


def _three_quarters(cwnd: Integers) -> Integers:
    """Return 3/4 of the window as the kernel works it out."""
    return (cwnd >> 1) + (cwnd >> 2)
