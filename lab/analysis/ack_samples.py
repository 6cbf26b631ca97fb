# SPDX-License-Identifier: Apache-2.0
"""A flow's rows of tcp_probe as arrays, and the quantities that are computed from it.

``tcp_probe`` fires at the top of ``tcp_rcv_established`` (``net/ipv4/tcp_input.c``), so the values in a row are those
from *before* its ACK is processed: they have been in force since the previous row.  All averages over time in this
module therefore use the value of row ``i`` for the time from ``t[i-1]`` to ``t[i]``.  The rows of timeouts have the
values after the timeout instead; :func:`with_timeouts` turns them into rows like the others.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

INFINITE_SSTHRESH = 0x7FFFFFFF
"""The value that means "no slow-start threshold": ``TCP_INFINITE_SSTHRESH`` in ``include/net/tcp.h``."""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

SAMPLE_COLUMNS = ("time_ns", "snd_nxt", "snd_una", "snd_cwnd", "ssthresh", "srtt_us", "in_recovery")


@dataclass(frozen=True)
class AckSamples:
    """The rows of one data socket in order of time.  All arrays have the shape ``(rows,)``."""

    time_ns: Integers
    """Time since the start of traffic, in nanoseconds."""
    snd_nxt: Integers
    """Next sequence number to be sent: 32 bits, as on the wire."""
    snd_una: Integers
    """First sequence number that is not acknowledged: 32 bits, as on the wire."""
    snd_cwnd: Integers
    """Congestion window, in segments."""
    ssthresh: Integers
    """Slow-start threshold as the tracepoint reports it, in segments; :data:`INFINITE_SSTHRESH` means infinite.

    The function :func:`ssthresh` computes the threshold itself.
    """
    srtt_us: Integers
    """Smoothed RTT, in microseconds; 0 before the first measurement."""
    in_recovery: Integers
    """1 in the states CWR and Recovery of ``enum tcp_ca_state``, in which ssthresh is reported as it is."""

    @classmethod
    def from_columns(cls, columns: Mapping[str, NDArray[Any]]) -> AckSamples:
        """Build the samples from the columns named in :data:`SAMPLE_COLUMNS`."""
        return cls(**{name: np.asarray(columns[name]).astype(np.int64) for name in SAMPLE_COLUMNS})

    def __len__(self) -> int:
        return len(self.time_ns)

    def between(self, start_ns: int, end_ns: int) -> AckSamples:
        """Return the rows with ``start_ns <= time_ns <= end_ns``."""
        keep = (self.time_ns >= start_ns) & (self.time_ns <= end_ns)
        return AckSamples(**{name: getattr(self, name)[keep] for name in SAMPLE_COLUMNS})

    def cut(self, start_ns: int, end_ns: int) -> AckSamples:
        """Return what was in force from *start_ns* to *end_ns*, with a row at each of these times.

        A row's values have been in force since the row before.  The row after a cut therefore says what was in force at
        the cut.  There is no row at a cut that no row of the samples comes before or after.
        """
        times = self.time_ns
        first, last = np.searchsorted(times, start_ns, "left"), np.searchsorted(times, end_ns, "right")
        at_start = [int(first)] if 0 < first < len(times) and times[first] > start_ns else []
        at_end = [int(last)] if 0 < last < len(times) and times[last - 1] < end_ns else []
        rows = np.array([*at_start, *range(first, last), *at_end], dtype=np.int64)
        columns = {name: getattr(self, name)[rows] for name in SAMPLE_COLUMNS}
        # The rows at the cuts are later than these.
        columns["time_ns"][: len(at_start)] = start_ns
        columns["time_ns"][len(rows) - len(at_end) :] = end_ns
        return AckSamples(**columns)


CA_STATES = ("Open", "Disorder", "CWR", "Recovery", "Loss")
"""The states of the kernel's loss recovery: ``enum tcp_ca_state`` in ``include/uapi/linux/tcp.h``, in its order."""


@dataclass(frozen=True)
class StateSamples:
    """The state of the loss recovery of one data socket, in order of time.  All arrays have the shape ``(rows,)``."""

    time_ns: Integers
    """Time since the start of traffic, in nanoseconds."""
    state: Integers
    """Index in :data:`CA_STATES` of the state that has been in force since the row before."""
    in_startup: NDArray[np.bool_]
    """Whether BBR has been in the mode Startup since the row before; False for other algorithms."""

    def __len__(self) -> int:
        return len(self.time_ns)


def before_timeouts(values: NDArray[Any], is_timeout: NDArray[np.bool_]) -> NDArray[Any]:
    """Return *values* with those in the rows of timeouts replaced by those of the row before."""
    places = np.flatnonzero(is_timeout)
    found = values.copy()
    found[places] = values[np.maximum(places - 1, 0)]
    return found


def with_timeouts(rows: AckSamples, is_timeout: NDArray[np.bool_], end_ns: int) -> AckSamples:
    """Return the rows of ACKs and timeouts so that all have the values that were in force since the row before.

    A timeout's row has the values after the timeout, which are in force until the next row and are part of that row as
    well.  It therefore gets those of the row before.  If nothing comes after the last timeout, a row at *end_ns*, the
    end of the flow, has its values.
    """
    if not is_timeout.any():
        return rows
    columns = {name: getattr(rows, name) for name in SAMPLE_COLUMNS}
    for name in ("snd_cwnd", "ssthresh", "in_recovery"):
        columns[name] = before_timeouts(columns[name], is_timeout)
    if is_timeout[-1] and rows.time_ns[-1] < end_ns:
        columns = {name: np.append(values, getattr(rows, name)[-1]) for name, values in columns.items()}
        columns["time_ns"][-1] = end_ns
    return AckSamples(**columns)


def unwrap32(sequence: NDArray[Any]) -> Integers:
    """Return the distance of each 32-bit sequence number from the first one, across any number of wraparounds.

    Consecutive numbers must differ by less than 2³¹, as in TCP's own comparisons (RFC 9293, section 3.4).
    """
    if not len(sequence):
        return np.zeros(0, dtype=np.int64)
    # The difference of two sequence numbers modulo 2**32, taken as a signed number, is the step between them.
    steps = np.diff(np.asarray(sequence).astype(np.int64)).astype(np.uint32).astype(np.int32)
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(steps, dtype=np.int64)])


def acked_bytes(samples: AckSamples) -> int:
    """Return the number of bytes that were acknowledged between the first and the last row."""
    return int(unwrap32(samples.snd_una)[-1]) if len(samples) else 0


def holding_times(samples: AckSamples) -> Integers:
    """Return how long the values of each row were in force, in nanoseconds.

    It is 0 for the first row, because nobody knows since when its values were in force.
    """
    return np.diff(samples.time_ns, prepend=samples.time_ns[:1])


def weighted_mean(values: NDArray[Any], weights: NDArray[Any]) -> float | None:
    """Return the weighted mean Σwv/Σw, or None if the weights add up to 0."""
    total = float(np.sum(weights))
    return float(np.sum(values * weights.astype(np.float64))) / total if total > 0 else None


def weighted_quantile(values: NDArray[Any], weights: NDArray[Any], quantile: float) -> float | None:
    """Return the smallest value v such that values up to v have at least the share *quantile* of the total weight.

    The result is None if the weights add up to 0.
    """
    return weighted_quantiles(values, weights, [quantile])[0]


def weighted_quantiles(
    values: NDArray[Any], weights: NDArray[Any], quantiles: Sequence[float]
) -> tuple[float | None, ...]:
    """Return what :func:`weighted_quantile` does for several quantiles; the values are sorted once."""
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(weights[order].astype(np.float64))
    if not len(cumulative) or cumulative[-1] <= 0:
        return (None,) * len(quantiles)
    places = np.searchsorted(cumulative, np.array(quantiles) * cumulative[-1] * (1 - 1e-12))
    return tuple(float(values[order[min(int(place), len(values) - 1)]]) for place in places)


def merged_times(times: Integers, others: Integers) -> Integers:
    """Return the distinct times in two arrays, in order.

    For arrays that are in order already, this is several times as fast as ``numpy.union1d``, which hashes them.
    """
    ordered = np.sort(np.concatenate([times, others]), kind="stable")
    return ordered[np.append(True, ordered[1:] != ordered[:-1])] if len(ordered) else ordered


def ssthresh(samples: AckSamples) -> Integers:
    """Return the slow-start threshold (ssthresh) itself for each row, in segments.

    The tracepoint reports ``tcp_current_ssthresh()`` (``include/net/tcp.h``) instead: outside of the states CWR and
    Recovery, this is at least three quarters of the congestion window, whatever ssthresh is.  In these two states, and
    if the reported value is not three quarters of the window, it is the threshold itself.  Otherwise the threshold
    stays where it was, or is that value if it was higher.
    """
    held = samples.ssthresh.copy()
    floor = _three_quarters(samples.snd_cwnd)
    # The reported value may stay the same while the window falls, and only then be the threshold for sure.
    changes = sorted({*_changes(samples.ssthresh), *_changes(floor), *_changes(samples.in_recovery)})
    value = int(held[0]) if len(held) else 0
    for row, following in itertools.pairwise([*changes, len(held)]):
        reported = int(samples.ssthresh[row])
        if reported < value or reported != floor[row] or samples.in_recovery[row]:
            value = reported
        held[row:following] = value
    return held


def reductions(samples: AckSamples) -> Integers:
    """Return the indices of the rows before which the sender reduced its window because of loss or an ECN mark.

    When the kernel enters recovery, it sets ssthresh to a fraction of the congestion window, and the tracepoint then
    reports ssthresh unchanged (see :func:`ssthresh`).  A reduction is therefore a new value that is below the window
    of the previous row.  Two changes are not counted: HyStart, which ends slow start by setting ssthresh to the window
    itself, and a reduction that the sender undoes, so that the earlier threshold is reported again.

    The result is meaningless for BBR.
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
    """Return the indices of the rows whose value differs from that of the previous row."""
    rows: list[int] = (np.flatnonzero(np.diff(values)) + 1).tolist()
    return rows


def _three_quarters(cwnd: Integers) -> Integers:
    """Return three quarters of the window, rounded as the kernel does it."""
    return (cwnd >> 1) + (cwnd >> 2)
