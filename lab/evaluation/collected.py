# SPDX-License-Identifier: Apache-2.0
"""What the collectors recorded in a trial, as arrays for the figures over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lab.analysis.ack_samples import before_timeouts
from lab.analysis.capacity import leaves
from lab.analysis.events import Span, held_at, spans
from lab.analysis.path import FlowPath, flow_path
from lab.evaluation.trial import ACCOUNTS, TCP_PROBE, Curve
from lab.job.network import Hop
from lab.job.over_time import queue_limit_bytes, queue_over_time, rate_over_time
from lab.job.protocol import ETHERNET_HEADER_BYTES, Flow
from lab.store.trial import TrialResult

Seconds = NDArray[np.float64]
"""Times in seconds since the start of traffic."""


@dataclass(frozen=True)
class Inside:
    """The internal state of a congestion control algorithm over time."""

    modes: tuple[Span, ...] = ()
    """BBR's modes; empty for other algorithms."""
    bandwidth: Curve | None = None
    """BBR's estimate of the bottleneck bandwidth, in bit/s, at the times when it has one."""
    window_max: Curve | None = None
    """CUBIC's W_max (RFC 9438), in segments, at the times when it has one; it was in force since the time before."""


@dataclass(frozen=True)
class QueueOccupancy:
    """The length of a queue in front of a link over time.  Each sample holds until the next one."""

    node: str
    interface: str
    seconds: Seconds
    """Times of the samples."""
    packets: NDArray[np.float64]
    """Number of packets in the queue."""
    delay_ms: NDArray[np.float64]
    """Time that the link needs from then on to send the queued bytes, in milliseconds."""
    full_packet_ms: float | None
    """Time that the link needs to send one full-sized packet, in milliseconds; None if its rate changes."""
    limit: Curve | None
    """The queue's limit in full-sized packets, which holds until the next point; None if no limit is declared."""
    is_bottleneck: tuple[tuple[float, float], ...]
    """The periods, in seconds, in which this link is the bottleneck of the flow."""


def recorded(trial: TrialResult, collector: str) -> bool:
    """Return whether the trial recorded *collector*; its table may still be empty."""
    return trial.ok and collector in trial.record["collectors"]


@lru_cache(maxsize=512)
def retransmissions(trial: TrialResult, flow: str) -> Mapping[str, Seconds]:
    """Return the times of the flow's retransmissions by kind (``fast``, ``timeout``, ``tlp`` …).

    The result is empty if they were not recorded.
    """
    if not recorded(trial, "retrans"):
        return {}
    table = _of_flow(trial.collected("retrans", ["time_ns", "flow", "kind"]), flow)
    return _times_by(table, "kind")


@lru_cache(maxsize=512)
def flow_drops(trial: TrialResult, flow: str) -> Mapping[str, Seconds]:
    """Return the times at which packets of *flow* were dropped, in either direction, by cause.

    The result is empty if drops were not recorded.
    """
    if not recorded(trial, "drops"):
        return {}
    return _times_by(_of_flow(trial.collected("drops", ["time_ns", "flow", "cause"]), flow), "cause")


@lru_cache(maxsize=512)
def marked_arrivals(trial: TrialResult, flow: str) -> Seconds:
    """Return when packets of *flow*'s data arrived with the ECN mark Congestion Experienced, one time for each packet.

    The time is the middle of the bin in which the kernel counted it.
    """
    table = _of_flow(trial.collected(ACCOUNTS, ["time_ns", "flow", "side", "ce_packets"]), flow)
    table = table.filter(pc.equal(table.column("side"), "arrived"))
    times: Seconds = np.repeat(_seconds(table) + trial.job["bin_ns"] / 2e9, table.column("ce_packets").to_numpy())
    return times


def drops_at(trial: TrialResult, node: str, interface: str) -> Mapping[str, Seconds]:
    """Return the times at which packets of any flow were dropped at an interface, by cause.

    The result is empty if drops were not recorded.
    """
    if not recorded(trial, "drops"):
        return {}
    table = trial.collected("drops", ["time_ns", "node", "interface", "cause"])
    at_interface = pc.and_(pc.equal(table.column("node"), node), pc.equal(table.column("interface"), interface))
    return _times_by(table.filter(at_interface), "cause")


@lru_cache(maxsize=512)
def inside(trial: TrialResult, flow: str) -> Inside:
    """Return the internal state of the flow's algorithm from the tcp_probe rows of its sender.

    It is empty for algorithms other than BBR and CUBIC, and if tcp_probe was not recorded.
    """
    algorithm = next((item["congestion_control"] for item in trial.record["flows"] if item["name"] == flow), None)
    if not recorded(trial, TCP_PROBE) or algorithm not in ("bbr", "cubic"):
        return Inside()
    own = {"bbr": ["ca_mode", "ca_bandwidth"], "cubic": ["ca_window_max"]}[algorithm]
    table = _of_flow(trial.collected(TCP_PROBE, ["time_ns", "flow", "end", "is_transmit", "ca_name", *own]), flow)
    is_used = pc.is_in(table.column("is_transmit"), pa.array(["receive", "timeout"]))
    at_sender = pc.and_(pc.equal(table.column("end"), "source"), is_used)
    table = table.filter(pc.and_(at_sender, pc.equal(table.column("ca_name"), algorithm)))
    seconds, is_timeout = _seconds(table), pc.equal(table.column("is_transmit"), "timeout").to_numpy()
    if algorithm == "cubic":
        window_max = table.column("ca_window_max").to_numpy().astype(np.float64)
        return Inside(window_max=_nonzero(seconds, before_timeouts(window_max, is_timeout)))
    mode = table.column("ca_mode").combine_chunks()
    modes = spans(seconds, mode.dictionary.to_pylist(), mode.indices.to_numpy()) if len(seconds) else []
    bandwidth = table.column("ca_bandwidth").to_numpy() * 8.0
    return Inside(modes=tuple(modes), bandwidth=_nonzero(seconds, bandwidth))


def queue_place(trial: TrialResult, hop: Hop) -> tuple[str, str] | None:
    """Return the node and interface that have the queue in front of a hop; None if the record does not contain it."""
    for port in trial.record["interfaces"]:
        if (port["link"], port["node"], port["role"]) == (hop.link, hop.sender, "egress"):
            return port["node"], port["interface"]
    return None


def bottleneck_places(trial: TrialResult, flow: Flow) -> list[tuple[str, str]]:
    """Return the nodes and interfaces with the queues in front of the links that are the flow's bottleneck.

    The one that is the bottleneck for the longest time comes first.  Empty if no link on the path has a rate limit.
    """
    found = flow_path(trial.job, flow).bottlenecks(flow["start_ns"], flow["start_ns"] + flow["duration_ns"])
    places = [queue_place(trial, hop) for hop, _held in found]
    return [place for place in places if place is not None]


@lru_cache(maxsize=128)
def bottleneck_queues(trial: TrialResult, flow: str) -> tuple[QueueOccupancy, ...]:
    """Return the queue in front of each link that is the bottleneck of the flow's data at some time.

    The one that is the bottleneck for the longest time comes first.  The result is empty if no link has a rate limit,
    or if queues were not recorded.
    """
    asked: Flow | None = next((item for item in trial.job["flows"] if item["name"] == flow), None)
    if not recorded(trial, "queue") or asked is None:
        return ()
    path, end_ns = flow_path(trial.job, asked), asked["start_ns"] + asked["duration_ns"]
    found = [_occupancy(trial, path, hop) for hop, _held in path.bottlenecks(asked["start_ns"], end_ns)]
    return tuple(queue for queue in found if queue is not None)


def _occupancy(trial: TrialResult, path: FlowPath, hop: Hop) -> QueueOccupancy | None:
    place = queue_place(trial, hop)
    link, rates = leaves(hop.direction, path.end_ns), rate_over_time(hop.direction, path.end_ns)
    if place is None or link is None or rates is None:
        return None
    node, interface = place
    table = trial.collected("queue", ["time_ns", "node", "interface", "backlog_packets", "backlog_bytes"])
    at_interface = pc.and_(pc.equal(table.column("node"), node), pc.equal(table.column("interface"), interface))
    table = table.filter(at_interface)
    time_ns = table.column("time_ns").to_numpy().astype(np.float64)
    backlog = table.column("backlog_bytes").to_numpy().astype(np.float64)
    full = trial.job["mtu"] + ETHERNET_HEADER_BYTES
    is_constant = len(rates.without_repeats().changes) == 1 and hop.direction["capacity"] is None
    # Queues are recorded until the last connection is closed.
    end_ns = max([path.end_ns, *(time_ns[-1:].astype(np.int64) + 1).tolist()])
    periods = path.bottleneck.spans(0, end_ns)
    return QueueOccupancy(
        node=node,
        interface=interface,
        seconds=time_ns / 1e9,
        packets=table.column("backlog_packets").to_numpy().astype(np.float64),
        delay_ms=np.where(backlog > 0, link.when(link.until(time_ns) + backlog) - time_ns, 0.0) / 1e6,
        full_packet_ms=full * 8e3 / rates.at(0) if is_constant else None,
        limit=_limit(hop, full),
        is_bottleneck=tuple((since / 1e9, until / 1e9) for since, until, then in periods if then == hop),
    )


def _limit(hop: Hop, packet_bytes: int) -> Curve | None:
    limits = queue_over_time(hop.direction).map(lambda queue: queue_limit_bytes(queue, packet_bytes)).changes
    known = [(at_ns / 1e9, limit / packet_bytes) for at_ns, limit in limits if limit is not None]
    return (np.array([at for at, _ in known]), np.array([limit for _, limit in known])) if known else None


def stitched(queues: Sequence[QueueOccupancy]) -> tuple[Seconds, NDArray[np.float64]]:
    """Return the number of packets in the queue of the link that is the bottleneck at each time.

    Each value holds until the next; before the first sample, a queue is taken to be empty.
    """
    periods = sorted((period, number) for number, queue in enumerate(queues) for period in queue.is_bottleneck)
    times, packets = [np.zeros(0)], [np.zeros(0)]
    for (since, until), number in periods:
        queue = queues[number]
        inside = (queue.seconds > since) & (queue.seconds < until)
        times += [np.array([since]), queue.seconds[inside]]
        packets += [held_at(queue.seconds, queue.packets, np.array([since])), queue.packets[inside]]
    return np.concatenate(times), np.concatenate(packets)


def merged(*found: Mapping[str, Seconds]) -> dict[str, Seconds]:
    """Merge mappings from names to times: the result has all times of each name, in order."""
    names = dict.fromkeys(name for times in found for name in times)
    return {name: np.sort(np.concatenate([times[name] for times in found if name in times])) for name in names}


def _of_flow(table: pa.Table, flow: str) -> pa.Table:
    return table.filter(pc.equal(table.column("flow"), flow))


def _seconds(table: pa.Table) -> Seconds:
    seconds: Seconds = table.column("time_ns").to_numpy() / 1e9
    return seconds


def _times_by(table: pa.Table, column: str) -> dict[str, Seconds]:
    if not table.num_rows:
        return {}
    seconds, values = _seconds(table), table.column(column).combine_chunks()
    codes = values.indices.to_numpy()
    found = {name: seconds[codes == code] for code, name in enumerate(values.dictionary.to_pylist())}
    return {name: times for name, times in found.items() if len(times)}


def _nonzero(seconds: Seconds, values: NDArray[np.float64]) -> Curve | None:
    known = values > 0
    return (seconds[known], values[known]) if known.any() else None
