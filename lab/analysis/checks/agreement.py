# SPDX-License-Identifier: Apache-2.0
"""Compare independent instruments: the rows of tcp_probe, iperf3's own counts and the socket's tcp_info."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lab.analysis import iperf
from lab.analysis.ack_samples import acked_bytes
from lab.analysis.measured import MeasuredFlow


@dataclass(frozen=True)
class Agreement:
    """Two readings of one quantity by different instruments."""

    quantity: str
    """What was read, in words."""
    first: float
    second: float
    tolerance: float
    """Largest difference at which the readings agree, in their unit."""

    @property
    def agrees(self) -> bool:
        """Whether the readings differ by no more than the tolerance."""
        return abs(self.first - self.second) <= self.tolerance

    @property
    def excess(self) -> float:
        """The difference between the readings as a multiple of the tolerance: at most 1 if they agree."""
        return abs(self.first - self.second) / self.tolerance if self.tolerance else float("inf")


def delivered_bytes(flow: MeasuredFlow, mss: int) -> Agreement | None:
    """Compare the bytes acknowledged in the rows of tcp_probe with the bytes that the receiving iperf3 read.

    At the end of the flow they may differ by the data that was in flight or out of order in the receiver's buffer, and
    by a block that iperf3 had not read completely.  The tolerance is therefore 1 %, the largest congestion window and
    two blocks.  The result is None if there are no such rows.
    """
    if flow.samples is None or not len(flow.samples):
        return None
    received = flow.received.bytes
    blocks = 2 * iperf.block_bytes(flow.client)
    window = int(flow.samples.snd_cwnd.max()) * mss
    return Agreement("bytes delivered", acked_bytes(flow.samples), received, 0.01 * received + window + blocks)


def retransmissions(flow: MeasuredFlow) -> Agreement | None:
    """Compare the retransmissions that iperf3 reports with those in the socket's tcp_info.

    iperf3 reads the counter at the end of the test, and the agent reads tcp_info a moment before.  The tolerance is
    therefore 10 segments and 5 %.  The result is None if one of the two is missing.
    """
    reported = iperf.sender_statistics(flow.client).retransmits
    counted = flow.result["tcp_info"].get("total_retrans")
    if reported is None or counted is None:
        return None
    return Agreement("retransmitted segments", reported, counted, 10 + 0.05 * max(reported, counted))


def smoothed_rtt(flow: MeasuredFlow) -> Agreement | None:
    """Compare iperf3's mean RTT with the mean of the traced srtt at the same moments: the ends of iperf3's intervals.

    These moments are known only to about one round trip (see :attr:`MeasuredFlow.sending`), and in that time srtt
    changes with the queue.  The tolerance is therefore 10 % and 1 ms.  The result is None if there is nothing to
    compare.
    """
    if flow.samples is None:
        return None
    measured = flow.samples.srtt_us > 0
    time_ns, srtt_us = flow.samples.time_ns[measured], flow.samples.srtt_us[measured]
    found = [(interval.end_s, interval.rtt_us) for interval in iperf.intervals(flow.client) if interval.rtt_us]
    if not found or not len(time_ns):
        return None
    moments = flow.samples.time_ns[0] + np.array([end for end, _ in found]) * 1e9
    rows = np.minimum(np.searchsorted(time_ns, moments, side="left"), len(time_ns) - 1)
    reported = float(np.mean([rtt for _, rtt in found]))
    return Agreement("mean smoothed RTT (µs)", float(np.mean(srtt_us[rows])), reported, 0.1 * reported + 1000)
