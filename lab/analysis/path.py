# SPDX-License-Identifier: Apache-2.0
"""The path of a flow as its job declares it: rate, delay, loss and queue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from lab.job.network import Hop, mean_loss, route
from lab.job.over_time import (
    Steps,
    bottleneck_over_time,
    combined,
    delay_over_time,
    mean,
    path_rate_over_time,
    queue_limit_bytes,
    queue_over_time,
)
from lab.job.protocol import ETHERNET_HEADER_BYTES, Flow, Job, Netem

TCP_TIMESTAMP_BYTES = 12
"""Bytes of the TCP timestamp option that Linux sends in each segment: 10 and 2 of padding (RFC 7323, appendix A)."""

IP_HEADER_BYTES = {"ipv4": 20, "ipv6": 40}
TCP_HEADER_BYTES = 20
UDP_HEADER_BYTES = 8


@dataclass(frozen=True)
class FlowPath:
    """The path of a flow's data (*forward*) and of its acknowledgements (*backward*).

    Schedules and capacity files change a path while traffic runs.  Times are in nanoseconds since the start of traffic.
    """

    forward: tuple[Hop, ...]
    backward: tuple[Hop, ...]
    end_ns: int
    """The end of traffic as the job declares it, up to which capacity files are read."""

    @property
    def hops(self) -> tuple[Hop, ...]:
        """The hops of both directions."""
        return self.forward + self.backward

    @cached_property
    def bottleneck(self) -> Steps[Hop | None]:
        """The hop with the lowest rate on the path of the data, the first of several; None if no hop has a rate."""
        return bottleneck_over_time(self.forward, self.end_ns)

    @cached_property
    def rate_bps(self) -> Steps[float] | None:
        """The rate of the bottleneck, in bit/s; None if no hop has a rate."""
        return path_rate_over_time(self.forward, self.end_ns)

    def bottlenecks(self, start_ns: int, end_ns: int) -> list[tuple[Hop, int]]:
        """Return each hop that is the bottleneck at some time, and for how many nanoseconds, the longest time first."""
        held: dict[tuple[str, str], tuple[Hop, int]] = {}
        for since_ns, until_ns, hop in self.bottleneck.spans(start_ns, end_ns):
            if hop is not None:
                place = (hop.link, hop.direction_name)
                held[place] = (hop, held.get(place, (hop, 0))[1] + until_ns - since_ns)
        return sorted(held.values(), key=lambda found: -found[1])

    def main_bottleneck(self, start_ns: int, end_ns: int) -> Hop | None:
        """Return the hop that is the bottleneck for most of the time; None if no hop has a rate."""
        found = self.bottlenecks(start_ns, end_ns)
        return found[0][0] if found else None

    @property
    def calibrated(self) -> Hop | None:
        """The hop whose rate the agent measures before the traffic; None if no hop has a rate.

        It is the one with the lowest rate at the start, the first of several; for a capacity file, its mean counts.
        """
        limited = [hop for hop in self.forward if hop.direction["rate_bps"] is not None]
        return min(limited, key=lambda hop: hop.direction["rate_bps"] or 0, default=None)

    def mean_rate_bps(self, start_ns: int, end_ns: int) -> int | None:
        """Return the mean of the bottleneck's rate between two times, in bit/s; None if no hop has a rate."""
        return None if self.rate_bps is None else round(mean(self.rate_bps, start_ns, end_ns))

    @cached_property
    def rtt_ns(self) -> Steps[int]:
        """The sum of the declared delays of both directions, in nanoseconds."""
        return delay_over_time(self.hops)

    def rtt_with(self, delay: Callable[[Netem | None], int]) -> Steps[int]:
        """Return the sum of the delays of both directions, in nanoseconds; *delay* says which delay of netem counts."""
        return delay_over_time(self.hops, delay)

    @property
    def transit_ns(self) -> int:
        """The sum of the declared delays of the path of the data at the start of traffic, in nanoseconds."""
        return delay_over_time(self.forward).at(0)

    @property
    def loss(self) -> float:
        """The long-term share of data packets that are lost at random on the forward path, at the start of traffic."""
        return _loss(self.forward)

    @property
    def round_trip_loss(self) -> float:
        """The probability that a packet or its answer is lost at random, at the start of traffic."""
        return _loss(self.hops)

    def queue_bytes(self, mtu: int, time_ns: int = 0) -> int | None:
        """Return the limit of the bottleneck queue in bytes; None if there is no queue, or no known limit.

        A limit in packets is converted with full-sized packets: *mtu* bytes and an Ethernet header.
        """
        hop = self.bottleneck.at(time_ns)
        queue = queue_over_time(hop.direction).at(time_ns) if hop else None
        return queue_limit_bytes(queue, mtu + ETHERNET_HEADER_BYTES)

    @cached_property
    def bdp_bytes(self) -> Steps[int] | None:
        """The bandwidth-delay product of the rate and the declared delays, in bytes; None if no hop has a rate."""
        if self.rate_bps is None:
            return None
        return combined([self.rate_bps, self.rtt_ns.map(float)], lambda now: int(now[0] * now[1]) // 8_000_000_000)


def flow_path(job: Job, flow: Flow) -> FlowPath:
    """Return the path of *flow*, as :func:`lab.job.network.route` finds it.

    Raises:
        NoRouteError: There is no path between the two hosts.
    """
    return FlowPath(
        forward=route(job, flow["source"], flow["destination"]),
        backward=route(job, flow["destination"], flow["source"]),
        end_ns=max(job["duration_ns"], flow["start_ns"] + flow["duration_ns"]),
    )


def mss_bytes(job: Job) -> int:
    """Return the payload of a full TCP segment with timestamps, in bytes: 1448 for IPv4 and an MTU of 1500."""
    return job["mtu"] - IP_HEADER_BYTES[job["ip"]] - TCP_HEADER_BYTES - TCP_TIMESTAMP_BYTES


def goodput_ceiling(job: Job) -> float:
    """Return the largest share of a link's rate that can be payload: 1448/1514 for IPv4 and an MTU of 1500.

    ``tc`` counts the Ethernet header, but not the frame check sequence, the preamble or the inter-frame gap.
    """
    return mss_bytes(job) / (job["mtu"] + ETHERNET_HEADER_BYTES)


def _loss(hops: tuple[Hop, ...]) -> float:
    passed = 1.0
    for hop in hops:
        passed *= 1.0 - mean_loss(hop.direction["netem"])
    return 1.0 - passed
