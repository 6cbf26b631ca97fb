# SPDX-License-Identifier: Apache-2.0
"""Check a topology by itself, without flows and traffic.  This module does no I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import lru_cache, singledispatch

from lab.experiment.check.problems import Problem, nearest
from lab.experiment.resolve.graph import Graph, graph_of
from lab.experiment.schema.fields import Path
from lab.experiment.schema.topologies import Access, Custom, Dumbbell, ParkingLot, Topology, Tree
from lab.job import protocol
from lab.job.network import segments, switches
from lab.units import show

__all__ = ["topology_problems"]

MAX_HOSTS = 200
MAX_IN_A_SEGMENT = 254
_MAX_INTERFACE = 15
"""The longest name of an interface: IFNAMSIZ (include/uapi/linux/if.h) is 16, including the terminating NUL."""


def topology_problems(topology: Topology) -> Iterator[Problem]:
    """Yield the problems of *topology* by itself."""
    found = list(_field_problems(topology))
    yield from found
    if not found:
        yield from _graph_problems(_Shape(graph_of(topology), is_custom=isinstance(topology, Custom)))


class _Shape:
    """A graph as far as its own problems depend on it: the nodes, and which links connect them."""

    def __init__(self, graph: Graph, *, is_custom: bool) -> None:
        self.graph = graph
        self.is_custom = is_custom
        nodes = tuple([(node["name"], node["role"]) for node in graph.nodes])
        self._key = (is_custom, nodes, tuple([(edge.name, edge.a, edge.b, edge.place) for edge in graph.edges]))

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Shape) and self._key == other._key


@singledispatch
def _field_problems(_topology: Topology) -> Iterator[Problem]:
    return iter(())


@_field_problems.register
def _dumbbell(topology: Dumbbell) -> Iterator[Problem]:
    return _access(topology.access, topology.pairs, f"pairs is {topology.pairs}")


@_field_problems.register
def _parking_lot(topology: ParkingLot) -> Iterator[Problem]:
    pairs = topology.hops + 1
    return _access(topology.access, pairs, f"there are {pairs} pairs; the first is that of s0 and d0")


@_field_problems.register
def _tree(topology: Tree) -> Iterator[Problem]:
    hosts = topology.fanout**topology.depth
    if hosts > MAX_HOSTS:
        message = f"found {topology.fanout}, which makes {hosts} hosts; expected at most {MAX_HOSTS} hosts"
        yield Problem(("topology", "fanout"), message)


@_field_problems.register
def _custom(topology: Custom) -> Iterator[Problem]:
    for name, link in topology.links.items():
        here: Path = ("topology", "links", name)
        for key, node in (("from", link.source), ("to", link.destination)):
            if node not in topology.nodes:
                close = nearest(node, topology.nodes)
                meant = f"; did you mean '{close}'?" if close else ""
                yield Problem((*here, key), f"found {show(node)}; expected one of topology.nodes{meant}")
        if link.source == link.destination:
            yield Problem((*here, "to"), f"found {show(link.destination)}; expected a node other than 'from'")


def _access(access: Access, pairs: int, why: str) -> Iterator[Problem]:
    for key, value in (("rate", access.rate), ("delay", access.delay)):
        if isinstance(value, list) and len(value) != pairs:
            message = f"found {len(value)} values; expected a single value, or one value for each pair ({why})"
            yield Problem(("topology", "access", key), message)


@lru_cache(maxsize=16)
def _graph_problems(shape: _Shape) -> tuple[Problem, ...]:
    """Return the problems of a graph.  They are kept, because most matrices vary something else."""
    return tuple(_found_problems(shape.graph, custom=shape.is_custom))


def _found_problems(graph: Graph, *, custom: bool) -> Iterator[Problem]:
    nodes = list(graph.nodes)
    ends = [protocol.Link(name=edge.name, a=edge.a, b=edge.b, ab=_PLAIN, ba=_PLAIN) for edge in graph.edges]
    where: Path = ("topology", "nodes") if custom else ("topology",)
    if len(graph.hosts) > MAX_HOSTS:
        yield Problem(where, f"found {len(graph.hosts)} hosts; expected at most {MAX_HOSTS}", "key")
    ports = Counter(end for edge in graph.edges for end in (edge.a, edge.b))
    for node in nodes:
        here = (*where, node["name"]) if custom else where
        last = f"{node['name']}-eth{max(0, ports[node['name']] - 1)}"
        if not ports[node["name"]]:
            yield Problem(here, "found a node without a link; expected every node to be connected", "key")
        elif len(last) > _MAX_INTERFACE:
            message = (
                f"found a node whose last interface would be called {last}; expected at most {_MAX_INTERFACE} "
                "characters"
            )
            yield Problem(here, message, "key")
    yield from _connected(graph, where, custom=custom)
    bridging = switches(nodes)
    members = Counter[int]()
    for link, number in zip(ends, (segments(nodes, ends)[link["name"]] for link in ends), strict=True):
        members[number] += len({link["a"], link["b"]} - bridging)
    if members and max(members.values()) > MAX_IN_A_SEGMENT:
        message = (
            f"found {max(members.values())} hosts and routers connected by switches; "
            f"expected at most {MAX_IN_A_SEGMENT}"
        )
        yield Problem(where, message, "key")
    yield from _loops(graph, bridging)


_PLAIN = protocol.Direction(rate_bps=None, queue=None, netem=None, changes=[], capacity=None, lost_packets=[])


def _connected(graph: Graph, where: Path, *, custom: bool) -> Iterator[Problem]:
    joined = {graph.nodes[0]["name"]}
    waiting = list(joined)
    while waiting:
        node = waiting.pop()
        for edge in graph.edges:
            if node in (edge.a, edge.b):
                other = edge.b if node == edge.a else edge.a
                if other not in joined:
                    joined.add(other)
                    waiting.append(other)
    apart = [node["name"] for node in graph.nodes if node["name"] not in joined]
    with_links = {end for edge in graph.edges for end in (edge.a, edge.b)}
    apart = [name for name in apart if name in with_links]
    if apart:
        shown = ", ".join(apart[:6]) + (", …" if len(apart) > 6 else "")
        here = (*where, apart[0]) if custom else where
        message = (
            f"found nodes that are not connected to {graph.nodes[0]['name']}: {shown}; expected one connected network"
        )
        yield Problem(here, message, "key")


def _loops(graph: Graph, bridging: set[str]) -> Iterator[Problem]:
    """Yield a problem for each loop of switches.

    Frames would circulate in it for ever: Ethernet has no hop limit, and these bridges run no spanning tree protocol.
    """
    group = {name: name for name in bridging}

    def root(name: str) -> str:
        while group[name] != name:
            name = group[name]
        return name

    for edge in graph.edges:
        if edge.a in bridging and edge.b in bridging:
            first, second = root(edge.a), root(edge.b)
            if first == second:
                message = f"found a loop of switches through {edge.a} and {edge.b}; expected no loop, or a router in it"
                yield Problem(edge.place, message, "key")
            group[first] = second
