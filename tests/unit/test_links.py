# SPDX-License-Identifier: Apache-2.0
"""The tc lines and addresses of a job."""

from __future__ import annotations

from lab.agent import addressing, links
from lab.protocol import Direction, Job, Link

PLAIN: Direction = {"rate_bps": None, "queue": None, "netem": None}
SHAPED: Direction = {
    "rate_bps": 20_000_000,
    "queue": {"discipline": "bfifo", "limit_bytes": 100_000, "limit_packets": None, "parameters": {}},
    "netem": {"delay_ns": 20_000_000, "loss": 0.001, "limit_packets": 1_000_000, "seed": 7},
}


def job(nodes: dict[str, str], pairs: list[tuple[str, str]], ip: str = "ipv4") -> Job:
    made: list[Link] = [{"name": f"l{n}", "a": a, "b": b, "ab": PLAIN, "ba": PLAIN} for n, (a, b) in enumerate(pairs)]
    found: Job = {"nodes": [{"name": name, "role": role} for name, role in nodes.items()], "links": made, "ip": ip}  # type: ignore[typeddict-item]
    return found


LINE = job({"s": "host", "p": "router", "q": "router", "d": "host"}, [("s", "p"), ("p", "q"), ("q", "d")])


def test_rate_and_queue_of_one_direction() -> None:
    # One frame of 1514 B, and the 250 B that 20 Mbit/s carries in 100 µs.
    assert links.rate_commands("r1-eth1", SHAPED, 1500) == [
        "qdisc add dev r1-eth1 root handle 1: tbf rate 20000000bit burst 1764 limit 17640",
        "qdisc add dev r1-eth1 parent 1:1 handle 2: bfifo limit 100000",
    ]
    assert links.rate_commands("r1-eth1", PLAIN, 1500) == []


def test_parameters_of_a_queue_discipline() -> None:
    queue = links.queue_arguments(
        {
            "discipline": "fq_codel",
            "limit_bytes": None,
            "limit_packets": 1000,
            "parameters": {"target": "5ms", "noecn": True},
        }
    )
    assert queue == ["fq_codel", "limit", "1000", "target", "5ms", "noecn"]


def test_netem_sits_on_an_ifb_where_packets_arrive() -> None:
    assert SHAPED["netem"] is not None
    assert links.netem_commands("r2-eth0", "ifb0", SHAPED["netem"]) == [
        "qdisc add dev r2-eth0 handle ffff: ingress",
        "filter add dev r2-eth0 parent ffff: protocol all prio 1 matchall action mirred egress redirect dev ifb0",
        "qdisc add dev ifb0 root handle 1: netem limit 1000000 delay 20000000ns loss random 0.1000000000% seed 7",
    ]


def test_without_loss_nothing_is_drawn_at_random() -> None:
    assert links.netem_arguments({"delay_ns": 5, "loss": 0.0, "limit_packets": 9, "seed": 7}) == [
        "netem", "limit", "9", "delay", "5ns",
    ]  # fmt: skip


def test_addresses_of_a_line() -> None:
    found = [(port.interface, str(port.address), port.mac) for port in addressing.ports(LINE)]
    assert found[:3] == [
        ("s-eth0", "10.0.1.1/24", "02:00:00:00:00:01"),
        ("p-eth0", "10.0.1.2/24", "02:00:00:00:00:02"),
        ("p-eth1", "10.0.2.1/24", "02:00:00:00:01:01"),
    ]


def test_routes_of_a_line() -> None:
    assert addressing.routes(LINE, addressing.ports(LINE)) == {
        "s": [("default", "10.0.1.2")],
        "p": [("10.0.3.0/24", "10.0.2.2")],
        "q": [("10.0.1.0/24", "10.0.2.1")],
        "d": [("default", "10.0.3.1")],
    }


def test_routes_take_the_shortest_way_round_a_ring() -> None:
    ring = job(
        {"a": "router", "b": "router", "c": "router", "h": "host"},
        [("a", "b"), ("b", "c"), ("c", "a"), ("c", "h")],
        "ipv6",
    )
    ports = addressing.ports(ring)
    table = addressing.routes(ring, ports)
    assert ("fd00:1ab:0:4::/64", "fd00:1ab:0:3::1") in table["a"]  # straight to c, not by b
    assert [port.node for port in addressing.path(ring, ports, "b", "h")] == ["b", "c"]
