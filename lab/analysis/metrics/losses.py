# SPDX-License-Identifier: Apache-2.0
"""What was lost of a flow's data, and how its sender reacted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lab.analysis.ack_samples import reductions
from lab.analysis.measured import MeasuredFlow, MeasuredTrial


@dataclass(frozen=True)
class Losses:
    """Losses, ECN marks, and the sender's reactions."""

    retransmits: int | None
    """Number of segments that the sender's TCP sent again (tcp_info: total_retrans); None for UDP.

    If the measured window is only a part of the flow's time, the number of those that left the sender within it.
    """
    retransmitted_share: float | None
    """Retransmitted segments as a share of all data segments sent (tcp_info: total_retrans / data_segs_out).

    If the measured window is only a part of the flow's time, of those that left the sender within it.
    """
    dropped_packets: int
    """Number of packets with the flow's data, or of its handshake, that the kernel dropped on their way."""
    bottleneck_loss_share: float | None
    """Share of the flow's packets that the queue in front of the bottleneck dropped (RFC 5166, section 2.1.3).

    Packets with the flow's data that the queueing discipline dropped, because it was full or to signal congestion,
    divided by the packets that left the sender, both within the measured window.  Losses that the experiment declares
    are not part of it.  None without a rate limit.
    """
    marked_packets: int
    """Number of packets that arrived with the ECN mark Congestion Experienced (RFC 3168)."""
    window_reductions: int | None
    """How often the sender lowered ssthresh below cwnd, from the rows of tcp_probe; a lower bound.  None for BBR."""


def losses(trial: MeasuredTrial, flow: MeasuredFlow) -> Losses:
    """Return what was lost and marked within the flow's measured window."""
    return Losses(
        retransmits=_retransmits(flow),
        retransmitted_share=flow.retransmitted_share,
        dropped_packets=trial.dropped[flow.name],
        bottleneck_loss_share=_bottleneck_loss(trial, flow),
        marked_packets=flow.marked_packets,
        window_reductions=_window_reductions(flow, flow.result["congestion_control"]),
    )


def _bottleneck_loss(trial: MeasuredTrial, flow: MeasuredFlow) -> float | None:
    place = trial.place_of(flow.bottleneck) if flow.bottleneck is not None and flow.is_measured else None
    sent = flow.sent_packets
    if place is None or not sent:
        return None
    return trial.dropped_by_queues.get((flow.name, *place), 0) / sent


def uses_ssthresh(congestion_control: str) -> bool:
    """Return whether the algorithm uses ssthresh.  BBR does not: the values that it stores there are meaningless."""
    return not congestion_control.startswith("bbr")


def _retransmits(flow: MeasuredFlow) -> int | None:
    if flow.measured_completions is not None:
        return int(flow.measured_completions.retransmissions.sum())
    return flow.retransmitted_segments if flow.is_bulk and flow.is_measured else None


def _window_reductions(flow: MeasuredFlow, congestion_control: str) -> int | None:
    samples = flow.sending
    if samples is None or not flow.is_measured or not uses_ssthresh(congestion_control):
        return None
    rows = reductions(samples)
    if not flow.is_cut:
        return len(rows)
    # The ACK that led to a reduction is that of the row before, whose values are those from before the ACK.
    at_ns = samples.time_ns[rows - 1]
    return int(np.count_nonzero((at_ns >= flow.window["start_ns"]) & (at_ns < flow.window["end_ns"])))
