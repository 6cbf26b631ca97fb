# SPDX-License-Identifier: Apache-2.0
"""The path of a flow as its job declares it: rate, delay, loss and queue."""

from __future__ import annotations

from dataclasses import dataclass

from lab.job.network import Hop, mean_loss, mean_rate_bps, route
from lab.job.protocol import ETHERNET_HEADER_BYTES, Flow, Job

TCP_TIMESTAMP_BYTES = 12
"""Bytes of the TCP timestamp option that Linux sends in each segment: 10 and 2 of padding (RFC 7323, appendix A)."""

IP_HEADER_BYTES = {"ipv4": 20, "ipv6": 40}
TCP_HEADER_BYTES = 20
UDP_HEADER_BYTES = 8


@dataclass(frozen=True)
class FlowPath:
    """The path of a flow's data (*forward*) and of its acknowledgements (*backward*)."""

    forward: tuple[Hop, ...]
    backward: tuple[Hop, ...]

    @property
    def bottleneck(self) -> Hop | None:
        """The hop with the lowest rate on the path of the data, the first of several; None if no hop has a rate."""
        limited = [hop for hop in self.forward if hop.direction["rate_bps"] is not None]
        return min(limited, key=lambda hop: hop.direction["rate_bps"] or 0, default=None)

    @property
    def rate_bps(self) -> int | None:
        """The bottleneck's rate at the start of traffic, in bit/s; None if no hop has a rate."""
        return self.bottleneck.direction["rate_bps"] if self.bottleneck else None

    def mean_rate_bps(self, start_ns: int, end_ns: int) -> int | None:
        """Return the smallest of the hops' mean rates between two times, in bit/s; None if no hop has a rate."""
        means = [mean_rate_bps(hop.direction, start_ns, end_ns) for hop in self.forward]
        limited = [mean for mean in means if mean is not None]
        return round(min(limited)) if limited else None

    @property
    def rtt_ns(self) -> int:
        """The sum of the declared delays of both directions, in nanoseconds."""
        return sum(hop.direction["netem"]["delay_ns"] for hop in self.forward + self.backward if hop.direction["netem"])

    @property
    def transit_ns(self) -> int:
        """The sum of the declared delays of the path of the data, in nanoseconds."""
        return sum(hop.direction["netem"]["delay_ns"] for hop in self.forward if hop.direction["netem"])

    @property
    def loss(self) -> float:
        """The long-term share of data packets that are lost at random on the forward path."""
        return _loss(self.forward)

    @property
    def round_trip_loss(self) -> float:
        """The probability that a packet or its answer is lost at random."""
        return _loss(self.forward + self.backward)

    def queue_bytes(self, mtu: int) -> int | None:
        """Return the limit of the bottleneck queue in bytes; None if there is no queue, or no known limit.

        A limit in packets is converted with full-sized packets: *mtu* bytes and an Ethernet header.
        """
        queue = self.bottleneck.direction["queue"] if self.bottleneck else None
        if queue is None:
            return None
        if queue["limit_bytes"] is not None:
            return queue["limit_bytes"]
        if queue["limit_packets"] is not None:
            return queue["limit_packets"] * (mtu + ETHERNET_HEADER_BYTES)
        return None

    @property
    def bdp_bytes(self) -> int | None:
        """The bandwidth-delay product of the declared rate and delays, in bytes; None if no hop has a rate."""
        return None if self.rate_bps is None else self.rate_bps * self.rtt_ns // 8_000_000_000


def flow_path(job: Job, flow: Flow) -> FlowPath:
    """Return the path of *flow*, as :func:`lab.job.network.route` finds it.

    Raises:
        NoRouteError: There is no path between the two hosts.
    """
    return FlowPath(
        forward=route(job, flow["source"], flow["destination"]),
        backward=route(job, flow["destination"], flow["source"]),
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
