# SPDX-License-Identifier: Apache-2.0
"""Compute the size of TCP's socket buffers from what the paths of the flows can hold.  This module does no I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lab.experiment.resolve.graph import graph_of
from lab.experiment.resolve.paths import route
from lab.experiment.resolve.sizes import bdp_bytes, frame_bytes
from lab.experiment.resolve.traffic import connections
from lab.experiment.schema.experiment import Experiment
from lab.job import protocol
from lab.job.machines import socket_memory_bytes
from lab.job.network import Hop
from lab.job.over_time import (
    bottleneck_over_time,
    delay_ns,
    netem_over_time,
    queue_limit_bytes,
    queue_over_time,
    rate_over_time,
)

__all__ = ["LEAST_PER_HELD", "Held", "held_by_paths", "socket_buffer_bytes"]

_MIN_SOCKET_BUFFER = 16 * 2**20
_MAX_SOCKET_BUFFER = 2**31 - 1

_BUFFER_PER_HELD = 6
"""The automatic size of a buffer, as a multiple of what a path holds.

Up to three times as much can be outstanding: a sender in slow start learns of the first loss one round trip late, and
BBR's startup gain is 2.89.  The kernel also counts a packet's overhead, so that its buffers hold about half their size
as payload.
"""
LEAST_PER_HELD = 4
"""What the sockets at both ends need to keep a path full: its content, with overhead, once at each end."""


@dataclass(frozen=True)
class Held:
    """What the paths of an experiment's TCP flows can hold: their BDPs and their full queues."""

    most_bytes: int
    """The largest amount that one path holds."""
    sum_bytes: int
    """The sum over all bottlenecks, each of which is counted once, however many flows share it."""


def socket_buffer_bytes(experiment: Experiment, links: Sequence[protocol.Link]) -> int:
    """Return the size limit of TCP's socket buffers: as declared, or large enough not to limit a flow.

    The automatic limit is smaller where the buffers of all flows together could hold more than the guest's sockets may.
    """
    if experiment.socket_buffer != "auto":
        return experiment.socket_buffer
    held = held_by_paths(experiment, links)
    wanted = _BUFFER_PER_HELD * held.most_bytes
    budget = socket_memory_bytes(experiment.engine)
    at_both_ends = 2 * _BUFFER_PER_HELD * held.sum_bytes
    if budget is not None and at_both_ends > budget:
        wanted = wanted * budget // at_both_ends
    return min(max(_MIN_SOCKET_BUFFER, wanted), _MAX_SOCKET_BUFFER)


def held_by_paths(experiment: Experiment, links: Sequence[protocol.Link]) -> Held:
    """Return what the paths of the TCP flows can hold at any time of the schedule.

    Each link that is the bottleneck of a path at some time counts.

    Raises:
        NoRouteError: A flow has no path.
    """
    network = protocol.Network(nodes=list(graph_of(experiment.topology).nodes), links=list(links))
    by_bottleneck: dict[tuple[str, str], int] = {}
    tcp = [one for one in connections(experiment.flows, experiment.duration) if one.flow.protocol == "tcp"]
    for source, destination in dict.fromkeys((one.source, one.destination) for one in tcp):
        forward, backward = route(network, source, destination), route(network, destination, source)
        delays = [netem_over_time(hop.direction).map(delay_ns).changes for hop in (*forward, *backward)]
        rtt_ns = sum(max(delay for _since_ns, delay in changes) for changes in delays)
        for hop, held in _held_by_bottlenecks(forward, rtt_ns, experiment.mtu, experiment.duration):
            key = (hop.link, hop.direction_name)
            by_bottleneck[key] = max(by_bottleneck.get(key, 0), held)
    return Held(most_bytes=max(by_bottleneck.values(), default=0), sum_bytes=sum(by_bottleneck.values()))


def _held_by_bottlenecks(hops: Sequence[Hop], rtt_ns: int, mtu: int, duration_ns: int) -> Iterator[tuple[Hop, int]]:
    """Yield the bottleneck of a path at each time, and the bytes that the path can then hold."""
    bottlenecks = bottleneck_over_time(hops, duration_ns)
    for since_ns, until_ns, hop in bottlenecks.spans(0, duration_ns):
        if hop is None:
            continue
        rates, queues = rate_over_time(hop.direction, duration_ns), queue_over_time(hop.direction)
        assert rates is not None, "a bottleneck has a rate"
        for from_ns, to_ns, queue in queues.spans(since_ns, until_ns):
            rate_bps = int(max(rate for _from_ns, _to_ns, rate in rates.spans(from_ns, to_ns)))
            queued = queue_limit_bytes(queue, frame_bytes(mtu)) or 0
            # TCP sends no more than it has had acknowledged, so even a huge queue cannot fill faster than it empties.
            yield hop, min(bdp_bytes(rate_bps, rtt_ns) + queued, bdp_bytes(rate_bps, duration_ns))
