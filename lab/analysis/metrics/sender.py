# SPDX-License-Identifier: Apache-2.0
"""The sender: its congestion window, and what limited it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lab.analysis.ack_samples import AckSamples, holding_times, weighted_mean
from lab.analysis.measured import MeasuredFlow


@dataclass(frozen=True)
class Sender:
    """The congestion window of a sender, and what limited it."""

    cwnd_mean_segments: float | None
    """Mean congestion window over time, in segments."""

    busy_s: float | None
    """Time with data to send or in flight in the whole flow (tcp_info), in seconds."""
    rwnd_limited_share: float | None
    """Share of the whole flow's busy time during which the receiver's window was the limit (tcp_info)."""
    sndbuf_limited_share: float | None
    """Share of the whole flow's busy time during which the send buffer was the limit (tcp_info)."""
    cwnd_limited_share: float | None
    """Share of the whole flow's busy time during which neither of the two was the limit.

    The congestion window or the pacing rate, that is congestion control, then decided how much was sent.
    """


def sender(flow: MeasuredFlow, samples: AckSamples | None) -> Sender:
    """Return the sender's congestion window over time and its limits."""
    info = flow.result["tcp_info"]
    busy_us = info.get("busy_time")
    return Sender(
        cwnd_mean_segments=_cwnd_mean(samples),
        busy_s=busy_us / 1e6 if busy_us is not None else None,
        rwnd_limited_share=share(info.get("rwnd_limited"), busy_us),
        sndbuf_limited_share=share(info.get("sndbuf_limited"), busy_us),
        cwnd_limited_share=_cwnd_limited(info),
    )


def share(part: int | None, whole: int | None) -> float | None:
    """Return part / whole; None if one of them is not known, or the whole is 0."""
    return part / whole if part is not None and whole else None


def _cwnd_mean(samples: AckSamples | None) -> float | None:
    return weighted_mean(samples.snd_cwnd, holding_times(samples)) if samples is not None else None


def _cwnd_limited(info: Mapping[str, int]) -> float | None:
    busy_us, rwnd_us, sndbuf_us = (info.get(name) for name in ("busy_time", "rwnd_limited", "sndbuf_limited"))
    if not busy_us or rwnd_us is None or sndbuf_us is None:
        return None
    return max(0, busy_us - rwnd_us - sndbuf_us) / busy_us
