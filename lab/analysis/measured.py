# SPDX-License-Identifier: Apache-2.0
"""Everything that a trial measured, in memory.  Metrics and checks are computed from it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lab.analysis.ack_samples import AckSamples
from lab.analysis.completions import Completions
from lab.analysis.iperf import Volume, received, sent
from lab.analysis.path import FlowPath, flow_path, mss_bytes
from lab.job.protocol import Flow, FlowResult, Job, PathCalibration, Record


@dataclass(frozen=True)
class MeasuredFlow:
    """One flow, or one group of short flows: what the job asks for and what was measured."""

    asked: Flow
    """The flow as the job describes it."""
    result: FlowResult
    """The flow as the record describes it."""
    client: dict[str, Any]
    """The complete iperf3 output of the end that sends data; empty for short flows."""
    server: dict[str, Any]
    """The complete iperf3 output of the end that receives data; empty for short flows."""
    samples: AckSamples | None
    """All tcp_probe rows of the data socket; None for UDP and short flows, and if tcp_probe was not recorded."""
    path: FlowPath
    """The path of the flow as the job declares it."""
    calibration: PathCalibration | None
    """The measurement of this path before the traffic; None if there was none."""
    completions: Completions | None = None
    """Completion times of short flows, which are not made by iperf3; None for an iperf3 flow."""

    @property
    def name(self) -> str:
        """The flow's name in the job."""
        return self.asked["name"]

    @property
    def is_iperf(self) -> bool:
        """Whether iperf3 made the flow; short flows are made by the agent."""
        return self.completions is None

    @property
    def is_bulk(self) -> bool:
        """Whether the flow is a single TCP connection of iperf3, whose congestion window and socket are recorded."""
        return self.is_iperf and self.asked["protocol"] == "tcp"

    @property
    def received(self) -> Volume:
        """What the receiver got.

        Raises:
            ValueError: iperf3's output contains no result.
        """
        return self.completions.received() if self.completions is not None else received(self.server)

    @property
    def sent(self) -> Volume:
        """What the sender wrote; for short flows, what the receiver got.

        Raises:
            ValueError: iperf3's output contains no result.
        """
        return self.completions.received() if self.completions is not None else sent(self.client)

    @cached_property
    def sending(self) -> AckSamples | None:
        """The tcp_probe rows of the time during which iperf3 sent, counted from the first row.

        iperf3 exchanges parameters with its server before it starts its clock, which takes some round trips from the
        declared start of the flow.  The first ACK of the data socket arrives at about the time the clock starts.
        """
        if self.samples is None or not len(self.samples):
            return self.samples
        start_ns = int(self.samples.time_ns[0])
        return self.samples.between(start_ns, start_ns + round(self.sent.seconds * 1e9))

    @property
    def mean_rate_bps(self) -> int | None:
        """Mean declared rate of the bottleneck while the flow ran, in bit/s; None if the path has no rate limit."""
        start = self.asked["start_ns"]
        return self.path.mean_rate_bps(start, start + self.asked["duration_ns"])

    @property
    def base_rtt_us(self) -> float | None:
        """Base RTT in microseconds: the smallest round-trip time that the calibration measured.

        Without a calibration it is the sum of the declared delays; None if no delay is declared either.
        """
        if self.calibration and self.calibration["rtt_ns"]:
            return min(self.calibration["rtt_ns"]) / 1000
        return self.path.rtt_ns / 1000 if self.path.rtt_ns else None


@dataclass(frozen=True)
class MeasuredTrial:
    """One trial that was carried out: its job, its record and its flows in the order of the job."""

    job: Job
    record: Record
    flows: tuple[MeasuredFlow, ...]
    unmatched_rows: int = 0
    """Number of tcp_probe rows that belong to no flow's data socket, such as those of iperf3's control connections."""

    @property
    def iperf_flows(self) -> list[MeasuredFlow]:
        """The flows that iperf3 made: all but short flows."""
        return [flow for flow in self.flows if flow.is_iperf]

    @property
    def bulk_flows(self) -> list[MeasuredFlow]:
        """The TCP flows that iperf3 made."""
        return [flow for flow in self.flows if flow.is_bulk]

    @cached_property
    def mss(self) -> int:
        """Payload of a full TCP segment, in bytes."""
        return mss_bytes(self.job)


def measured_flow(
    job: Job,
    record: Record,
    name: str,
    client: dict[str, Any],
    server: dict[str, Any],
    samples: AckSamples | None,
    completions: Completions | None = None,
) -> MeasuredFlow:
    """Collect everything that is known about the flow *name*.

    Raises:
        ValueError: The flow is missing from the job or from the record.
    """
    asked = next((flow for flow in job["flows"] if flow["name"] == name), None)
    result = next((flow for flow in record["flows"] if flow["name"] == name), None)
    if asked is None or result is None:
        raise ValueError(f"flow {name!r} is missing from the {'job' if asked is None else 'record'}")
    ends = (asked["source"], asked["destination"])
    calibration = next((path for path in record["calibration"] if (path["source"], path["destination"]) == ends), None)
    return MeasuredFlow(asked, result, client, server, samples, flow_path(job, asked), calibration, completions)
