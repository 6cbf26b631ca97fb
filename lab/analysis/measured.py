# SPDX-License-Identifier: Apache-2.0
"""Everything that a trial measured, in memory: the input of metrics and checks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lab.analysis.ack_samples import AckSamples
from lab.analysis.completions import Completions
from lab.analysis.iperf import Transfer, received, sent
from lab.analysis.path import FlowPath, flow_path, mss_bytes
from lab.job.protocol import Flow, FlowResult, Job, PathCalibration, Record


@dataclass(frozen=True)
class MeasuredFlow:
    """One flow: what was asked and what came back."""

    asked: Flow
    result: FlowResult
    client: dict[str, Any]
    server: dict[str, Any]
    """iperf3's complete output of both ends; empty of short flows."""
    samples: AckSamples | None
    """All rows of the data socket; None when tcp_probe was not asked for, and of UDP and short flows."""
    path: FlowPath
    calibration: PathCalibration | None
    completions: Completions | None = None
    """Of short flows, of which iperf3 knows nothing."""

    @property
    def name(self) -> str:
        return self.asked["name"]

    @property
    def is_iperf(self) -> bool:
        return self.completions is None

    @property
    def is_bulk(self) -> bool:
        """One TCP connection by iperf3: what congestion windows and sockets' state are recorded of."""
        return self.is_iperf and self.asked["protocol"] == "tcp"

    @property
    def received(self) -> Transfer:
        """What the receiver got; ValueError if that is not known."""
        return self.completions.received() if self.completions is not None else received(self.server)

    @property
    def sent(self) -> Transfer:
        """What the sender wrote; ValueError if that is not known."""
        return self.completions.received() if self.completions is not None else sent(self.client)

    @cached_property
    def sending(self) -> AckSamples | None:
        """The rows from the first one on and for as long as iperf3 sent.

        iperf3 starts its clock after an exchange of parameters, some round trips after the flow's declared start; the
        data socket's first ACK comes at about that moment.
        """
        if self.samples is None or not len(self.samples):
            return self.samples
        start_ns = int(self.samples.time_ns[0])
        return self.samples.between(start_ns, start_ns + round(self.sent.seconds * 1e9))

    @property
    def mean_rate_bps(self) -> int | None:
        """The declared rate of the bottleneck while the flow ran; of one that changes, the mean."""
        start = self.asked["start_ns"]
        return self.path.mean_rate_bps(start, start + self.asked["duration_ns"])

    @property
    def base_rtt_us(self) -> float | None:
        """The smallest calibrated round-trip time; the sum of the declared delays where nothing was calibrated."""
        if self.calibration and self.calibration["rtt_ns"]:
            return min(self.calibration["rtt_ns"]) / 1000
        return self.path.rtt_ns / 1000 if self.path.rtt_ns else None


@dataclass(frozen=True)
class MeasuredTrial:
    """One trial that was carried out."""

    job: Job
    record: Record
    flows: tuple[MeasuredFlow, ...]
    unmatched_rows: int = 0
    """tcp_probe rows of sockets that are no flow's data socket."""

    @property
    def iperf_flows(self) -> list[MeasuredFlow]:
        return [flow for flow in self.flows if flow.is_iperf]

    @property
    def bulk_flows(self) -> list[MeasuredFlow]:
        return [flow for flow in self.flows if flow.is_bulk]

    @cached_property
    def mss(self) -> int:
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
    """Put together what is known about the flow *name*.

    Raises:
        ValueError: The job and the record disagree about the flow.
    """
    asked = next((flow for flow in job["flows"] if flow["name"] == name), None)
    result = next((flow for flow in record["flows"] if flow["name"] == name), None)
    if asked is None or result is None:
        raise ValueError(f"flow {name!r} is missing from the {'job' if asked is None else 'record'}")
    ends = (asked["source"], asked["destination"])
    calibration = next((path for path in record["calibration"] if (path["source"], path["destination"]) == ends), None)
    return MeasuredFlow(asked, result, client, server, samples, flow_path(job, asked), calibration, completions)
