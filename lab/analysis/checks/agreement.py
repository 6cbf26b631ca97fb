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
    """Compare the bytes acknowledged in the rows of tcp_probe with those that the receiver's TCP delivered in order.

    At the end of the flow they may differ by the data whose acknowledgements were on their way.  The tolerance is
    therefore 1 % and the largest congestion window.  The result is None if there are no such rows.
    """
    if flow.sending is None or not len(flow.sending):
        return None
    received = flow.delivered_bytes
    window = int(flow.sending.snd_cwnd.max()) * mss
    return Agreement("bytes delivered", acked_bytes(flow.sending), received, 0.01 * received + window)


def read_by_iperf3(flow: MeasuredFlow, mss: int) -> Agreement | None:
    """Compare the bytes that the receiving iperf3 says it has read with the bytes that arrived at the receiver.

    iperf3 counts whole blocks, stops reading when it learns that the test has ended, and does not see what waits in
    the socket's buffer.  It also reads what arrives after the flow's declared end.  The tolerance is therefore 1 %, two
    blocks, and what TCP had sent without an acknowledgement at the end.  The result is None if iperf3 does not say it.
    """
    said = iperf.read_bytes(flow.server)
    if said is None:
        return None
    received = flow.received().bytes
    unacked = flow.result["tcp_info"].get("unacked", 0) * mss
    return Agreement("bytes read", said, received, 0.01 * received + 2 * iperf.block_bytes(flow.client) + unacked)


def retransmissions(flow: MeasuredFlow, *, has_own_queue: bool) -> Agreement | None:
    """Compare the segments that left the sender again with the retransmissions in the socket's tcp_info.

    The socket is read when its connection ends, a moment after the flow's declared end.  The tolerance is therefore
    10 segments and 5 %.  The result is None if the socket was not read, or if the sender's own interface has a queue,
    because TCP does not count what it sends again after a drop in this queue.
    """
    counted = flow.result["tcp_info"].get("total_retrans")
    if counted is None or flow.path.forward[0].direction["queue"] is not None or has_own_queue:
        return None
    left = flow.left_again_segments
    return Agreement("retransmitted segments", left, counted, 10 + 0.05 * max(left, counted))


def smoothed_rtt(flow: MeasuredFlow) -> Agreement | None:
    """Compare iperf3's mean RTT with the mean of the traced srtt at the same moments: the ends of iperf3's intervals.

    iperf3 starts its clock within a few milliseconds of the flow's declared start, and in that time srtt changes with
    the queue.  The tolerance is therefore 10 % and 1 ms.  The result is None if there is nothing to compare.
    """
    if flow.samples is None:
        return None
    measured = flow.samples.srtt_us > 0
    time_ns, srtt_us = flow.samples.time_ns[measured], flow.samples.srtt_us[measured]
    found = [(interval.end_s, interval.rtt_us) for interval in iperf.intervals(flow.client) if interval.rtt_us]
    if not found or not len(time_ns):
        return None
    moments = flow.start_ns + np.array([end for end, _ in found]) * 1e9
    rows = np.minimum(np.searchsorted(time_ns, moments, side="left"), len(time_ns) - 1)
    reported = float(np.mean([rtt for _, rtt in found]))
    return Agreement("mean smoothed RTT (µs)", float(np.mean(srtt_us[rows])), reported, 0.1 * reported + 1000)
