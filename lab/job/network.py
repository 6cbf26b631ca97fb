# SPDX-License-Identifier: Apache-2.0
"""Compute properties of a job's network: the paths of packets, and the losses of links.  No I/O.

This module is copied into the guest.  It therefore uses only the standard library and imports nothing from ``lab`` but
the protocol.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from lab.job.protocol import Direction, Link, Loss, Netem, Network, Node

DirectionName = Literal["ab", "ba"]
"""The direction of a link, from its node ``a`` to its node ``b`` or from ``b`` to ``a``."""


@dataclass(frozen=True)
class Hop:
    """One direction of a link on the path of a packet."""

    link: str
    """The name of the link."""
    sender: str
    receiver: str
    direction_name: DirectionName
    direction: Direction
    """The rate, queue and impairments in this direction."""


class NoRouteError(ValueError):
    """Two nodes are not connected."""


def hops_from(node: str, links: list[Link]) -> list[Hop]:
    """Return the hops by which a packet can leave *node*, one for each of its links, in the order of the links."""
    found = []
    for link in links:
        if link["a"] == node:
            found.append(Hop(link["name"], node, link["b"], "ab", link["ab"]))
        if link["b"] == node:
            found.append(Hop(link["name"], node, link["a"], "ba", link["ba"]))
    return found


def next_hops(nodes: list[Node], links: list[Link], destination: str) -> dict[str, Hop]:
    """Return, for each node, the first hop of its shortest path to *destination*.

    A shortest path has the fewest hops; among paths of equal length, the link that was declared first is taken.  Hosts
    do not forward packets.  Each node chooses its next hop by itself, as in a real network; therefore the return path
    may differ from the forward path if there are several paths of equal length.
    """
    outgoing = {node["name"]: hops_from(node["name"], links) for node in nodes}
    if destination not in outgoing:
        return {}
    forwards = {node["name"] for node in nodes if node["role"] != "host"} | {destination}
    distance = {destination: 0}
    queue = deque([destination])
    while queue:
        node = queue.popleft()
        if node not in forwards:
            continue
        for hop in outgoing[node]:
            if hop.receiver not in distance:
                distance[hop.receiver] = distance[node] + 1
                queue.append(hop.receiver)
    found = {}
    for name, hops in outgoing.items():
        if name == destination or name not in distance:
            continue
        nearer = (hop for hop in hops if hop.receiver in forwards and distance.get(hop.receiver) == distance[name] - 1)
        found[name] = next(nearer)
    return found


def route(network: Network, source: str, destination: str) -> tuple[Hop, ...]:
    """Return the path of a packet from *source* to *destination*, hop by hop.

    Raises:
        NoRouteError: There is no path.
    """
    towards = next_hops(network["nodes"], network["links"], destination)
    taken: list[Hop] = []
    node = source
    while node != destination:
        if node not in towards:
            raise NoRouteError(f"there is no path from {source} to {destination}")
        taken.append(towards[node])
        node = taken[-1].receiver
    return tuple(taken)


def at_end(direction: Direction) -> Direction:
    """Return *direction* as it is after all its scheduled changes."""
    rate, queue, netem = direction["rate_bps"], direction["queue"], direction["netem"]
    for change in direction["changes"]:
        if change["rate_bps"] is not None:
            rate, queue = change["rate_bps"], change["queue"]
        netem = change["netem"] or netem
    return Direction(rate_bps=rate, queue=queue, netem=netem, changes=[], capacity=None, lost_packets=[])


def mean_loss(netem: Netem | None) -> float:
    """Return the share of packets that netem loses in the long run.

    For ``gemodel`` (p, r, 1-h, 1-k) it is the loss in the stationary distribution of the two states.  For ``state``
    (p13, p31, p32, p23, p14) it is the stationary share of states 3 and 4, in which loss_4state()
    (net/sched/sch_netem.c) drops packets.
    """
    if netem is None or netem["loss"] is None:
        return 0.0
    return _MEANS[netem["loss"]["model"]](netem["loss"]["values"])


def mean_burst(loss: Loss) -> float:
    """Return the mean number of consecutive lost packets; for ``gemodel``, the mean length of the bad state."""
    if loss["model"] == "gemodel":
        return 1 / loss["values"][1]
    if loss["model"] == "state":
        return state_burst(loss["values"])
    return 1 / (1 - loss["values"][0]) if loss["values"][0] < 1 else float("inf")


def _random_mean(values: list[float]) -> float:
    return values[0]


def _gilbert_elliott_mean(values: list[float]) -> float:
    p, r, bad_loss, good_loss = values
    if p + r == 0:
        return good_loss
    return (p * bad_loss + r * good_loss) / (p + r)


_GOOD, _GAP_GOOD, _BURST, _ISOLATED = range(4)


def state_chain(values: list[float]) -> list[list[float]]:
    """Return the matrix of transition probabilities of netem's four-state model.

    The states are: good, received within a burst, lost within a burst, isolated loss.  The transitions are those of
    ``loss_4state()`` in net/sched/sch_netem.c.
    """
    p13, p31, p32, p23, p14 = values
    # From state 1 the kernel checks p14 first and then p13; from state 4 (isolated loss) it always returns to state 1.
    return [
        [1 - p13 - p14, 0.0, p13, p14],
        [0.0, 1 - p23, p23, 0.0],
        [p31, p32, 1 - p31 - p32, 0.0],
        [1.0, 0.0, 0.0, 0.0],
    ]


def state_stationary(values: list[float]) -> list[float]:
    """Return the stationary distribution of netem's four-state model, if it starts in the first state."""
    chain = state_chain(values)
    share = [1.0, 0.0, 0.0, 0.0]
    # Each step is averaged with the previous one; otherwise a periodic chain would alternate for ever.
    for _ in range(200_000):
        moved = [math.fsum(share[source] * chain[source][target] for source in range(4)) for target in range(4)]
        moved = [(old + new) / 2 for old, new in zip(share, moved, strict=True)]
        if max(abs(old - new) for old, new in zip(share, moved, strict=True)) < 1e-13:
            return moved
        share = moved
    return share


def state_burst(values: list[float]) -> float:
    """Return the mean number of consecutive packets that are lost in netem's four-state model."""
    chain, share = state_chain(values), state_stationary(values)
    lost = share[_BURST] + share[_ISOLATED]
    begins = math.fsum(
        share[source] * chain[source][target] for source in (_GOOD, _GAP_GOOD) for target in (_BURST, _ISOLATED)
    )
    return lost / begins if begins else 0.0


def _state_mean(values: list[float]) -> float:
    share = state_stationary(values)
    return share[_BURST] + share[_ISOLATED]


_MEANS = {"random": _random_mean, "gemodel": _gilbert_elliott_mean, "state": _state_mean}


def switches(nodes: list[Node]) -> set[str]:
    """Return the names of the switches."""
    return {node["name"] for node in nodes if node["role"] == "switch"}


def segments(nodes: list[Node], links: list[Link]) -> Mapping[str, int]:
    """Return the number of each link's broadcast domain; links that meet at a switch are in the same domain.

    The domains are numbered in the order of their first links.
    """
    bridging = switches(nodes)
    found: dict[str, int] = {}
    number = 0
    for first in links:
        if first["name"] in found:
            continue
        waiting = [first]
        while waiting:
            link = waiting.pop()
            found[link["name"]] = number
            for end in {link["a"], link["b"]} & bridging:
                for other in links:
                    if end in (other["a"], other["b"]) and other["name"] not in found:
                        found[other["name"]] = number
                        waiting.append(other)
        number += 1
    return found
