# SPDX-License-Identifier: Apache-2.0
"""Everything that a trial measured, in memory.  Metrics and checks are computed from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab.analysis.ack_samples import AckSamples, StateSamples
from lab.analysis.backlog import Backlog
from lab.analysis.base_rtt import base_rtt_us
from lab.analysis.completions import Completions
from lab.analysis.path import FlowPath, flow_path, mss_bytes
from lab.analysis.series import Bins
from lab.analysis.volume import Part, Volume, arrived, datagrams_lost_share, volume
from lab.job.accounts import AccountTotal, DatagramCounts
from lab.job.network import Hop
from lab.job.over_time import Steps, mean
from lab.job.protocol import Flow, FlowResult, Job, PathCalibration, Probe, Record, Window
from lab.job.windows import declared_window, is_cut, is_measured


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
    states: StateSamples | None = None
    """The states of the sender's loss recovery; None if the rows do not tell all of them."""

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
    def window(self) -> Window:
        """The flow's measured window: the part of its declared time that its figures cover."""
        return self.asked["measured"]

    @property
    def is_measured(self) -> bool:
        """Whether the measured window contains any of the flow's time; a period of on-off traffic may be outside."""
        return is_measured(self.asked)

    @property
    def is_cut(self) -> bool:
        """Whether the measured window is only a part of the flow's declared time."""
        return is_cut(self.asked)

    def received(self, part: Part = "declared") -> Volume:
        """Return the payload that arrived at the receiver within a part of the flow's time.

        For short flows, this is what arrived of those that started within it.
        """
        if self.completions is not None:
            return self._completions_of(self.completions, part).received()
        return arrived(self.result, self.asked, self.path.transit_ns, part)

    def sent(self, part: Part = "declared") -> Volume:
        """Return the payload that left the sender within a part of the flow's time; for short flows, what arrived."""
        if self.completions is not None:
            return self._completions_of(self.completions, part).received()
        return volume(self._counted("sent", part))

    @property
    def measured_completions(self) -> Completions | None:
        """The short flows that started within the measured window; None for an iperf3 flow."""
        return None if self.completions is None else self._completions_of(self.completions, "measured")

    def _completions_of(self, completions: Completions, part: Part) -> Completions:
        is_all = part == "declared" or not self.is_cut
        return completions if is_all else completions.started_in(self.window)

    @property
    def retransmitted_segments(self) -> int:
        """The number of segments that the sender's TCP sent again within the measured window.

        Without a cut, this is the socket's own count, until its connection ended.  With one, or if the socket was never
        read, this is the number of segments that left the sender again.  It can be larger: where the sender's own
        interface has a queue, TCP also sends again what this queue has dropped, and does not call it a retransmission.
        """
        left_again = self._counted("sent", "measured")["again_packets"]
        return left_again if self.is_cut else self.result["tcp_info"].get("total_retrans", left_again)

    @property
    def retransmitted_share(self) -> float | None:
        """The share of retransmissions in all segments with data; None for anything but a single TCP connection.

        Without a cut, both are the socket's own counts, and the result is None if the socket was never read.
        """
        if not self.is_bulk:
            return None
        again, all_segments = self.result["tcp_info"].get("total_retrans"), self.result["tcp_info"].get("data_segs_out")
        if self.is_cut:
            # Between the handshake and the end of the connection, each segment from the sender carries data.  If the
            # connection ends within the window, a FIN is counted as well.
            sent = self._counted("sent", "measured")
            again, all_segments = sent["again_packets"], sent["packets"]
        return again / all_segments if again is not None and all_segments else None

    @property
    def left_again_segments(self) -> int:
        """The number of segments that left the sender again within the flow's declared time."""
        return self._counted("sent", "declared")["again_packets"]

    @property
    def marked_packets(self) -> int:
        """The number of packets that arrived within the measured window with the mark Congestion Experienced."""
        return self._counted("arrived", "measured")["ce_packets"]

    @property
    def sent_packets(self) -> int:
        """The number of packets with data that left the sender within the measured window, retransmissions included."""
        return self._counted("sent", "measured")["packets"]

    @property
    def delivered_bytes(self) -> int:
        """The payload that the receiver's TCP delivered in order within the flow's declared time, in bytes."""
        return self._counted("delivered", "declared")["bytes"]

    @property
    def datagrams(self) -> DatagramCounts | None:
        """What the kernel counted of the datagrams of a UDP flow; None for TCP."""
        return self.result["accounts"]["datagrams"]

    @property
    def lost_share(self) -> float | None:
        """The share of the packets that left the sender of which no copy reached the receiver; None if none left.

        With a cut, these are the datagrams that left within the measured window, whenever they arrived.
        """
        if self.is_cut and self.datagrams is not None:
            left = self.datagrams["left"]
            return 1 - self.datagrams["left_arrived"] / left if left else None
        sides = self.result["accounts"]["sides"]
        return datagrams_lost_share(sides["sent"]["all"], sides["arrived"]["all"])

    def _counted(self, side: str, part: Part) -> AccountTotal:
        return self.result["accounts"]["sides"][side][part]

    @cached_property
    def sending(self) -> AckSamples | None:
        """The tcp_probe rows of the flow's declared time; of a flow with an amount of data, until it had sent them."""
        if self.samples is None or not len(self.samples):
            return self.samples
        return self.samples.between(self.start_ns, self._sends_until_ns)

    @cached_property
    def measured_samples(self) -> AckSamples | None:
        """The part of :attr:`sending` in the measured window; its first and last rows are those of the cuts."""
        if self.sending is None or not self.is_cut:
            return self.sending
        end_ns = min(self.window["end_ns"], self._sends_until_ns)
        return self.sending.cut(self.window["start_ns"], end_ns)

    @property
    def _sends_until_ns(self) -> int:
        if self.asked["limit_bytes"] is None:
            return self.end_ns
        backward, forward = (self._counted(side, "declared")["last_ns"] for side in ("arrived_backward", "sent"))
        return backward or forward or self.end_ns

    @property
    def mean_rate_bps(self) -> int | None:
        """Mean declared rate of the bottleneck in the measured window, in bit/s; None if the path has no rate limit."""
        window = self.window if self.is_measured else declared_window(self.asked)
        return self.path.mean_rate_bps(window["start_ns"], window["end_ns"])

    @cached_property
    def base_rtt_over_time(self) -> Steps[float] | None:
        """Base RTT in microseconds, as :func:`lab.analysis.base_rtt.base_rtt_us` defines it."""
        return base_rtt_us(self.path, self.calibration)

    @property
    def base_rtt_us(self) -> float | None:
        """Mean base RTT over the measured window, in microseconds; None if it is not known."""
        steps = self.base_rtt_over_time
        window = self.window if self.is_measured else declared_window(self.asked)
        return None if steps is None else mean(steps, window["start_ns"], window["end_ns"])

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
class MeasuredProbe:
    """The requests of one probe that were sent within its measured window."""

    asked: Probe
    rtt_ns: NDArray[np.int64]
    """The time from each request to its response, in nanoseconds; 0 if there was no response."""


@dataclass(frozen=True)
class MeasuredTrial:
    """One trial that was carried out: its job, its record and its flows in the order of the job."""

    job: Job
    record: Record
    flows: tuple[MeasuredFlow, ...]
    queues: Mapping[tuple[str, str], Backlog]
    """The queues in front of links, and the nodes' own: (node, interface) → its length over time."""
    dropped: Mapping[str, int]
    """Name of a flow → how many packets of its data were dropped on their way within its measured window."""
    unmatched_rows: int = 0
    """Number of tcp_probe rows that belong to no flow's data socket, such as those of iperf3's control connections."""
    arrivals: Mapping[str, Bins] = field(default_factory=dict)
    """Name of a flow → what arrived of it, in bins."""
    dropped_by_queues: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    """(flow, node, interface) → how many packets of the flow's data the queue there dropped in its measured window."""
    probes: tuple[MeasuredProbe, ...] = ()

    @property
    def iperf_flows(self) -> list[MeasuredFlow]:
        """The flows that iperf3 made: all but short flows."""
        return [flow for flow in self.flows if flow.is_iperf]

    @property
    def bulk_flows(self) -> list[MeasuredFlow]:
        """The TCP flows that iperf3 made."""
        return [flow for flow in self.flows if flow.is_bulk]

    def queues_of(self, flow: MeasuredFlow) -> list[Backlog]:
        """Return the queues on the path of a flow's data, in the order in which packets pass them."""
        return [
            self.queues[port["node"], port["interface"]]
            for hop in flow.path.forward
            for port in self.record["interfaces"]
            if (port["link"], port["node"], port["role"]) == (hop.link, hop.sender, "egress")
            and (port["node"], port["interface"]) in self.queues
        ]

    def place_of(self, hop: Hop) -> tuple[str, str] | None:
        """Return the node and the interface with the queue in front of a hop; None if the record does not have it."""
        for port in self.record["interfaces"]:
            if (port["link"], port["node"], port["role"]) == (hop.link, hop.sender, "egress"):
                return port["node"], port["interface"]
        return None

    def sharing(self, flow: MeasuredFlow, flows: Iterable[MeasuredFlow]) -> list[MeasuredFlow]:
        """Return those of *flows* whose bottleneck is that of *flow*, in the same direction, and that are measured."""
        return [other for other in flows if other.is_measured and _place(other) == _place(flow)]

    def sysctl(self, name: str) -> str | None:
        """Return the value of the sysctl whose last component is *name*; None if it was not recorded.

        Whitespace in the value is reduced to single spaces.
        """
        for key, value in sorted(self.record["sysctls"].items()):
            if key.replace("/", ".").rsplit(".", 1)[-1] == name:
                return " ".join(str(value).split())
        return None

    @cached_property
    def mss(self) -> int:
        """Payload of a full TCP segment, in bytes."""
        return mss_bytes(self.job)


def _place(flow: MeasuredFlow) -> tuple[str, str] | None:
    hop = flow.bottleneck
    return (hop.link, hop.direction_name) if hop else None


def measured_flow(
    job: Job,
    record: Record,
    name: str,
    client: dict[str, Any],
    server: dict[str, Any],
    samples: AckSamples | None,
    completions: Completions | None = None,
    states: StateSamples | None = None,
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
    return MeasuredFlow(asked, result, client, server, samples, flow_path(job, asked), calibration, completions, states)
