# SPDX-License-Identifier: Apache-2.0
"""Check the addresses and routes of small topologies, and that packets that follow the routes arrive."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Literal

import pytest

from lab.agent.topology.addressing import Port, Route, forwarding, neighbours, path, ports, routes
from lab.job.protocol import Job
from tests.jobs import job_with

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
        assert (near.peer, far.peer) == (far.node, near.node)
        assert neighbours(found, near) == [far]
        assert neighbours(found, far) == [near]


def test_the_routes_of_a_line() -> None:
    job = line()
    assert routes(job, ports(job)) == {
        "s1": [Route("default", "10.0.1.2")],
        "r1": [Route("10.0.3.0/24", "10.0.2.2")],
        "r2": [Route("10.0.1.0/24", "10.0.2.1")],
        "d1": [Route("default", "10.0.3.1")],
    }


def test_the_routes_of_a_line_in_ipv6() -> None:
    job = line("ipv6")
    assert routes(job, ports(job)) == {
        "s1": [Route("default", "fd00:1ab:0:1::2")],
        "r1": [Route("fd00:1ab:0:3::/64", "fd00:1ab:0:2::2")],
        "r2": [Route("fd00:1ab:0:1::/64", "fd00:1ab:0:2::1")],
        "d1": [Route("default", "fd00:1ab:0:3::1")],
    }


def test_the_hub_of_a_star_reaches_every_host_through_its_router() -> None:
    job = star()
    all_ports = ports(job)
    by_link = {port.link: port.address.network for port in all_ports if port.address}
    own = {port.node: str(port.address.ip) for port in all_ports if port.peer == "r5" and port.address}
    assert set(routes(job, all_ports)["r5"]) == {
        Route(str(by_link[f"s{number}-r{number}"]), own[f"r{number}"]) for number in range(1, 5)
    }


@pytest.mark.parametrize("ip", ["ipv4", "ipv6"])
@pytest.mark.parametrize("make", [line, star])
def test_no_address_and_no_mac_is_there_twice(make: object, ip: Ip) -> None:
    found = ports(star(ip) if make is star else line(ip))
    for values in ([port.address for port in found], [port.mac for port in found], [port.interface for port in found]):
        assert len(set(values)) == len(values)
    # Linux rejects longer interface names.
    assert all(len(port.interface) <= 15 for port in found)


def forwarded(job: Job, source: str, destination: str) -> Iterator[str]:
    """Yield the nodes on the path of a packet when each node looks up the destination in its own tables."""
    all_ports = ports(job)
    table = routes(job, all_ports)
    switching = {node["name"] for node in job["nodes"] if node["role"] == "switch"}
    target = next(port for port in all_ports if port.node == destination)
    assert target.address
    node, mac = source, ""
    for _hop in range(len(job["nodes"])):
        yield node
        if node == destination:
            return
        own = [port for port in all_ports if port.node == node]
        if node in switching:
            interface = dict(forwarding(job, all_ports, node))[mac]
            node = next(port.peer for port in own if port.interface == interface)
            continue
        if any(port.address and target.address.ip in port.address.network for port in own):
            via = target
        else:
            entries = [item for item in table[node] if item.destination != "default"]
            found = [item for item in entries if target.address.ip in ipaddress.ip_network(item.destination)]
            found = found or [item for item in table[node] if item.destination == "default"]
            gateway = ipaddress.ip_address(found[0].gateway)
            via = next(port for port in all_ports if port.address and port.address.ip == gateway)
        mac = via.mac
        leaving = next(port for port in own if port.segment == via.segment)
        node = leaving.peer
    raise AssertionError(f"no path from {source} to {destination}")


def switched(ip: Ip = "ipv4") -> Job:
    """Return a job with two connected switches; a third router connects their routers and has a host behind it."""
    nodes = ["s1", "s2", "w1", "w2", "r1", "r2", "r3", "s3", "d1"]
    links = [("s1", "w1"), ("s2", "w2"), ("w1", "w2"), ("w1", "r1"), ("w2", "r2"), ("r1", "r3"), ("r2", "r3")]
    return job_with(nodes, [*links, ("s3", "r3"), ("r2", "d1")], ip)


def test_switches_join_their_links_to_one_subnet() -> None:
    found = ports(switched())
    of_fabric = [port for port in found if port.segment == 0 and port.address]
    assert [(port.node, str(port.address)) for port in of_fabric] == [
        ("s1", "10.0.1.1/24"),
        ("s2", "10.0.1.2/24"),
        ("r1", "10.0.1.3/24"),
        ("r2", "10.0.1.4/24"),
    ]
    assert {port.node for port in found if port.address is None} == {"w1", "w2"}
    assert [port.node for port in neighbours(found, of_fabric[0])] == ["s2", "r1", "r2"]


def test_a_switch_knows_where_every_address_of_its_subnet_is() -> None:
    job = switched()
    all_ports = ports(job)
    towards = dict(forwarding(job, all_ports, "w1"))
    where = {port.node: towards.get(port.mac) for port in all_ports if port.segment == 0 and port.address}
    assert where == {"s1": "w1-eth0", "s2": "w1-eth1", "r1": "w1-eth2", "r2": "w1-eth1"}


@pytest.mark.parametrize("ip", ["ipv4", "ipv6"])
@pytest.mark.parametrize("make", [line, star, switched])
def test_packets_arrive_by_the_path_that_is_calibrated(make: Callable[[Ip], Job], ip: Ip) -> None:
    job = make(ip)
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
    # The route of r1 uses its direct link to r3.
    assert Route("fd00:1ab:0:4::/64", "fd00:1ab:0:3::1") in routes(ring, ports(ring))["r1"]
    assert [port.node for port in path(ring, ports(ring), "r2", "d1")] == ["r2", "r3"]


def test_many_links_keep_distinct_addresses() -> None:
    names = [f"r{number}" for number in range(302)]
    found = ports(job_with(names, list(pairwise(names))))
    addresses = [port.address for port in found if port.address]
    assert len(addresses) == len(found)
    assert len({address.network for address in addresses}) == 301
    assert found[-1].mac == "02:00:00:01:2c:02"
