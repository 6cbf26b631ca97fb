# SPDX-License-Identifier: Apache-2.0
"""How fast a flow's data arrived, and how much of the link that is."""

from __future__ import annotations

from dataclasses import dataclass

from lab.analysis.ack_samples import AckSamples, acked_bytes
from lab.analysis.measured import MeasuredFlow, MeasuredTrial
from lab.analysis.path import goodput_ceiling


@dataclass(frozen=True)
class Rates:
    """The rates of a flow."""

    goodput_bps: float | None
    """Payload that arrived at the receiver, divided by the time from its first to its last packet, in bit/s.

    The kernel counts it at the receiver's transport protocol, without further copies of packets.  The first packet is
    not counted, because it came before any of this time had passed.  None if no part of the flow is measured.
    """
    goodput_interval_s: float | None
    """The time from the first to the last packet that arrived, by which goodput is divided, in seconds."""
    goodput_bytes: int | None
    """Payload that arrived at the receiver, without further copies of packets, in bytes."""
    acked_bps: float | None
    """Payload acknowledged, from the rows of tcp_probe, in bit/s."""
    sender_bps: float | None
    """Payload that left the sender for the first time, in bit/s, over the time from its first to its last packet."""
    share_of_link: float | None
    """``goodput_bps`` divided by ``bottleneck_bps``; it can be ``ceiling`` at most."""
    ceiling: float
    """Share of a full frame that is payload: the largest possible ``share_of_link``."""


def rates(trial: MeasuredTrial, flow: MeasuredFlow, samples: AckSamples | None) -> Rates:
    """Return the rates of a flow within its measured window."""
    receiver, sender = (flow.received("measured"), flow.sent("measured")) if flow.is_measured else (None, None)
    link_bps = flow.mean_rate_bps
    return Rates(
        goodput_bps=receiver.bps if receiver else None,
        goodput_interval_s=receiver.seconds if receiver else None,
        goodput_bytes=receiver.bytes if receiver else None,
        acked_bps=_acked_bps(samples),
        sender_bps=sender.bps if sender else None,
        share_of_link=receiver.bps / link_bps if receiver and link_bps else None,
        ceiling=goodput_ceiling(trial.job),
    )


def _acked_bps(samples: AckSamples | None) -> float | None:
    if samples is None or len(samples) < 2:
        return None
    return acked_bytes(samples) * 8e9 / float(samples.time_ns[-1] - samples.time_ns[0])
