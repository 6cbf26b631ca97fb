# SPDX-License-Identifier: Apache-2.0
"""The measures of one trial: one :class:`FlowMetrics` per flow."""

from __future__ import annotations

from dataclasses import dataclass

from lab.analysis import iperf
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
    """What one flow did.  None: not measured, or meaningless for this flow.

    Means and quantiles of srtt and cwnd are over *time*, not over ACKs: each traced value counts for as long as
    it was in force.  They cover all the time that iperf3 sent, slow start included.
    """

    flow: str
    group: str
    congestion_control: str
    """As read back from the socket; ``udp`` of UDP."""
    source: str
    destination: str
    start_s: float
    duration_s: float
    """As asked for."""

    goodput_bps: float
    """Payload that reached the receiving application, over the receiver's own time (iperf3 server)."""
    goodput_interval_s: float
    goodput_bytes: int
    """In whole blocks: iperf3 reads ``--length`` bytes (128 KiB unless told) at a time and counts no part of one."""
    acked_bps: float | None
    """The trace's own figure: payload acknowledged while iperf3 sent; not rounded to blocks."""
    sender_bps: float
    """Payload that the sending application wrote (iperf3 client): also counts what filled the socket's buffer."""
    bottleneck_bps: int | None
    """Declared, like the three that follow."""
    declared_loss: float
    """Probability that a data packet is lost at random on its way."""
    declared_rtt_us: float
    queue_bytes: int | None
    """The bottleneck queue's limit; None: unlimited, or none."""
    share_of_link: float | None
    """``goodput_bps`` over the declared rate of the bottleneck; ``ceiling`` is the most it can be."""
    ceiling: float

    retransmits: int | None
    """Segments sent again (iperf3 client, from the kernel's tcpi_total_retrans)."""
    retransmitted_share: float | None
    """Of all data segments sent (tcp_info: total_retrans / data_segs_out)."""
    window_reductions: int | None
    """Times that ssthresh was lowered below cwnd; a lower bound.  None for BBR."""

    base_rtt_us: float | None
    """Smallest round-trip time of the calibration, before any traffic."""
    min_rtt_us: float | None
    """tcp_info: the smallest round trip that the sender saw."""
    srtt_mean_us: float | None
    srtt_median_us: float | None
    srtt_p95_us: float | None
    srtt_max_us: float | None
    queueing_delay_mean_us: float | None
    """srtt minus base RTT; includes the time to send one full packet on each hop, which a ping does not have."""
    queueing_delay_p95_us: float | None
    cwnd_mean_segments: float | None

    busy_s: float | None
    """tcp_info: time with data to send or in flight."""
    rwnd_limited_share: float | None
    """Of the busy time, limited by the receiver's window."""
    sndbuf_limited_share: float | None
    """Of the busy time, limited by the send buffer."""

    jain_index: float | None
    """Fairness of goodput over all of the trial's TCP flows but short ones; None for a single flow."""
    fct_median_us: float | None
    """Of short flows: how long they took to complete; those that did not are left out."""
    fct_p95_us: float | None
    datagrams_lost_share: float | None
    """Of a UDP flow's packets, as iperf3's receiver counts them."""
    cpu_busy_share: float | None
    """Of the processor that ran the whole topology, over the traffic's time."""


def trial_metrics(trial: MeasuredTrial) -> list[FlowMetrics]:
    """Return the metrics of every flow, in the job's order.

    Raises:
        ValueError: An end of a flow reported no result.
    """
    goodputs = [flow.received.bps for flow in trial.bulk_flows]
    fairness = jain_index(goodputs) if len(goodputs) > 1 else None
    return [_flow_metrics(trial, flow, fairness) for flow in trial.flows]


def uses_ssthresh(congestion_control: str) -> bool:
    """Return whether ssthresh steers the algorithm; BBR only stores values in it that mean nothing."""
    return not congestion_control.startswith("bbr")


def _flow_metrics(trial: MeasuredTrial, flow: MeasuredFlow, fairness: float | None) -> FlowMetrics:
    receiver, sender = flow.received, flow.sent
    info, rate, base = flow.result["tcp_info"], flow.mean_rate_bps, flow.base_rtt_us
    busy_us = info.get("busy_time")
    control = flow.result["congestion_control"]
    srtt = _srtt(flow.sending)
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
        declared_rtt_us=flow.path.rtt_ns / 1000,
        queue_bytes=flow.path.queue_bytes(trial.job["mtu"]),
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
        cwnd_mean_segments=_cwnd_mean(flow.sending),
        busy_s=busy_us / 1e6 if busy_us is not None else None,
        rwnd_limited_share=_share(info.get("rwnd_limited"), busy_us),
        sndbuf_limited_share=_share(info.get("sndbuf_limited"), busy_us),
        jain_index=fairness if flow.is_bulk else None,
        fct_median_us=_completion_us(flow, 0.5),
        fct_p95_us=_completion_us(flow, 0.95),
        datagrams_lost_share=_datagrams_lost(flow),
        cpu_busy_share=_share(cpu["busy_ns"], cpu["total_ns"]),
    )


def _retransmits(flow: MeasuredFlow) -> int | None:
    if flow.completions is not None:
        return int(flow.completions.retransmissions.sum())
    return iperf.sender_statistics(flow.client).retransmits


@dataclass(frozen=True)
class _Srtt:
    mean: float | None
    median: float | None
    p95: float | None
    maximum: float | None


def _srtt(samples: AckSamples | None) -> _Srtt:
    if samples is None:
        return _Srtt(None, None, None, None)
    measured = samples.srtt_us > 0
    values, weights = samples.srtt_us[measured], holding_times(samples)[measured]
    return _Srtt(
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
    return iperf.datagrams_lost_share(flow.server) if flow.asked["protocol"] == "udp" else None


def _window_reductions(samples: AckSamples | None, congestion_control: str) -> int | None:
    return len(reductions(samples)) if samples is not None and uses_ssthresh(congestion_control) else None


def _cwnd_mean(samples: AckSamples | None) -> float | None:
    return weighted_mean(samples.snd_cwnd, holding_times(samples)) if samples is not None else None


def _share(part: int | None, whole: int | None) -> float | None:
    return part / whole if part is not None and whole else None


def _above(value: float | None, base: float | None) -> float | None:
    return value - base if value is not None and base is not None else None
