# SPDX-License-Identifier: Apache-2.0
"""Addresses and routes of a topology: pure functions of the job."""

from __future__ import annotations

import ipaddress
from collections import deque
from dataclasses import dataclass

from lab.protocol import Job

_SUBNETS_V4 = ipaddress.IPv4Network("10.0.0.0/8")
_SUBNETS_V6 = ipaddress.IPv6Network("fd00:1ab::/32")

Address = ipaddress.IPv4Interface | ipaddress.IPv6Interface


@dataclass(frozen=True)
class Port:
    """One end of a link: where it is, and what it is called."""

    link: str
    node: str
    peer: str
    interface: str
    peer_interface: str
    mac: str
    peer_mac: str
    address: Address
    peer_address: Address
    direction: str
    """``ab`` or ``ba``: the direction of the link that leaves through this port."""


def _link_network(index: int, ip: str) -> tuple[Address, Address]:
    if ip == "ipv6":
        base = int(_SUBNETS_V6.network_address) + ((index + 1) << 64)
        return ipaddress.IPv6Interface((base + 1, 64)), ipaddress.IPv6Interface((base + 2, 64))
    base = int(_SUBNETS_V4.network_address) + ((index + 1) << 8)
    return ipaddress.IPv4Interface((base + 1, 24)), ipaddress.IPv4Interface((base + 2, 24))


def ports(job: Job) -> list[Port]:
    """Both ports of every link, in the order of the links: ``a``'s first."""
    used: dict[str, int] = {}
    result = []
    for index, link in enumerate(job["links"]):
        ends = []
        for end, node in enumerate((link["a"], link["b"])):
            number = used.get(node, 0)
            used[node] = number + 1
            mac = f"02:00:00:{(index >> 8) & 0xFF:02x}:{index & 0xFF:02x}:{end + 1:02x}"
            ends.append((node, f"{node}-eth{number}", mac))
        addresses = _link_network(index, job["ip"])
        for end in (0, 1):
            node, interface, mac = ends[end]
            peer, peer_interface, peer_mac = ends[1 - end]
            result.append(
                Port(
                    link=link["name"],
                    node=node,
                    peer=peer,
                    interface=interface,
                    peer_interface=peer_interface,
                    mac=mac,
                    peer_mac=peer_mac,
                    address=addresses[end],
                    peer_address=addresses[1 - end],
                    direction="ab" if end == 0 else "ba",
                )
            )
    return result


def routes(job: Job, all_ports: list[Port]) -> dict[str, list[tuple[str, str]]]:
    """Static shortest-path routes: node → list of (destination, gateway).

    A node with one port gets a default route, any other one route per subnet that is not its own; among paths
    of equal length the link that the job names first wins.
    """
    by_node: dict[str, list[Port]] = {node["name"]: [] for node in job["nodes"]}
    for port in all_ports:
        by_node[port.node].append(port)
    table: dict[str, list[tuple[str, str]]] = {}
    for name, own in by_node.items():
        if len(own) == 1:
            table[name] = [("default", str(own[0].peer_address.ip))]
            continue
        gateway_of = _first_hops(name, by_node)
        seen = {str(port.address.network) for port in own}
        table[name] = []
        for other, via in gateway_of.items():
            for port in by_node[other]:
                network = str(port.address.network)
                if network not in seen:
                    seen.add(network)
                    table[name].append((network, str(via.peer_address.ip)))
    return table


def _first_hops(start: str, by_node: dict[str, list[Port]]) -> dict[str, Port]:
    """Breadth first from ``start``: every other node → the port of ``start`` that leads to it, nearest first."""
    hops: dict[str, Port] = {}
    queue: deque[tuple[str, Port | None]] = deque([(start, None)])
    while queue:
        node, via = queue.popleft()
        for port in by_node[node]:
            if port.peer != start and port.peer not in hops:
                hops[port.peer] = via or port
                queue.append((port.peer, via or port))
    return hops


def path(job: Job, all_ports: list[Port], source: str, destination: str) -> list[Port]:
    """The ports through which a packet from ``source`` leaves each node on its way to ``destination``."""
    by_node: dict[str, list[Port]] = {node["name"]: [] for node in job["nodes"]}
    for port in all_ports:
        by_node[port.node].append(port)
    taken = []
    node = source
    while node != destination:
        step = _first_hops(node, by_node)[destination]
        taken.append(step)
        node = step.peer
    return taken
