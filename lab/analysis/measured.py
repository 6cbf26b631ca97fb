# SPDX-License-Identifier: Apache-2.0
"""Everything that a trial measured, in memory.  Metrics and checks are computed from it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lab.analysis.ack_samples import AckSamples
from lab.analysis.base_rtt import base_rtt_us
from lab.analysis.completions import Completions
from lab.analysis.path import FlowPath, flow_path, mss_bytes
from lab.analysis.volume import Volume, arrived, datagrams_lost_share, volume
from lab.job.network import Hop
from lab.job.over_time import Steps, mean
from lab.job.protocol import AccountTotal, Flow, FlowResult, Job, PathCalibration, Record


@dataclass(frozen=True)
class MeasuredFlow:
    """One flow, or one group of short flows: what the job asks for and what was measured."""

    asked: Flow
    """The flow as the job describes it."""
    result: FlowResult
    """The flow as the record describes it."""
    client: dict[str, Any]
    """The complete iperf3 output of the end that sends data; empty if there is none, as for short flows."""
    server: dict[str, Any]
    """The complete iperf3 output of the end that receives data; empty if there is none, as for short flows."""
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
    def start_ns(self) -> int:
        """The declared start of the flow, in nanoseconds since the start of traffic."""
        return self.asked["start_ns"]

    @property
    def end_ns(self) -> int:
        """The declared end of the flow, in nanoseconds since the start of traffic."""
        return self.asked["start_ns"] + self.asked["duration_ns"]

    @property
    def received(self) -> Volume:
        """The payload that arrived at the receiver within the flow's declared time."""
        if self.completions is not None:
            return self.completions.received()
        return arrived(self.result, self.asked, self.path.transit_ns)

    @property
    def sent(self) -> Volume:
        """The payload that left the sender within the flow's declared time; for short flows, what the receiver got."""
        if self.completions is not None:
            return self.completions.received()
        return volume(self._declared("sent"))

    @property
    def retransmitted_segments(self) -> int:
        """The number of segments that the sender's TCP sent again until its connection ended.

        If the socket was never read, this is the number of segments that left the sender again.  It can be larger:
        where the sender's own interface has a queue, TCP also sends again what this queue has dropped, and does not
        call it a retransmission.
        """
        return self.result["tcp_info"].get("total_retrans", self.left_again_segments)

    @property
    def left_again_segments(self) -> int:
        """The number of segments that left the sender again within the flow's declared time."""
        return self._declared("sent")["again_packets"]

    @property
    def delivered_bytes(self) -> int:
        """The payload that the receiver's TCP delivered in order within the flow's declared time, in bytes."""
        return self._declared("delivered")["bytes"]

    @property
    def lost_share(self) -> float | None:
        """The share of all packets that left the sender of which no copy reached the receiver; None if none left."""
        sides = self.result["accounts"]["sides"]
        return datagrams_lost_share(sides["sent"]["all"], sides["arrived"]["all"])

    def _declared(self, side: str) -> AccountTotal:
        return self.result["accounts"]["sides"][side]["declared"]

    @cached_property
    def sending(self) -> AckSamples | None:
        """The tcp_probe rows of the flow's declared time; of a flow with an amount of data, until it had sent them."""
        if self.samples is None or not len(self.samples):
            return self.samples
        end_ns = self.end_ns
        if self.asked["limit_bytes"] is not None:
            end_ns = self._declared("arrived_backward")["last_ns"] or self._declared("sent")["last_ns"] or end_ns
        return self.samples.between(self.start_ns, end_ns)

    @property
    def mean_rate_bps(self) -> int | None:
        """Mean declared rate of the bottleneck while the flow ran, in bit/s; None if the path has no rate limit."""
        return self.path.mean_rate_bps(self.start_ns, self.end_ns)

    @cached_property
    def base_rtt_over_time(self) -> Steps[float] | None:
        """Base RTT in microseconds, as :func:`lab.analysis.base_rtt.base_rtt_us` defines it."""
        return base_rtt_us(self.path, self.calibration)

    @property
    def base_rtt_us(self) -> float | None:
        """Mean base RTT over the flow's declared time, in microseconds; None if it is not known."""
        steps = self.base_rtt_over_time
        return None if steps is None else mean(steps, self.start_ns, self.end_ns)

    @property
    def longest_base_rtt_us(self) -> float:
        """Longest base RTT of the path at any time, in microseconds; 0 if it is not known."""
        steps = self.base_rtt_over_time
        return max(value for _at, value in steps.changes) if steps else 0.0

    @property
    def bottleneck(self) -> Hop | None:
        """The hop that is the flow's bottleneck for most of its declared time; None without a rate limit."""
        return self.path.main_bottleneck(self.start_ns, self.end_ns)


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
