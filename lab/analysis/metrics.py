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
from lab.analysis.measured import MeasuredFlow, MeasuredTrial
from lab.analysis.path import goodput_ceiling
from lab.analysis.statistics import jain_index


@dataclass(frozen=True)
class FlowMetrics:
    """The metrics of one flow.  None means that a value was not measured, or is meaningless for this flow.

    All values are those of the flow's declared time, slow start included.  Means and quantiles of srtt and cwnd are
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

    goodput_bps: float
    """Payload that arrived at the receiver, divided by the time from its first to its last packet, in bit/s.

    The kernel counts it at the receiver's transport protocol, without further copies of packets.  The first packet is
    not counted, because it came before any of this time had passed.
    """
    goodput_interval_s: float
    """The time from the first to the last packet that arrived, by which goodput is divided, in seconds."""
    goodput_bytes: int
    """Payload that arrived at the receiver, without further copies of packets, in bytes."""
    acked_bps: float | None
    """Payload acknowledged, from the rows of tcp_probe, in bit/s."""
    sender_bps: float
    """Payload that left the sender for the first time, in bit/s, over the time from its first to its last packet."""
    bottleneck_bps: int | None
    """Declared rate of the bottleneck in bit/s, averaged over the flow's duration; None without a rate limit.

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
    """Number of segments that the sender's TCP sent again (tcp_info: total_retrans); None for UDP."""
    retransmitted_share: float | None
    """Retransmitted segments as a share of all data segments sent (tcp_info: total_retrans / data_segs_out)."""
    window_reductions: int | None
    """How often the sender lowered ssthresh below cwnd, from the rows of tcp_probe; a lower bound.  None for BBR."""

    base_rtt_us: float | None
    """Base RTT, the lowest round-trip time that the path can have, in microseconds.

    It follows the schedules of the links (:func:`lab.analysis.base_rtt.base_rtt_us`); this is its mean over the flow's
    duration.
    """
    min_rtt_us: float | None
    """Smallest round-trip time that the sender's kernel measured (tcp_info), in microseconds."""
    srtt_mean_us: float | None
    """Mean smoothed RTT over time, in microseconds."""
    srtt_median_us: float | None
    """Median of the smoothed RTT over time, in microseconds."""
    srtt_p95_us: float | None
    """p95 of the smoothed RTT over time, in microseconds."""
    srtt_max_us: float | None
    """Largest smoothed RTT, in microseconds."""
    queueing_delay_mean_us: float | None
    """Mean queueing delay, in microseconds: ``srtt_mean_us`` minus ``base_rtt_us``.

    It includes the time to send one full packet on each hop, which the echo requests of the calibration do not need.
    """
    queueing_delay_p95_us: float | None
    """p95 of the queueing delay, in microseconds: ``srtt_p95_us`` minus ``base_rtt_us``."""
    srtt_inflation_mean_us: float | None
    """Mean over time of the smoothed RTT minus the base RTT at the same time, in microseconds."""
    srtt_inflation_p95_us: float | None
    """p95 over time of the smoothed RTT minus the base RTT at the same time, in microseconds."""
    cwnd_mean_segments: float | None
    """Mean congestion window over time, in segments."""

    busy_s: float | None
    """Time with data to send or in flight (tcp_info), in seconds."""
    rwnd_limited_share: float | None
    """Share of the busy time during which the receiver's window was the limit (tcp_info)."""
    sndbuf_limited_share: float | None
    """Share of the busy time during which the send buffer was the limit (tcp_info)."""

    jain_index: float | None
    """Jain's fairness index of the goodput of all TCP flows with the same bottleneck, in the same direction.

    If the bottleneck moves, the one that a flow has for most of its duration counts.  Short flows are excluded.  None
    if there is only one such flow.
    """
    fct_median_us: float | None
    """Median completion time of short flows, in microseconds; flows that did not complete are left out."""
    fct_p95_us: float | None
    """p95 of the completion times of short flows, in microseconds; flows that did not complete are left out."""
    datagrams_lost_share: float | None
    """Share of the packets that left a UDP flow's sender of which no copy reached the receiver."""
    cpu_busy_share: float | None
    """Share of the time with traffic during which the processor that ran the whole topology was busy."""


def trial_metrics(trial: MeasuredTrial) -> list[FlowMetrics]:
    """Return the metrics of every flow, in the job's order."""
    fairness = _fairness(trial.bulk_flows)
    return [_flow_metrics(trial, flow, fairness.get(flow.name)) for flow in trial.flows]


def _fairness(flows: Sequence[MeasuredFlow]) -> dict[str, float | None]:
    """Return name of a flow → Jain's index over it and the other *flows* with the same bottleneck, if there are any."""
    sharing: dict[tuple[str, str] | None, list[MeasuredFlow]] = {}
    for flow in flows:
        hop = flow.bottleneck
        sharing.setdefault((hop.link, hop.direction_name) if hop else None, []).append(flow)
    return {
        flow.name: jain_index([other.received.bps for other in together])
        for together in sharing.values()
        if len(together) > 1
        for flow in together
    }


def uses_ssthresh(congestion_control: str) -> bool:
    """Return whether the algorithm uses ssthresh.  BBR does not: the values that it stores there are meaningless."""
    return not congestion_control.startswith("bbr")


def _flow_metrics(trial: MeasuredTrial, flow: MeasuredFlow, fairness: float | None) -> FlowMetrics:
    receiver, sender = flow.received, flow.sent
    info, rate, base = flow.result["tcp_info"], flow.mean_rate_bps, flow.base_rtt_us
    busy_us = info.get("busy_time")
    control = flow.result["congestion_control"]
    srtt, inflation = _srtt(flow.sending), _inflation(flow)
    cpu = trial.record["cpu"]
    return FlowMetrics(
        flow=flow.name,
        group=flow.asked["group"],
        congestion_control=control,
        source=flow.asked["source"],
        destination=flow.asked["destination"],
        start_s=flow.asked["start_ns"] / 1e9,
        duration_s=flow.asked["duration_ns"] / 1e9,
        goodput_bps=receiver.bps,
        goodput_interval_s=receiver.seconds,
        goodput_bytes=receiver.bytes,
        acked_bps=_acked_bps(flow.sending),
        sender_bps=sender.bps,
        bottleneck_bps=rate,
        declared_loss=flow.path.loss,
        declared_rtt_us=flow.path.rtt_ns.at(0) / 1000,
        queue_bytes=flow.path.queue_bytes(trial.job["mtu"], flow.start_ns),
        share_of_link=receiver.bps / rate if rate else None,
        ceiling=goodput_ceiling(trial.job),
        retransmits=_retransmits(flow),
        retransmitted_share=_share(info.get("total_retrans"), info.get("data_segs_out")),
        window_reductions=_window_reductions(flow.sending, control),
        base_rtt_us=base,
        min_rtt_us=info.get("min_rtt"),
        srtt_mean_us=srtt.mean,
        srtt_median_us=srtt.median,
        srtt_p95_us=srtt.p95,
        srtt_max_us=srtt.maximum,
        queueing_delay_mean_us=_above(srtt.mean, base),
        queueing_delay_p95_us=_above(srtt.p95, base),
        srtt_inflation_mean_us=inflation.mean,
        srtt_inflation_p95_us=inflation.p95,
        cwnd_mean_segments=_cwnd_mean(flow.sending),
        busy_s=busy_us / 1e6 if busy_us is not None else None,
        rwnd_limited_share=_share(info.get("rwnd_limited"), busy_us),
        sndbuf_limited_share=_share(info.get("sndbuf_limited"), busy_us),
        jain_index=fairness,
        fct_median_us=_completion_us(flow, 0.5),
        fct_p95_us=_completion_us(flow, 0.95),
        datagrams_lost_share=_datagrams_lost(flow),
        cpu_busy_share=_share(cpu["busy_ns"], cpu["total_ns"]),
    )


def _retransmits(flow: MeasuredFlow) -> int | None:
    if flow.completions is not None:
        return int(flow.completions.retransmissions.sum())
    return flow.retransmitted_segments if flow.is_bulk else None


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


def _inflation(flow: MeasuredFlow) -> _Times:
    """Return the statistics of the smoothed RTT minus the base RTT, which may change while a value is in force."""
    samples, base = flow.sending, flow.base_rtt_over_time
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
    return flow.completions.quantile_us(share) if flow.completions is not None else None


def _datagrams_lost(flow: MeasuredFlow) -> float | None:
    return flow.lost_share if flow.asked["protocol"] == "udp" else None


def _window_reductions(samples: AckSamples | None, congestion_control: str) -> int | None:
    return len(reductions(samples)) if samples is not None and uses_ssthresh(congestion_control) else None


def _cwnd_mean(samples: AckSamples | None) -> float | None:
    return weighted_mean(samples.snd_cwnd, holding_times(samples)) if samples is not None else None


def _share(part: int | None, whole: int | None) -> float | None:
    return part / whole if part is not None and whole else None


def _above(value: float | None, base: float | None) -> float | None:
    return value - base if value is not None and base is not None else None
