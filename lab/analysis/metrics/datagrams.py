# SPDX-License-Identifier: Apache-2.0
"""Loss, jitter and reordering of a UDP flow's datagrams."""

from __future__ import annotations

from dataclasses import dataclass

from lab.analysis.measured import MeasuredFlow
from lab.analysis.metrics.sender import share
from lab.job.accounts import DatagramCounts


@dataclass(frozen=True)
class Datagrams:
    """What happened to the datagrams of a UDP flow."""

    datagrams_lost_share: float | None
    """Share of the packets that left a UDP flow's sender of which no copy reached the receiver.

    If the measured window is only a part of the flow's time, of those that left the sender within it.
    """
    jitter_mean_us: float | None
    """Mean of a UDP flow's interarrival jitter J over the datagrams that arrived, in microseconds.

    J is that of RFC 3550 (section 6.4.1).  It changes with each datagram that arrives, by (|D| − J)/16, where D is how
    much longer this datagram took from its sender to its receiver than the one that arrived before it.
    """
    jitter_last_us: float | None
    """A UDP flow's interarrival jitter (RFC 3550) after its last datagram, in microseconds."""
    reordered_share: float | None
    """Share of a UDP flow's datagrams that arrived after one with a higher number, further copies left out.

    This is the ratio of reordered packets of RFC 4737 (section 4.1).
    """
    reordering_extent_mean: float | None
    """Mean extent of a UDP flow's reordered datagrams, in datagrams; None if none was reordered.

    The extent (RFC 4737, section 4.2) is how many datagrams arrived after the first one with a higher number, this
    datagram included.
    """
    reordering_extent_max: int | None
    """Largest extent of a UDP flow's reordered datagrams, in datagrams; None if none was reordered."""


def datagrams(flow: MeasuredFlow) -> Datagrams:
    """Return what happened to the flow's datagrams within its measured window."""
    counted = flow.datagrams or _NO_DATAGRAMS
    return Datagrams(
        datagrams_lost_share=flow.lost_share if flow.asked["protocol"] == "udp" else None,
        jitter_mean_us=share(counted["jitter_sum_ns"], counted["arrived"] * 1000),
        jitter_last_us=counted["jitter_last_ns"] / 1000 if counted["arrived"] else None,
        reordered_share=share(counted["reordered"], counted["arrived"]),
        reordering_extent_mean=share(counted["extent_sum"], counted["extents"]),
        reordering_extent_max=counted["extent_max"] or None,
    )


_NO_DATAGRAMS = DatagramCounts(
    left=0,
    left_arrived=0,
    arrived=0,
    reordered=0,
    extents=0,
    extent_sum=0,
    extent_max=0,
    jitter_sum_ns=0,
    jitter_last_ns=0,
)
