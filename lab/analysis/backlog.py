# SPDX-License-Identifier: Apache-2.0
"""How long packets wait in a queue, from its length over time and from how fast it empties."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lab.analysis.ack_samples import weighted_quantile, weighted_quantiles
from lab.analysis.events import Occupancy

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Backlog:
    """The length of one queue over time, in rows that do not overlap and are in order of time.

    The queue is empty, and nothing happens to it, in the times between rows.  All arrays have the same length.  Times
    are in nanoseconds since the start of traffic.
    """

    start_ns: Integers
    length_ns: Integers
    byte_ns: Integers
    """The integral of the queue's length in bytes over the time of the row."""
    packet_ns: Integers
    """The same in packets."""
    most_bytes: Integers
    most_packets: Integers
    left_packets: Integers
    """The number of packets that left the queue."""
    removed_bytes: Integers
    """By how many bytes the queue became shorter, in total: because packets left or were dropped."""
    entered_packets: Integers | None = None
    """The number of packets that entered the queue; None if it is not known."""

    def left_bytes(self, start_ns: float, end_ns: float, packet_bytes: int) -> float:
        """Return how many bytes left the queue between two times.

        Some disciplines drop packets that they had accepted; the queue becomes shorter by these, too.  They are taken
        to have *packet_bytes* each, and to be spread over time like everything else that the queue lost.
        """
        removed = float((self.removed_bytes * self._overlap(start_ns, end_ns)).sum())
        if self.entered_packets is None or not removed:
            return removed
        # The queue is empty at the end of a trial.  With offloads, it may cut packets, so that more leave than enter.
        dropped = max(0, int(self.entered_packets.sum()) - int(self.left_packets.sum())) * packet_bytes
        return removed * max(0.0, 1 - dropped / float(self.removed_bytes.sum()))

    def mean_wait_ns(self, start_ns: float, end_ns: float) -> float | None:
        """Return how long packets were in the queue between two times on average; None if none left it.

        This is Little's law: the integral of the number of packets in the queue over time, divided by the number of
        packets that left it (J. Little, "A Proof for the Queuing Formula L = λW", Operations Research 9(3), 1961).
        """
        share = self._overlap(start_ns, end_ns)
        left = float((self.left_packets * share).sum())
        return float((self.packet_ns * share).sum()) / left if left else None

    def occupancy(self, start_ns: float, end_ns: float) -> Occupancy | None:
        """Return the mean, p95 and maximum of the number of packets over time; None if that time is empty.

        The p95 is that of the means of the rows.
        """
        if end_ns <= start_ns:
            return None
        share = self._overlap(start_ns, end_ns)
        lengths = share * self.length_ns
        empty_ns = end_ns - start_ns - lengths.sum()
        means = np.append(self.packet_ns / np.maximum(self.length_ns, 1), 0.0)
        p95 = weighted_quantile(means, np.append(lengths, max(empty_ns, 0.0)), 0.95)
        most = int(self.most_packets[share > 0].max(initial=0))
        return Occupancy(float((self.packet_ns * share).sum()) / (end_ns - start_ns), p95 or 0.0, most)

    def wait_ns(self, at_ns: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how long a packet waits that comes at each of these times; NaN if it does not leave the queue.

        It finds the mean number of bytes that the queue has in the row of this time, and waits until as many bytes have
        left, whatever the rate does meanwhile.  Queues that do not serve packets in the order of arrival (fair
        queueing) have longer waits and shorter ones.
        """
        row = np.searchsorted(self.start_ns, at_ns, side="right") - 1
        inside = (row >= 0) & (at_ns < (self.start_ns + self.length_ns)[row])
        queued: NDArray[np.float64] = np.where(inside, self.byte_ns[row] / np.maximum(self.length_ns[row], 1), 0.0)
        times, removed = self._departures
        leaves_ns = _first_time_at(times, removed, np.interp(at_ns, times, removed) + queued)
        waits: NDArray[np.float64] = np.where(queued > 0, np.maximum(leaves_ns - at_ns, 0.0), 0.0)
        return waits

    def arrivals(self, start_ns: float, end_ns: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the middle of each row between two times, in ns, and how many packets left the queue in it."""
        packets = self.left_packets * self._overlap(start_ns, end_ns)
        has_any = packets > 0
        return (self.start_ns + self.length_ns / 2)[has_any], packets[has_any]

    def _overlap(self, start_ns: float, end_ns: float) -> NDArray[np.float64]:
        """Return the share of each row that is between two times."""
        begin = np.maximum(self.start_ns, start_ns)
        end = np.minimum(self.start_ns + self.length_ns, end_ns)
        share: NDArray[np.float64] = np.maximum(end - begin, 0) / np.maximum(self.length_ns, 1)
        return share

    @cached_property
    def _departures(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Times, and how many bytes had left the queue by then; between them, they leave at a constant rate."""
        total = np.cumsum(self.removed_bytes)
        at_ns = np.stack([self.start_ns, self.start_ns + self.length_ns], axis=1).astype(np.float64).reshape(-1)
        removed = np.stack([total - self.removed_bytes, total], axis=1).astype(np.float64).reshape(-1)
        return at_ns, removed


@dataclass(frozen=True)
class Waits:
    """How long packets waited, in ns; all are None if no packet left any of the queues."""

    mean: float | None = None
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


def queueing_delay(queues: Sequence[Backlog], start_ns: int, end_ns: int) -> Waits:
    """Return how long packets waited between two times, summed over *queues*.

    The quantiles of several queues are those of the sum: the packets of the queue in which packets wait longest count,
    each with what the other queues add at the same time.
    """
    means = [queue.mean_wait_ns(start_ns, end_ns) for queue in queues]
    known = [mean for mean in means if mean is not None]
    if not known:
        return Waits()
    longest = queues[max(range(len(queues)), key=lambda number: means[number] or 0.0)]
    at_ns, packets = longest.arrivals(start_ns, end_ns)
    waits = np.sum([queue.wait_ns(at_ns) for queue in queues if len(queue.start_ns)], axis=0)
    leaves = ~np.isnan(waits)
    return Waits(sum(known), *weighted_quantiles(waits[leaves], packets[leaves], (0.5, 0.95, 0.99)))


def _first_time_at(
    at_ns: NDArray[np.float64], rising: NDArray[np.float64], target: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return when a piecewise linear function that never falls first has each of the values *target*; NaN: never."""
    after = np.searchsorted(rising, target, side="left")
    found = np.full(len(target), np.nan)
    reached = after < len(rising)
    last = after[reached]
    before = np.maximum(last - 1, 0)
    rise = rising[last] - rising[before]
    part = np.divide(target[reached] - rising[before], rise, out=np.zeros(len(last)), where=rise > 0)
    found[reached] = np.where(rise > 0, at_ns[before] + part * (at_ns[last] - at_ns[before]), at_ns[last])
    return found
