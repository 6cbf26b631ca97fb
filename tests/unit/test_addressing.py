# SPDX-License-Identifier: Apache-2.0
"""Addresses and routes of small topologies, and that packets following them arrive."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

import pytest

from lab.agent.addressing import Port, path, ports, routes
from lab.protocol import Job
from tests.unit.jobs import job_with

Ip = Literal["ipv4", "ipv6"]

LINE = ["s1", "r1", "r2", "d1"]
STAR = [*(f"s{number}" for number in range(1, 5)), *(f"r{number}" for number in range(1, 6)), "d1"]
STAR_LINKS = [*((f"r{number}", "r5") for number in range(1, 5)), *((f"s{n}", f"r{n}") for n in range(1, 5))]
STAR_LINKS.append(("r5", "d1"))


def line(ip: Ip = "ipv4") -> Job:
    return job_with(LINE, list(pairwise(LINE)), ip)


def star(ip: Ip = "ipv4") -> Job:
    return job_with(STAR, STAR_LINKS, ip)


def test_the_ports_of_a_line() -> None:
    found = ports(line())
    assert [(port.node, port.interface, str(port.address), port.direction) for port in found] == [
        ("s1", "s1-eth0", "10.0.1.1/24", "ab"),
        ("r1", "r1-eth0", "10.0.1.2/24", "ba"),
        ("r1", "r1-eth1", "10.0.2.1/24", "ab"),
        ("r2", "r2-eth0", "10.0.2.2/24", "ba"),
        ("r2", "r2-eth1", "10.0.3.1/24", "ab"),
        ("d1", "d1-eth0", "10.0.3.2/24", "ba"),
    ]
    assert found[0].mac == "02:00:00:00:00:01"
    for near, far in zip(found[::2], found[1::2], strict=True):
        assert (near.peer, near.peer_interface, near.peer_mac, near.peer_address) == (
            far.node,
            far.interface,
            far.mac,
            far.address,
        )
        assert (far.peer, far.peer_interface, far.peer_mac, far.peer_address) == (
            near.node,
            near.interface,
            near.mac,
            near.address,
        )


def test_the_routes_of_a_line() -> None:
    job = line()
    assert routes(job, ports(job)) == {
        "s1": [("default", "10.0.1.2")],
        "r1": [("10.0.3.0/24", "10.0.2.2")],
        "r2": [("10.0.1.0/24", "10.0.2.1")],
        "d1": [("default", "10.0.3.1")],
    }


def test_the_routes_of_a_line_in_ipv6() -> None:
    job = line("ipv6")
    assert routes(job, ports(job)) == {
        "s1": [("default", "fd00:1ab:0:1::2")],
        "r1": [("fd00:1ab:0:3::/64", "fd00:1ab:0:2::2")],
        "r2": [("fd00:1ab:0:1::/64", "fd00:1ab:0:2::1")],
        "d1": [("default", "fd00:1ab:0:3::1")],
    }


def test_the_hub_of_a_star_reaches_every_host_through_its_router() -> None:
    job = star()
    all_ports = ports(job)
    by_link = {port.link: port.address.network for port in all_ports}
    own = {port.peer: str(port.peer_address.ip) for port in all_ports if port.node == "r5"}
    assert sorted(routes(job, all_ports)["r5"]) == sorted(
        (str(by_link[f"s{number}-r{number}"]), own[f"r{number}"]) for number in range(1, 5)
    )


@pytest.mark.parametrize("ip", ["ipv4", "ipv6"])
@pytest.mark.parametrize("make", [line, star])
def test_no_address_and_no_mac_is_there_twice(make: object, ip: Ip) -> None:
    found = ports(star(ip) if make is star else line(ip))
    for values in ([port.address for port in found], [port.mac for port in found], [port.interface for port in found]):
        assert len(set(values)) == len(values)
    # Linux refuses longer names of interfaces.
    assert all(len(port.interface) <= 15 for port in found)


def forwarded(job: Job, source: str, destination: str) -> Iterator[str]:
    """The nodes that a packet passes when every node looks its destination up in its own routes."""
    all_ports = ports(job)
    table = routes(job, all_ports)
    address = next(port.address.ip for port in all_ports if port.node == destination)
    node = source
    for _hop in range(len(job["nodes"])):
        yield node
        if node == destination:
            return
        own = [port for port in all_ports if port.node == node]
        gateway = next((port.peer_address.ip for port in own if address in port.address.network), None)
        for network, via in table[node]:
            if gateway is None and (network == "default" or address in ipaddress.ip_network(network)):
                gateway = ipaddress.ip_address(via)
        node = next(port.peer for port in own if port.peer_address.ip == gateway)
    raise AssertionError(f"no way from {source} to {destination}")


@pytest.mark.parametrize("ip", ["ipv4", "ipv6"])
@pytest.mark.parametrize("make", [line, star])
def test_packets_arrive_by_the_path_that_is_calibrated(make: object, ip: Ip) -> None:
    job = star(ip) if make is star else line(ip)
    hosts = [node["name"] for node in job["nodes"] if node["role"] == "host"]
    for source in hosts:
        for destination in hosts:
            if source != destination:
                taken: list[Port] = path(job, ports(job), source, destination)
                assert [source, *(port.peer for port in taken)] == list(forwarded(job, source, destination))


def test_among_paths_of_equal_length_the_first_link_wins() -> None:
    square = [("s1", "r1"), ("r1", "r3"), ("r1", "r2"), ("r3", "r4"), ("r2", "r4"), ("r4", "d1")]
    job = job_with(["s1", "r1", "r2", "r3", "r4", "d1"], square)
    assert [port.node for port in path(job, ports(job), "s1", "d1")] == ["s1", "r1", "r3", "r4"]


def test_routes_take_the_shortest_way_round_a_ring() -> None:
    ring = job_with(["r1", "r2", "r3", "d1"], [("r1", "r2"), ("r2", "r3"), ("r3", "r1"), ("r3", "d1")], "ipv6")
    assert ("fd00:1ab:0:4::/64", "fd00:1ab:0:3::1") in routes(ring, ports(ring))["r1"]  # straight to r3
    assert [port.node for port in path(ring, ports(ring), "r2", "d1")] == ["r2", "r3"]


def test_many_links_keep_distinct_addresses() -> None:
    names = [f"r{number}" for number in range(302)]
    found = ports(job_with(names, list(pairwise(names))))
    assert len({port.address.network for port in found}) == 301
    assert found[-1].mac == "02:00:00:01:2c:02"
