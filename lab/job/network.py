# SPDX-License-Identifier: Apache-2.0
"""What a job's network is: the ways that packets take over its links, and what becomes of them there.  Pure.

Shipped into the guest: standard library only, no other import from ``lab`` than the protocol.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from lab.job.protocol import Direction, Link, Loss, Netem, Network, Node

Way = Literal["ab", "ba"]


@dataclass(frozen=True)
class Hop:
    """One direction of a link, as a packet meets it."""

    link: str
    sender: str
    receiver: str
    way: Way
    direction: Direction


class NoRouteError(ValueError):
    """Two nodes are not connected."""


def hops_from(node: str, links: list[Link]) -> list[Hop]:
    """Return every link of *node*, in the order declared, as a packet that leaves through it meets it."""
    found = []
    for link in links:
        if link["a"] == node:
            found.append(Hop(link["name"], node, link["b"], "ab", link["ab"]))
        if link["b"] == node:
            found.append(Hop(link["name"], node, link["a"], "ba", link["ba"]))
    return found


def next_hops(nodes: list[Node], links: list[Link], destination: str) -> dict[str, Hop]:
    """Return the link that each node takes towards *destination*: the fewest hops; among equals, declared first.

    Hosts do not forward.  Every node decides for itself, as in a real network, so the way of a packet is that of its
    nodes' decisions, and the way back may be another one where two are equally long.
    """
    outgoing = {node["name"]: hops_from(node["name"], links) for node in nodes}
    if destination not in outgoing:
        return {}
    forwards = {node["name"] for node in nodes if node["role"] != "host"} | {destination}
    distance = {destination: 0}
    queue = deque([destination])
    while queue:
        here = queue.popleft()
        if here not in forwards:
            continue
        for hop in outgoing[here]:
            if hop.receiver not in distance:
                distance[hop.receiver] = distance[here] + 1
                queue.append(hop.receiver)
    found = {}
    for name, hops in outgoing.items():
        if name == destination or name not in distance:
            continue
        nearer = (hop for hop in hops if hop.receiver in forwards and distance[hop.receiver] == distance[name] - 1)
        found[name] = next(nearer)
    return found


def route(network: Network, source: str, destination: str) -> tuple[Hop, ...]:
    """Return the way of a packet.

    Raises:
        NoRouteError: There is none.
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
    """Return what *direction* is like after all its changes."""
    rate, queue, netem = direction["rate_bps"], direction["queue"], direction["netem"]
    for change in direction["changes"]:
        if change["rate_bps"] is not None:
            rate, queue = change["rate_bps"], change["queue"]
        netem = change["netem"] or netem
    return Direction(rate_bps=rate, queue=queue, netem=netem, changes=[], capacity=None, lost_packets=[])


def mean_rate_bps(direction: Direction, start_ns: int, end_ns: int) -> float | None:
    """Return the mean of the rate between two times; None where there is no limit."""
    if direction["rate_bps"] is None:
        return None
    now, rate, total = start_ns, direction["rate_bps"], 0
    for change in direction["changes"]:
        if change["rate_bps"] is None:
            continue
        if change["at_ns"] > start_ns:
            until = min(change["at_ns"], end_ns)
            total += rate * max(0, until - now)
            now = max(now, until)
        rate = change["rate_bps"]
    total += rate * max(0, end_ns - now)
    return total / (end_ns - start_ns) if end_ns > start_ns else float(rate)


def rate_steps(direction: Direction) -> list[tuple[int, int]]:
    """Return (from when, in ns, rate in bit/s) of a limited direction; with a capacity file its mean."""
    if direction["rate_bps"] is None:
        return []
    later = [(change["at_ns"], change["rate_bps"]) for change in direction["changes"] if change["rate_bps"] is not None]
    return [(0, direction["rate_bps"]), *later]


def mean_loss(netem: Netem | None) -> float:
    """Return the share of packets that netem loses in the long run.

    For ``gemodel`` (p, r, 1-h, 1-k) that of its stationary state; for ``state`` (p13, p31, p32, p23, p14) that of the
    chain as net/sched/sch_netem.c runs it, loss_4state(): states 3 and 4 lose.
    """
    if netem is None or netem["loss"] is None:
        return 0.0
    return _MEANS[netem["loss"]["model"]](netem["loss"]["values"])


def mean_burst(loss: Loss) -> float:
    """Return the mean number of packets lost in a row; of ``gemodel`` the mean stay in the bad state."""
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
    """Return the transition probabilities of netem's four states: good, good within a burst, burst loss, isolated loss.

    As ``loss_4state()`` in net/sched/sch_netem.c has them.
    """
    p13, p31, p32, p23, p14 = values
    # From state 1: p14 is drawn first, then p13; "isolated" goes back to state 1 for certain.
    return [
        [1 - p13 - p14, 0.0, p13, p14],
        [0.0, 1 - p23, p23, 0.0],
        [p31, p32, 1 - p31 - p32, 0.0],
        [1.0, 0.0, 0.0, 0.0],
    ]


def state_stationary(values: list[float]) -> list[float]:
    """Return the share of packets that find netem's chain in each of its states, starting in the first."""
    chain = state_chain(values)
    share = [1.0, 0.0, 0.0, 0.0]
    # Averaging two neighbours keeps a chain that alternates from doing so for ever.
    for _ in range(200_000):
        moved = [sum(share[source] * chain[source][target] for source in range(4)) for target in range(4)]
        moved = [(old + new) / 2 for old, new in zip(share, moved, strict=True)]
        if max(abs(old - new) for old, new in zip(share, moved, strict=True)) < 1e-13:
            return moved
        share = moved
    return share


def state_burst(values: list[float]) -> float:
    """Return the mean number of packets lost in a row under netem's four states."""
    chain, share = state_chain(values), state_stationary(values)
    lost = share[_BURST] + share[_ISOLATED]
    begins = sum(
        share[source] * chain[source][target] for source in (_GOOD, _GAP_GOOD) for target in (_BURST, _ISOLATED)
    )
    return lost / begins if begins else 0.0


def _state_mean(values: list[float]) -> float:
    share = state_stationary(values)
    return share[_BURST] + share[_ISOLATED]


_MEANS = {"random": _random_mean, "gemodel": _gilbert_elliott_mean, "state": _state_mean}


def switches(nodes: list[Node]) -> set[str]:
    return {node["name"] for node in nodes if node["role"] == "switch"}


def segments(nodes: list[Node], links: list[Link]) -> Mapping[str, int]:
    """Return each link's broadcast domain, by number: links that meet at a switch share one.

    They are numbered in the order of their first links.
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
