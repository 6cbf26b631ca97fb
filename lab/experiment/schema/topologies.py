# SPDX-License-Identifier: Apache-2.0
"""The topologies that an experiment file may declare.

To add a topology, write a model with its own ``kind``, add it to :data:`Topology`, and make its nodes and links in
:mod:`lab.experiment.resolve.graph`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lab.experiment.schema.base import Model
from lab.experiment.schema.links import NO_TIME, Link, Queue
from lab.experiment.schema.types import DurationNs, NodeName, RateBps

__all__ = [
    "Access",
    "Bottleneck",
    "Custom",
    "CustomLink",
    "Dumbbell",
    "Linear",
    "ParkingLot",
    "SingleLink",
    "Star",
    "Topology",
    "Tree",
]

Centre = Literal["router", "switch"]


class Bottleneck(Link):
    """The link that the flows share."""

    rate: RateBps | None = Field(
        default=None,
        description="Rate in each direction, which counts packets with their Ethernet headers; it is required unless "
        "'capacity' is given. Default: the mean rate of 'capacity'.",
    )
    delay: DurationNs = Field(description="One-way propagation delay in each direction.")


class Access(Model):
    """The link between each host and its router."""

    rate: RateBps | list[RateBps] | None = Field(
        default=None,
        description="Rate of each access link in each direction; a list gives a value for each pair of hosts. Default: "
        "not limited.",
    )
    delay: DurationNs | list[DurationNs] = Field(
        default=0,
        description="One-way propagation delay of each access link in each direction; a list gives a value for each "
        "pair of hosts.",
        json_schema_extra=NO_TIME,
    )
    queue: Queue | None = Field(
        default=None,
        description="The queue in front of each access link in each direction; it needs a rate. Default: bfifo of "
        "1bdp.",
    )


class Dumbbell(Model):
    """Hosts s1…sN – router r1 – bottleneck – router r2 – hosts d1…dN."""

    kind: Literal["dumbbell"] = Field(
        description="Kind of topology: senders and receivers on both sides of one bottleneck between two routers."
    )
    pairs: int = Field(
        default=1,
        ge=1,
        le=100,
        description="Number N of pairs of hosts: s1…sN on the left and d1…dN on the right.",
    )
    access: Access = Field(default=Access(), description="The links between the hosts and their router.")
    bottleneck: Bottleneck = Field(
        description="The link between the routers; its forward direction is from r1 to r2, from left to right."
    )


class ParkingLot(Model):
    """Routers r1…r(K+1) in a row with K bottlenecks; s0 and d0 are at the ends, sN and dN at both ends of the N-th."""

    kind: Literal["parking-lot"] = Field(description="Kind of topology: several bottlenecks in a row.")
    hops: int = Field(ge=1, le=50, description="Number K of bottlenecks: bottleneck1…bottleneckK.")
    access: Access = Field(default=Access(), description="The links between the hosts and their routers.")
    bottleneck: Bottleneck = Field(
        description="Settings of each link between two routers; its forward direction is from r1 towards the last "
        "router."
    )


class Star(Model):
    """Hosts h1…hN around one router or switch."""

    kind: Literal["star"] = Field(description="Kind of topology: hosts around one router or switch.")
    hosts: int = Field(ge=2, le=200, description="Number N of hosts: h1…hN.")
    centre: Centre = Field(default="router", description="Role of the node in the middle: router (r1) or switch (w1).")
    link: Link = Field(
        default=Link(),
        description="Settings of each host's link; its forward direction is from the host to the node in the middle.",
    )


class Linear(Model):
    """Routers or switches in a row, with a host at each of them."""

    kind: Literal["linear"] = Field(description="Kind of topology: a row of nodes with a host at each of them.")
    hosts: int = Field(
        ge=2, le=100, description="Number N of hosts: h1…hN, at the routers r1…rN or the switches w1…wN."
    )
    centre: Centre = Field(default="router", description="Role of the nodes in the row: router or switch.")
    access: Link = Field(
        default=Link(), description="Settings of each host's link; its forward direction is from the host."
    )
    link: Link = Field(
        default=Link(),
        description="Settings of each link in the row; its forward direction is from the first node towards the last.",
    )


class Tree(Model):
    """A tree of routers or switches with hosts at its leaves."""

    kind: Literal["tree"] = Field(description="Kind of topology: a tree with hosts at its leaves.")
    depth: int = Field(ge=1, le=6, description="Number of links on the path from the root to each host.")
    fanout: int = Field(
        ge=2,
        le=50,
        description="Number of nodes below each inner node; in total there are fanout^depth hosts, h1, h2 ….",
    )
    centre: Centre = Field(
        default="switch",
        description="Role of the inner nodes: router (r1, r2 …) or switch (w1, w2 …); the root is r1 or w1.",
    )
    link: Link = Field(default=Link(), description="Settings of each link; its forward direction is towards the root.")


class SingleLink(Model):
    """Host s1 – link – host d1."""

    kind: Literal["single-link"] = Field(description="Kind of topology: two hosts and one link.")
    link: Link = Field(description="The link; its forward direction is from s1 to d1.")


class CustomLink(Link):
    """A link between two named nodes."""

    source: NodeName = Field(
        alias="from",
        description="Node at one end of the link; the forward direction begins here.",
        examples=["s1"],
    )
    destination: NodeName = Field(alias="to", description="Node at the other end of the link.", examples=["r1"])


class Custom(Model):
    """Nodes and links that the file lists one by one."""

    kind: Literal["custom"] = Field(description="Kind of topology: the listed nodes and links.")
    nodes: dict[NodeName, Literal["host", "router", "switch"]] = Field(
        min_length=2,
        max_length=400,
        description="Name of a node → its role.",
        examples=[{"s1": "host", "r1": "router"}],
    )
    links: dict[NodeName, CustomLink] = Field(
        min_length=1, max_length=1000, description="Name of a link → its settings."
    )


Topology = Annotated[
    Dumbbell | ParkingLot | Star | Linear | Tree | SingleLink | Custom,
    Field(discriminator="kind"),
]
