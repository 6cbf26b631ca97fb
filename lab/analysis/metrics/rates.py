# SPDX-License-Identifier: Apache-2.0
"""How fast a flow's data arrived, and how much of the link that is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lab.analysis.ack_samples import AckSamples, acked_bytes, holding_times, weighted_mean
from lab.analysis.capacity import leaves
from lab.analysis.measured import MeasuredFlow, MeasuredTrial
from lab.analysis.over_windows import rates_in, window_starts
from lab.analysis.path import goodput_ceiling
from lab.job.protocol import ETHERNET_HEADER_BYTES


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
    utilisation: float | None
    """Share of what the bottleneck could send that all traffic together used, headers included.

    The bytes that left the queue in front of the link within the flow's measured window, divided by those that the link
    could have sent in this time.  The link is the flow's bottleneck for most of its time.  None without a rate limit.
    """
    goodput_cv: float | None
    """Coefficient of variation of goodput over windows of 1 s: its standard deviation divided by its mean.

    0 is perfectly steady (RFC 5166, section 2.2.2).  The windows are the whole seconds of the measured window.  None
    with fewer than two, for short flows, and if nothing arrived.
    """
    power_bps_per_s: float | None
    """``goodput_bps`` divided by the mean smoothed RTT in seconds, in bit/s².

    This is Kleinrock's power (L. Kleinrock, Proc. ICC 1979): it is largest where more throughput would cost
    disproportionately more delay.
    """


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
        utilisation=_utilisation(trial, flow),
        goodput_cv=_variation(trial, flow),
        power_bps_per_s=_power(receiver.bps if receiver else None, samples),
    )


def _utilisation(trial: MeasuredTrial, flow: MeasuredFlow) -> float | None:
    hop, window = flow.bottleneck, flow.window
    link = leaves(hop.direction, flow.path.end_ns) if hop is not None and flow.is_measured else None
    place = trial.place_of(hop) if hop is not None else None
    if link is None or place is None or place not in trial.queues:
        return None
    start, end = link.until(np.array([window["start_ns"], window["end_ns"]], dtype=np.float64))
    sent = trial.queues[place].left_bytes(
        window["start_ns"], window["end_ns"], trial.job["mtu"] + ETHERNET_HEADER_BYTES
    )
    return sent / float(end - start) if end > start else None


def _variation(trial: MeasuredTrial, flow: MeasuredFlow) -> float | None:
    bins = trial.arrivals.get(flow.name)
    if bins is None or not flow.is_iperf:
        return None
    found = rates_in(bins, window_starts(flow.window["start_ns"], flow.window["end_ns"]))
    return float(found.std() / found.mean()) if len(found) > 1 and found.mean() > 0 else None


def _power(goodput_bps: float | None, samples: AckSamples | None) -> float | None:
    if goodput_bps is None or samples is None:
        return None
    measured = samples.srtt_us > 0
    srtt_us = weighted_mean(samples.srtt_us[measured], holding_times(samples)[measured])
    return goodput_bps / (srtt_us / 1e6) if srtt_us else None


def _acked_bps(samples: AckSamples | None) -> float | None:
    if samples is None or len(samples) < 2:
        return None
    return acked_bytes(samples) * 8e9 / float(samples.time_ns[-1] - samples.time_ns[0])
