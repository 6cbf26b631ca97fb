# SPDX-License-Identifier: Apache-2.0
"""The topologies that a file may declare.

To add one, write a model with a ``kind`` of its own, add it to :data:`Topology`, and list its nodes and links in
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
    """The link that is shared."""

    rate: RateBps | None = Field(
        default=None,
        description="Rate of the link, Ethernet headers included, in each direction. Default: the mean of 'capacity'.",
    )
    delay: DurationNs = Field(description="One-way propagation delay, in each direction.")


class Access(Model):
    """The link between each host and its router."""

    rate: RateBps | list[RateBps] | None = Field(
        default=None, description="Rate of each access link; a list has one for each pair. Default: not limited."
    )
    delay: DurationNs | list[DurationNs] = Field(
        default=0,
        description="One-way propagation delay of each access link, in each direction; a list has one for each pair.",
        json_schema_extra=NO_TIME,
    )
    queue: Queue | None = Field(
        default=None, description="The queue in front of each access link; only with a rate. Default: bfifo of 1bdp."
    )


class Dumbbell(Model):
    """Hosts s1…sN – router r1 – bottleneck – router r2 – hosts d1…dN."""

    kind: Literal["dumbbell"] = Field(description="The shape: senders, a router, the bottleneck, a router, receivers.")
    pairs: int = Field(default=1, ge=1, le=100, description="N: hosts s1…sN on the left and d1…dN on the right.")
    access: Access = Field(default=Access(), description="The links between the hosts and their router.")
    bottleneck: Bottleneck = Field(description="The link between the routers.")


class ParkingLot(Model):
    """Routers r1…r(K+1) in a row, K bottlenecks between them; s0 and d0 at the ends, sK and dK around the K-th."""

    kind: Literal["parking-lot"] = Field(description="The shape: several bottlenecks in a row.")
    hops: int = Field(ge=1, le=50, description="K: bottlenecks bottleneck1…bottleneckK.")
    access: Access = Field(default=Access(), description="The links between the hosts and their routers.")
    bottleneck: Bottleneck = Field(description="Each link between two routers.")


class Star(Model):
    """Hosts h1…hN around one node."""

    kind: Literal["star"] = Field(description="The shape: one router or switch in the middle.")
    hosts: int = Field(ge=2, le=200, description="N: hosts h1…hN.")
    centre: Centre = Field(default="router", description="What is in the middle: router r1 or switch w1.")
    link: Link = Field(default=Link(), description="Each host's link; forward is from the host.")


class Linear(Model):
    """Routers or switches in a row, a host at each."""

    kind: Literal["linear"] = Field(description="The shape: a row, with a host at each of its nodes.")
    hosts: int = Field(ge=2, le=100, description="N: hosts h1…hN, at r1…rN (w1…wN if they are switches).")
    centre: Centre = Field(default="router", description="What is in the row: routers or switches.")
    access: Link = Field(default=Link(), description="Each host's link; forward is from the host.")
    link: Link = Field(default=Link(), description="Each link of the row; forward is from the first to the last.")


class Tree(Model):
    """A tree of routers or switches with hosts at its leaves."""

    kind: Literal["tree"] = Field(description="The shape: a tree with hosts at its leaves.")
    depth: int = Field(ge=1, le=6, description="Levels of links from the root to the hosts.")
    fanout: int = Field(ge=2, le=50, description="What hangs below each node: fanout^depth hosts h1… in all.")
    centre: Centre = Field(default="switch", description="What the inner nodes are: r1… or w1…, r1 or w1 the root.")
    link: Link = Field(default=Link(), description="Each link; forward is towards the root.")


class SingleLink(Model):
    """Host s1 – link – host d1."""

    kind: Literal["single-link"] = Field(description="The shape: two hosts and a link.")
    link: Link = Field(description="The link, forward from s1 to d1.")


class CustomLink(Link):
    """A link between two nodes by name."""

    source: NodeName = Field(alias="from", description="One end; forward is from here.", examples=["s1"])
    destination: NodeName = Field(alias="to", description="The other end.", examples=["r1"])


class Custom(Model):
    """Any nodes, and any links between them."""

    kind: Literal["custom"] = Field(description="The shape: as listed.")
    nodes: dict[NodeName, Literal["host", "router", "switch"]] = Field(
        min_length=2, max_length=400, description="Name → what it is.", examples=[{"s1": "host", "r1": "router"}]
    )
    links: dict[NodeName, CustomLink] = Field(min_length=1, max_length=1000, description="Name → the link.")


Topology = Annotated[
    Dumbbell | ParkingLot | Star | Linear | Tree | SingleLink | Custom,
    Field(discriminator="kind"),
]
