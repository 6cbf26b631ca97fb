# SPDX-License-Identifier: Apache-2.0
"""What a job declares about the way a flow takes: rate, delay, loss, queue."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

from lab.protocol import ETHERNET_HEADER_BYTES, Direction, Flow, Job

TCP_TIMESTAMP_BYTES = 12
"""The timestamp option as Linux sends it on every segment: 10 bytes and two of padding (RFC 7323, appendix A)."""

IP_HEADER_BYTES = {"ipv4": 20, "ipv6": 40}
TCP_HEADER_BYTES = 20


@dataclass(frozen=True)
class Hop:
    """One direction of a link, as a packet meets it."""

    link: str
    sender: str
    receiver: str
    way: Literal["ab", "ba"]
    direction: Direction


@dataclass(frozen=True)
class FlowPath:
    """The way of a flow's data (*forward*) and of its acknowledgements (*backward*)."""

    forward: tuple[Hop, ...]
    backward: tuple[Hop, ...]

    @property
    def bottleneck(self) -> Hop | None:
        """The slowest limited hop of the data's way, the first of several; None when nothing is limited."""
        limited = [hop for hop in self.forward if hop.direction["rate_bps"] is not None]
        return min(limited, key=lambda hop: hop.direction["rate_bps"] or 0, default=None)

    @property
    def rate_bps(self) -> int | None:
        """The bottleneck's rate."""
        return self.bottleneck.direction["rate_bps"] if self.bottleneck else None

    @property
    def rtt_ns(self) -> int:
        """The sum of the declared delays, both ways."""
        return sum(hop.direction["netem"]["delay_ns"] for hop in self.forward + self.backward if hop.direction["netem"])

    @property
    def loss(self) -> float:
        """The probability that a data packet is lost at random on its way."""
        return _loss(self.forward)

    @property
    def round_trip_loss(self) -> float:
        """The probability that a packet or its answer is lost at random."""
        return _loss(self.forward + self.backward)

    def queue_bytes(self, mtu: int) -> int | None:
        """The bottleneck queue's limit; one given in packets counts *mtu*-sized ones.  None: unlimited or unknown."""
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
        """The bandwidth-delay product of the declared rate and delays."""
        return None if self.rate_bps is None else self.rate_bps * self.rtt_ns // 8_000_000_000


def flow_path(job: Job, flow: Flow) -> FlowPath:
    """Return the path of *flow* with the fewest hops; among equals, the one over the links declared first.

    Raises:
        ValueError: There is no path.
    """
    return FlowPath(
        forward=_route(job, flow["source"], flow["destination"]),
        backward=_route(job, flow["destination"], flow["source"]),
    )


def mss_bytes(job: Job) -> int:
    """Return the payload of a full TCP segment with timestamps: 1448 bytes for IPv4 at an MTU of 1500."""
    return job["mtu"] - IP_HEADER_BYTES[job["ip"]] - TCP_HEADER_BYTES - TCP_TIMESTAMP_BYTES


def goodput_ceiling(job: Job) -> float:
    """Return the largest share of a link's rate that can be payload: 1448/1514 at an MTU of 1500 over IPv4.

    ``tc`` counts the Ethernet header but neither FCS, preamble nor inter-frame gap.
    """
    return mss_bytes(job) / (job["mtu"] + ETHERNET_HEADER_BYTES)


def _route(job: Job, source: str, destination: str) -> tuple[Hop, ...]:
    neighbours: dict[str, list[Hop]] = {node["name"]: [] for node in job["nodes"]}
    for link in job["links"]:
        neighbours[link["a"]].append(Hop(link["name"], link["a"], link["b"], "ab", link["ab"]))
        neighbours[link["b"]].append(Hop(link["name"], link["b"], link["a"], "ba", link["ba"]))
    routes: dict[str, tuple[Hop, ...]] = {source: ()}
    queue = deque([source])
    while queue and destination not in routes:
        node = queue.popleft()
        for hop in neighbours.get(node, []):
            if hop.receiver not in routes:
                routes[hop.receiver] = (*routes[node], hop)
                queue.append(hop.receiver)
    if destination not in routes:
        raise ValueError(f"there is no path from {source} to {destination}")
    return routes[destination]


def _loss(hops: tuple[Hop, ...]) -> float:
    passed = 1.0
    for hop in hops:
        if hop.direction["netem"]:
            passed *= 1.0 - hop.direction["netem"]["loss"]
    return 1.0 - passed
