# SPDX-License-Identifier: Apache-2.0
"""Expand a declared topology into its named nodes and links.  This module does no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch

from lab.experiment.resolve.remember import remembering_last
from lab.experiment.schema.fields import Path
from lab.experiment.schema.links import Link
from lab.experiment.schema.topologies import (
    Access,
    Custom,
    Dumbbell,
    Linear,
    ParkingLot,
    SingleLink,
    Star,
    Topology,
    Tree,
)
from lab.job import protocol

__all__ = ["Edge", "Graph", "graph_of"]


@dataclass(frozen=True)
class Edge:
    """A link between the nodes *a* and *b*."""

    name: str
    a: str
    b: str
    link: Link
    """The declaration of the link; its forward direction is from *a* to *b*."""
    place: Path
    """The path of the field that declares the link."""


@dataclass(frozen=True)
class Graph:
    """The nodes and links of a topology.  Their order is part of a trial's job and therefore of its digest."""

    nodes: tuple[protocol.Node, ...]
    edges: tuple[Edge, ...]

    @property
    def hosts(self) -> list[str]:
        return [node["name"] for node in self.nodes if node["role"] == "host"]


@remembering_last
def graph_of(topology: Topology) -> Graph:
    """Return the nodes and links of *topology*."""
    return _expanded(topology)


@singledispatch
def _expanded(topology: Topology) -> Graph:
    """Expand *topology*; one implementation is registered for each kind of topology."""
    raise TypeError(f"not a topology: {topology!r}")


@_expanded.register
def _dumbbell(topology: Dumbbell) -> Graph:
    pairs = range(1, topology.pairs + 1)
    left = [_access(topology.access, f"s{n}", "r1", n) for n in pairs]
    bottleneck = Edge("bottleneck", "r1", "r2", topology.bottleneck, ("topology", "bottleneck"))
    # The links on both sides are declared from left to right, so that data travel in the forward direction of each.
    right = [_access(topology.access, "r2", f"d{n}", n) for n in pairs]
    hosts = [f"{side}{n}" for side in "sd" for n in pairs]
    return Graph((*_nodes("host", hosts), *_nodes("router", ["r1", "r2"])), (*left, bottleneck, *right))


@_expanded.register
def _parking_lot(topology: ParkingLot) -> Graph:
    hops = range(1, topology.hops + 1)
    last = topology.hops + 1
    sources = [("s0", 1), *((f"s{n}", n) for n in hops)]
    sinks = [("d0", last), *((f"d{n}", n + 1) for n in hops)]
    edges = [
        *(_access(topology.access, host, f"r{n}", int(host[1:]) + 1) for host, n in sources),
        *(Edge(f"bottleneck{n}", f"r{n}", f"r{n + 1}", topology.bottleneck, ("topology", "bottleneck")) for n in hops),
        *(_access(topology.access, f"r{n}", host, int(host[1:]) + 1) for host, n in sinks),
    ]
    hosts = [host for host, _n in (*sources, *sinks)]
    return Graph((*_nodes("host", hosts), *_nodes("router", [f"r{n}" for n in range(1, last + 1)])), tuple(edges))


@_expanded.register
def _star(topology: Star) -> Graph:
    hosts = [f"h{n}" for n in range(1, topology.hosts + 1)]
    middle = _inner(topology.centre, 1)
    edges = [Edge(f"link-{host}", host, middle, topology.link, ("topology", "link")) for host in hosts]
    return Graph((*_nodes("host", hosts), *_nodes(topology.centre, [middle])), tuple(edges))


@_expanded.register
def _linear(topology: Linear) -> Graph:
    numbers = range(1, topology.hosts + 1)
    inner = [_inner(topology.centre, n) for n in numbers]
    hosts = [f"h{n}" for n in numbers]
    edges = [
        *(
            Edge(f"access-{host}", host, node, topology.access, ("topology", "access"))
            for host, node in zip(hosts, inner, strict=True)
        ),
        *(
            Edge(f"link{n}", inner[n - 1], inner[n], topology.link, ("topology", "link"))
            for n in range(1, topology.hosts)
        ),
    ]
    return Graph((*_nodes("host", hosts), *_nodes(topology.centre, inner)), tuple(edges))


@_expanded.register
def _tree(topology: Tree) -> Graph:
    inner, hosts, edges = [_inner(topology.centre, 1)], list[str](), list[Edge]()
    level = list(inner)
    for depth in range(1, topology.depth + 1):
        below = []
        for parent in level:
            for _child in range(topology.fanout):
                if depth == topology.depth:
                    hosts.append(f"h{len(hosts) + 1}")
                    below.append(hosts[-1])
                else:
                    inner.append(_inner(topology.centre, len(inner) + 1))
                    below.append(inner[-1])
                edges.append(Edge(f"link-{below[-1]}", below[-1], parent, topology.link, ("topology", "link")))
        level = below
    return Graph((*_nodes("host", hosts), *_nodes(topology.centre, inner)), tuple(edges))


@_expanded.register
def _single_link(topology: SingleLink) -> Graph:
    edge = Edge("link", "s1", "d1", topology.link, ("topology", "link"))
    return Graph(_nodes("host", ["s1", "d1"]), (edge,))


@_expanded.register
def _custom(topology: Custom) -> Graph:
    nodes = tuple(protocol.Node(name=name, role=role) for name, role in topology.nodes.items())
    edges = tuple(
        Edge(name, link.source, link.destination, link, ("topology", "links", name))
        for name, link in topology.links.items()
    )
    return Graph(nodes, edges)


_PLAIN = Link()


def _access(access: Access, a: str, b: str, number: int) -> Edge:
    """Return the access link of the pair *number*, counted from 1.

    A rate or delay that is a single value applies to all pairs.
    """
    host = a if b.startswith("r") else b
    rate = access.rate[number - 1] if isinstance(access.rate, list) else access.rate
    delay = access.delay[number - 1] if isinstance(access.delay, list) else access.delay
    link = _PLAIN.model_copy(update={"rate": rate, "delay": delay, "queue": access.queue})
    return Edge(f"access-{host}", a, b, link, ("topology", "access"))


def _inner(role: str, number: int) -> str:
    return f"{'r' if role == 'router' else 'w'}{number}"


def _nodes(role: str, names: list[str]) -> tuple[protocol.Node, ...]:
    return tuple(protocol.Node(name=name, role=role) for name in names)  # type: ignore[typeddict-item]
