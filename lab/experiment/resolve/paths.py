# SPDX-License-Identifier: Apache-2.0
"""Find the paths of packets through networks that have the same nodes and links, as those of an experiment's cells do.

:func:`lab.job.network.route` decides which path packets take.  It looks at every link, and a plan has thousands of
networks that differ in rates, delays and queues only.  Therefore what it has found is kept by the names of the nodes
and links, on which alone it depends.
"""

from __future__ import annotations

from functools import lru_cache

from lab.job import network as networks
from lab.job.network import DirectionName, Hop, NoRouteError
from lab.job.protocol import Direction, Link, Network, Node

__all__ = ["route"]

_Shape = tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str, str], ...]]
"""The (name, role) of each node, and the (name, a, b) of each link."""
_NOTHING = Direction(rate_bps=None, queue=None, netem=None, changes=[], capacity=None, lost_packets=[])


def route(network: Network, source: str, destination: str) -> tuple[Hop, ...]:
    """Return the path of a packet from *source* to *destination*, exactly as :func:`lab.job.network.route` does.

    Raises:
        NoRouteError: There is no path.
    """
    nodes = tuple([(node["name"], node["role"]) for node in network["nodes"]])
    links = network["links"]
    taken = _taken((nodes, tuple([(link["name"], link["a"], link["b"]) for link in links])), source, destination)
    if taken is None:
        raise NoRouteError(f"there is no path from {source} to {destination}")
    return tuple([_hop(links[place], way) for place, way in taken])


def _hop(link: Link, way: DirectionName) -> Hop:
    sender, receiver = (link["a"], link["b"]) if way == "ab" else (link["b"], link["a"])
    return Hop(link["name"], sender, receiver, way, link[way])


@lru_cache(maxsize=4096)
def _taken(shape: _Shape, source: str, destination: str) -> tuple[tuple[int, DirectionName], ...] | None:
    """Return the place of each link on the path among the links, and the direction; None if there is no path."""
    nodes = [Node(name=name, role=role) for name, role in shape[0]]  # type: ignore[typeddict-item]
    # The places are the names here, because nothing forbids two links of a stored job to have the same name.
    links = [Link(name=str(place), a=a, b=b, ab=_NOTHING, ba=_NOTHING) for place, (_name, a, b) in enumerate(shape[1])]
    try:
        hops = networks.route(Network(nodes=nodes, links=links), source, destination)
    except NoRouteError:
        return None
    return tuple((int(hop.link), hop.direction_name) for hop in hops)
