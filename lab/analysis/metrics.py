# SPDX-License-Identifier: Apache-2.0
"""The metrics of one trial: one :class:`FlowMetrics` per flow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab.analysis.ack_samples import (
    AckSamples,
    acked_bytes,
    holding_times,
    reductions,
    weighted_mean,
    weighted_quantile,
)
from lab.analysis.backlog import queueing_delay
from lab.analysis.measured import MeasuredFlow, MeasuredTrial
from lab.analysis.path import goodput_ceiling
from lab.analysis.statistics import jain_index
from lab.job.accounts import DatagramCounts


@dataclass(frozen=True)
class FlowMetrics:
    """The metrics of one flow.  None means that a value was not measured, or is meaningless for this flow.

    The values are those of the flow's measured window, which is its whole declared time, slow start included, unless
    the experiment says otherwise.  Those that the kernel counts over the whole connection only (``min_rtt_us``,
    ``busy_s``, ``rwnd_limited_share`` and ``sndbuf_limited_share``) say so.  Means and quantiles of srtt and cwnd are
    taken over *time*, not over ACKs: each sample is weighted by how long it was in force.
    """

    flow: str
    """Name of the flow."""
    group: str
    """Name of the flow as the experiment declares it; flows that one declaration makes (``count``) share it."""
    congestion_control: str
    """Congestion control algorithm, read back from the socket; ``udp`` for a UDP flow."""
    source: str
    """Host that sends the data."""
    destination: str
    """Host that receives the data."""
    start_s: float
    """Start of the flow as the job asks for it, in seconds since the start of traffic."""
    duration_s: float
    """Duration of the flow as the job asks for it, in seconds."""
    measured_from_s: float | None
    """Start of the flow's measured window, in seconds since the start of traffic; None if no part of it is measured."""
    measured_to_s: float | None
    """End of the flow's measured window, in seconds since the start of traffic; None if no part of it is measured."""

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
    bottleneck_bps: int | None
    """Declared rate of the bottleneck in bit/s, averaged over the measured window; None without a rate limit.

    The bottleneck at a time is the link with the lowest rate at that time; the rate of a link that is down is 0.
    """
    declared_loss: float
    """Declared probability that a data packet is lost at random on its path, at the start of traffic."""
    declared_rtt_us: float
    """Sum of the declared delays of both directions at the start of traffic, in microseconds."""
    queue_bytes: int | None
    """Declared limit of the bottleneck queue when the flow starts, in bytes; None if there is no limit or no queue."""
    share_of_link: float | None
    """``goodput_bps`` divided by ``bottleneck_bps``; it can be ``ceiling`` at most."""
    ceiling: float
    """Share of a full frame that is payload: the largest possible ``share_of_link``."""

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
    marked_packets: int
    """Number of packets that arrived with the ECN mark Congestion Experienced (RFC 3168)."""
    window_reductions: int | None
    """How often the sender lowered ssthresh below cwnd, from the rows of tcp_probe; a lower bound.  None for BBR."""

    base_rtt_us: float | None
    """Base RTT, the lowest round-trip time that the path can have, in microseconds.

    It follows the schedules of the links (:func:`lab.analysis.base_rtt.base_rtt_us`); this is its mean over the
    measured window.
    """
    min_rtt_us: float | None
    """Smallest round-trip time that the sender's kernel measured in the whole flow (tcp_info), in microseconds."""
    srtt_mean_us: float | None
    """Mean smoothed RTT over time, in microseconds."""
    srtt_median_us: float | None
    """Median of the smoothed RTT over time, in microseconds."""
    srtt_p95_us: float | None
    """p95 of the smoothed RTT over time, in microseconds."""
    srtt_max_us: float | None
    """Largest smoothed RTT, in microseconds."""
    queueing_delay_mean_us: float | None
    """Mean time that packets waited in the queues on the path of the flow's data, in microseconds.

    It is that of all packets in these queues, whichever flow they belong to, while the flow ran: Little's law, applied
    to the length of each queue.  None if no queue is on the path.
    """
    queueing_delay_p95_us: float | None
    """p95 of the time that packets waited in these queues, in microseconds, from their lengths in bins of 10 ms."""
    srtt_inflation_mean_us: float | None
    """Mean over time of the smoothed RTT minus the base RTT at the same time, in microseconds."""
    srtt_inflation_p95_us: float | None
    """p95 over time of the smoothed RTT minus the base RTT at the same time, in microseconds."""
    cwnd_mean_segments: float | None
    """Mean congestion window over time, in segments."""

    busy_s: float | None
    """Time with data to send or in flight in the whole flow (tcp_info), in seconds."""
    rwnd_limited_share: float | None
    """Share of the whole flow's busy time during which the receiver's window was the limit (tcp_info)."""
    sndbuf_limited_share: float | None
    """Share of the whole flow's busy time during which the send buffer was the limit (tcp_info)."""

    jain_index: float | None
    """Jain's fairness index of the goodput of all TCP flows with the same bottleneck, in the same direction.

    If the bottleneck moves, the one that a flow has for most of its duration counts.  Short flows are excluded.  None
    if there is only one such flow.
    """
    fct_median_us: float | None
    """Median completion time of short flows, in microseconds; flows that did not complete are left out.

    The flows are those that started within the measured window.
    """
    fct_p95_us: float | None
    """p95 of the completion times of short flows, in microseconds; flows that did not complete are left out."""
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
    cpu_busy_share: float | None
    """Share of the time with traffic during which the processor that ran the whole topology was busy."""


def trial_metrics(trial: MeasuredTrial) -> list[FlowMetrics]:
    """Return the metrics of every flow, in the job's order."""
    fairness = _fairness(trial.bulk_flows)
    return [_flow_metrics(trial, flow, fairness.get(flow.name)) for flow in trial.flows]


def _fairness(flows: Sequence[MeasuredFlow]) -> dict[str, float | None]:
    """Return name of a flow → Jain's index over it and the other *flows* with the same bottleneck, if there are any."""
    sharing: dict[tuple[str, str] | None, list[MeasuredFlow]] = {}
    for flow in (flow for flow in flows if flow.is_measured):
        hop = flow.bottleneck
        sharing.setdefault((hop.link, hop.direction_name) if hop else None, []).append(flow)
    return {
        flow.name: jain_index([other.received("measured").bps for other in together])
        for together in sharing.values()
        if len(together) > 1
        for flow in together
    }


def uses_ssthresh(congestion_control: str) -> bool:
    """Return whether the algorithm uses ssthresh.  BBR does not: the values that it stores there are meaningless."""
    return not congestion_control.startswith("bbr")


def _flow_metrics(trial: MeasuredTrial, flow: MeasuredFlow, fairness: float | None) -> FlowMetrics:
    receiver, sender = (flow.received("measured"), flow.sent("measured")) if flow.is_measured else (None, None)
    samples = flow.measured_samples if flow.is_measured else None
    info, rate, base = flow.result["tcp_info"], flow.mean_rate_bps, flow.base_rtt_us
    busy_us = info.get("busy_time")
    control = flow.result["congestion_control"]
    cpu = trial.record["cpu"]
    return FlowMetrics(
        flow=flow.name,
        group=flow.asked["group"],
        congestion_control=control,
        source=flow.asked["source"],
        destination=flow.asked["destination"],
        start_s=flow.asked["start_ns"] / 1e9,
        duration_s=flow.asked["duration_ns"] / 1e9,
        measured_from_s=flow.window["start_ns"] / 1e9 if flow.is_measured else None,
        measured_to_s=flow.window["end_ns"] / 1e9 if flow.is_measured else None,
        goodput_bps=receiver.bps if receiver else None,
        goodput_interval_s=receiver.seconds if receiver else None,
        goodput_bytes=receiver.bytes if receiver else None,
        acked_bps=_acked_bps(samples),
        sender_bps=sender.bps if sender else None,
        bottleneck_bps=rate,
        declared_loss=flow.path.loss,
        declared_rtt_us=flow.path.rtt_ns.at(0) / 1000,
        queue_bytes=flow.path.queue_bytes(trial.job["mtu"], flow.start_ns),
        share_of_link=receiver.bps / rate if receiver and rate else None,
        ceiling=goodput_ceiling(trial.job),
        retransmits=_retransmits(flow),
        retransmitted_share=flow.retransmitted_share,
        dropped_packets=trial.dropped[flow.name],
        marked_packets=flow.marked_packets,
        window_reductions=_window_reductions(flow, control),
        base_rtt_us=base,
        min_rtt_us=info.get("min_rtt"),
        **_delays(trial, flow, samples),
        cwnd_mean_segments=_cwnd_mean(samples),
        busy_s=busy_us / 1e6 if busy_us is not None else None,
        rwnd_limited_share=_share(info.get("rwnd_limited"), busy_us),
        sndbuf_limited_share=_share(info.get("sndbuf_limited"), busy_us),
        jain_index=fairness,
        fct_median_us=_completion_us(flow, 0.5),
        fct_p95_us=_completion_us(flow, 0.95),
        datagrams_lost_share=_datagrams_lost(flow),
        **_order_of_datagrams(flow.datagrams or _NO_DATAGRAMS),
        cpu_busy_share=_share(cpu["busy_ns"], cpu["total_ns"]),
    )


def _delays(trial: MeasuredTrial, flow: MeasuredFlow, samples: AckSamples | None) -> dict[str, Any]:
    srtt, inflation = _srtt(samples), _inflation(flow, samples)
    mean_ns, p95_ns = queueing_delay(trial.queues_of(flow), flow.window["start_ns"], flow.window["end_ns"])
    return {
        "srtt_mean_us": srtt.mean,
        "srtt_median_us": srtt.median,
        "srtt_p95_us": srtt.p95,
        "srtt_max_us": srtt.maximum,
        "queueing_delay_mean_us": _us(mean_ns),
        "queueing_delay_p95_us": _us(p95_ns),
        "srtt_inflation_mean_us": inflation.mean,
        "srtt_inflation_p95_us": inflation.p95,
    }


def _order_of_datagrams(counted: DatagramCounts) -> dict[str, Any]:
    return {
        "jitter_mean_us": _share(counted["jitter_sum_ns"], counted["arrived"] * 1000),
        "jitter_last_us": counted["jitter_last_ns"] / 1000 if counted["arrived"] else None,
        "reordered_share": _share(counted["reordered"], counted["arrived"]),
        "reordering_extent_mean": _share(counted["extent_sum"], counted["extents"]),
        "reordering_extent_max": counted["extent_max"] or None,
    }


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


def _retransmits(flow: MeasuredFlow) -> int | None:
    if flow.measured_completions is not None:
        return int(flow.measured_completions.retransmissions.sum())
    return flow.retransmitted_segments if flow.is_bulk and flow.is_measured else None


@dataclass(frozen=True)
class _Times:
    """Statistics of a round-trip time over time."""

    mean: float | None = None
    median: float | None = None
    p95: float | None = None
    maximum: float | None = None


def _srtt(samples: AckSamples | None) -> _Times:
    if samples is None:
        return _Times()
    measured = samples.srtt_us > 0
    return _statistics(samples.srtt_us[measured], holding_times(samples)[measured])


def _inflation(flow: MeasuredFlow, samples: AckSamples | None) -> _Times:
    """Return the statistics of the smoothed RTT minus the base RTT, which may change while a value is in force."""
    base = flow.base_rtt_over_time
    if samples is None or base is None or not len(samples):
        return _Times()
    changes = np.array([at_ns for at_ns, _value in base.changes], dtype=np.int64)
    changes = changes[(changes > samples.time_ns[0]) & (changes < samples.time_ns[-1])]
    # The value of a row was in force since the row before.
    until_ns = np.union1d(samples.time_ns, changes)
    srtt_us = samples.srtt_us[np.searchsorted(samples.time_ns, until_ns)]
    base_us = np.array([base.at(int(since_ns)) for since_ns in [until_ns[0], *changes]])
    place = np.searchsorted(changes, until_ns, side="left")
    measured = srtt_us > 0
    return _statistics((srtt_us - base_us[place])[measured], np.diff(until_ns, prepend=until_ns[:1])[measured])


def _statistics(values: NDArray[Any], weights: NDArray[Any]) -> _Times:
    return _Times(
        mean=weighted_mean(values, weights),
        median=weighted_quantile(values, weights, 0.5),
        p95=weighted_quantile(values, weights, 0.95),
        maximum=float(values.max()) if len(values) else None,
    )


def _acked_bps(samples: AckSamples | None) -> float | None:
    if samples is None or len(samples) < 2:
        return None
    return acked_bytes(samples) * 8e9 / float(samples.time_ns[-1] - samples.time_ns[0])


def _completion_us(flow: MeasuredFlow, share: float) -> float | None:
    return flow.measured_completions.quantile_us(share) if flow.measured_completions is not None else None


def _datagrams_lost(flow: MeasuredFlow) -> float | None:
    return flow.lost_share if flow.asked["protocol"] == "udp" else None


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


def _cwnd_mean(samples: AckSamples | None) -> float | None:
    return weighted_mean(samples.snd_cwnd, holding_times(samples)) if samples is not None else None


def _share(part: int | None, whole: int | None) -> float | None:
    return part / whole if part is not None and whole else None


def _us(ns: float | None) -> float | None:
    return ns / 1000 if ns is not None else None
