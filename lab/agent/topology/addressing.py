# SPDX-License-Identifier: Apache-2.0
"""Compute the addresses and routes of a topology, as pure functions of the job.

Each broadcast domain is one subnet.  A broadcast domain is a single link between hosts or routers, or several links
that are joined by switches.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass

from lab.job.network import DirectionName, next_hops, route, segments, switches
from lab.job.protocol import Job

_SUBNETS_V4 = ipaddress.IPv4Network("10.0.0.0/8")
_SUBNETS_V6 = ipaddress.IPv6Network("fd00:1ab::/32")

MOST_IN_A_SEGMENT = 254
"""The maximum number of addresses in one broadcast domain (that of an IPv4 /24 subnet)."""

Address = ipaddress.IPv4Interface | ipaddress.IPv6Interface


@dataclass(frozen=True)
class Port:
    """One end of a link: its node, its interface and its addresses."""

    link: str
    node: str
    peer: str
    interface: str
    mac: str
    segment: int
    address: Address | None
    """The IP address with its prefix length; None for the port of a switch."""
    direction: DirectionName
    """The direction of the link whose packets leave the node through this port."""


@dataclass(frozen=True)
class Route:
    """One entry of a node's routing table."""

    destination: str
    """A prefix, a single address, or ``default``."""
    gateway: str


def ports(job: Job) -> list[Port]:
    """Return both ports of every link, in the order of the links; the port at node ``a`` comes first."""
    domain = segments(job["nodes"], job["links"])
    bridging = switches(job["nodes"])
    interfaces: dict[str, int] = {}
    members: dict[int, int] = {}
    result = []
    for index, link in enumerate(job["links"]):
        for end, (node, peer) in enumerate(((link["a"], link["b"]), (link["b"], link["a"]))):
            number = interfaces.get(node, 0)
            interfaces[node] = number + 1
            segment = domain[link["name"]]
            address = None
            if node not in bridging:
                members[segment] = members.get(segment, 0) + 1
                address = _address(segment, members[segment], job["ip"])
            result.append(
                Port(
                    link=link["name"],
                    node=node,
                    peer=peer,
                    interface=f"{node}-eth{number}",
                    mac=f"02:00:00:{(index >> 8) & 0xFF:02x}:{index & 0xFF:02x}:{end + 1:02x}",
                    segment=segment,
                    address=address,
                    direction="ab" if end == 0 else "ba",
                )
            )
    return result


def _address(segment: int, number: int, ip: str) -> Address:
    if number > MOST_IN_A_SEGMENT:
        raise ValueError(
            f"one broadcast domain has more than {MOST_IN_A_SEGMENT} ports of hosts and routers; "
            f"{MOST_IN_A_SEGMENT} is the maximum"
        )
    if ip == "ipv6":
        return ipaddress.IPv6Interface((int(_SUBNETS_V6.network_address) + ((segment + 1) << 64) + number, 64))
    return ipaddress.IPv4Interface((int(_SUBNETS_V4.network_address) + ((segment + 1) << 8) + number, 24))


def neighbours(all_ports: list[Port], port: Port) -> list[Port]:
    """Return all other ports in the broadcast domain of *port* that have an address."""
    return [other for other in all_ports if other.segment == port.segment and other.address and other != port]


def forwarding(job: Job, all_ports: list[Port], switch: str) -> list[tuple[str, str]]:
    """Return the static forwarding table of *switch* as (MAC address, interface through which it is reached).

    The table has an entry for every port with an address in the broadcast domains of the switch.
    """
    bridging = switches(job["nodes"])
    at = {(port.node, port.link): port for port in all_ports}
    own = [port for port in all_ports if port.node == switch]
    found = []
    for target in (port for port in all_ports if port.address and port.segment in {mine.segment for mine in own}):
        # Only links between switches, and that of the target port, are considered: frames do not cross routers.
        fabric = [node for node in job["nodes"] if node["name"] in bridging or node["name"] == target.node]
        names = {node["name"] for node in fabric}
        links = [link for link in job["links"] if {link["a"], link["b"]} <= names]
        links = [link for link in links if target.node not in (link["a"], link["b"]) or link["name"] == target.link]
        hop = next_hops(fabric, links, target.node).get(switch)
        if hop is not None:
            found.append((target.mac, at[switch, hop.link].interface))
    return found


def routes(job: Job, all_ports: list[Port]) -> dict[str, list[Route]]:
    """Return node → static routes to all hosts, along the same paths as :func:`lab.job.network.route`.

    A node on a single subnet that reaches everything through one gateway gets a default route.  Any other node gets
    one route per subnet, or one per host if the hosts of a subnet are reached through different gateways.
    """
    by_node: dict[str, list[Port]] = {node["name"]: [] for node in job["nodes"]}
    at = {(port.node, port.link): port for port in all_ports}
    for port in all_ports:
        by_node[port.node].append(port)
    bridging = switches(job["nodes"])
    hosts = [node["name"] for node in job["nodes"] if node["role"] == "host"]
    gateways: dict[str, dict[str, str]] = {name: {} for name in by_node if name not in bridging}
    for host in hosts:
        towards = next_hops(job["nodes"], job["links"], host)
        for node, found in gateways.items():
            hop = towards.get(node)
            if hop is None:
                continue
            leaving = at[node, hop.link]
            while hop.receiver in bridging:
                hop = towards[hop.receiver]
            gateway = at[hop.receiver, hop.link]
            if hop.receiver != host and gateway.address is not None:
                assert gateway.segment == leaving.segment
                found[host] = str(gateway.address.ip)
    return {
        node: _table(node, gateways.get(node, {}), by_node, single=len({port.segment for port in own}) == 1)
        for node, own in by_node.items()
    }


def _table(node: str, gateways: Mapping[str, str], by_node: Mapping[str, list[Port]], *, single: bool) -> list[Route]:
    if single and len(set(gateways.values())) == 1:
        return [Route("default", next(iter(gateways.values())))]
    own = {port.segment for port in by_node[node]}
    by_segment: dict[int, list[tuple[Address, str]]] = {}
    for host, gateway in gateways.items():
        for port in by_node[host]:
            if port.address is not None and port.segment not in own:
                by_segment.setdefault(port.segment, []).append((port.address, gateway))
    table = []
    for entries in by_segment.values():
        if len({gateway for _address, gateway in entries}) == 1:
            table.append(Route(str(entries[0][0].network), entries[0][1]))
        else:
            table += [Route(str(address.ip), gateway) for address, gateway in entries]
    return table


def path(job: Job, all_ports: list[Port], source: str, destination: str) -> list[Port]:
    """Return the ports through which a packet from ``source`` to ``destination`` leaves each node, in order."""
    at = {(port.node, port.link): port for port in all_ports}
    return [at[hop.sender, hop.link] for hop in route(job, source, destination)]
