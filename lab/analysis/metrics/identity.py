# SPDX-License-Identifier: Apache-2.0
"""Which flow a row of metrics belongs to, and what its path is declared to be."""

from __future__ import annotations

from dataclasses import dataclass

from lab.analysis.measured import MeasuredFlow, MeasuredTrial


@dataclass(frozen=True)
class Identity:
    """Name, ends and times of a flow."""

    kind: str
    """``flow``: one connection of iperf3; ``short_flows``: a series of short connections."""
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


@dataclass(frozen=True)
class Declared:
    """The path of a flow's data as the experiment declares it."""

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


def identity(flow: MeasuredFlow) -> Identity:
    """Return name, ends and times of a flow."""
    window = flow.window if flow.is_measured else None
    return Identity(
        kind="flow" if flow.is_iperf else "short_flows",
        flow=flow.name,
        group=flow.asked["group"],
        congestion_control=flow.result["congestion_control"],
        source=flow.asked["source"],
        destination=flow.asked["destination"],
        start_s=flow.asked["start_ns"] / 1e9,
        duration_s=flow.asked["duration_ns"] / 1e9,
        measured_from_s=window["start_ns"] / 1e9 if window else None,
        measured_to_s=window["end_ns"] / 1e9 if window else None,
    )


def declared(trial: MeasuredTrial, flow: MeasuredFlow) -> Declared:
    """Return what is declared of the path of a flow's data."""
    return Declared(
        bottleneck_bps=flow.mean_rate_bps,
        declared_loss=flow.path.loss,
        declared_rtt_us=flow.path.rtt_ns.at(0) / 1000,
        queue_bytes=flow.path.queue_bytes(trial.job["mtu"], flow.start_ns),
    )
