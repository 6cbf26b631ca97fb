# SPDX-License-Identifier: Apache-2.0
"""Check the exact text of a link's ``tc`` commands."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.agent.topology import addressing, links
from lab.job.protocol import Direction, Job, Netem, Queue
from tests.jobs import job_with

BFIFO: Queue = {"discipline": "bfifo", "limit_bytes": 100_000, "limit_packets": None, "parameters": {}}
NETEM: Netem = {
    "delay_ns": 20_000_000,
    "jitter": None,
    "loss": None,
    "duplicate": 0.0,
    "corrupt": 0.0,
    "reorder": None,
    "limit_packets": 100_000,
    "seed": 7,
}


def queue(discipline: str, packets: int | None = None, **parameters: str | int | bool) -> Queue:
    return {"discipline": discipline, "limit_bytes": None, "limit_packets": packets, "parameters": parameters}


@pytest.mark.parametrize(
    ("rate_bps", "mtu", "expected"),
    [
        (20_000_000, 1500, 1514 + 250),  # At 20 Mbit/s, 100 µs are 250 bytes.
        (1_000_000, 1500, 1514 + 12),  # 12.5 bytes are rounded down.
        (10_000_000_000, 9000, 9014 + 125_000),
        (1_000, 1500, 1514),
    ],
)
def test_the_bucket_holds_one_packet_and_100_microseconds(rate_bps: int, mtu: int, expected: int) -> None:
    assert links.burst_bytes(rate_bps, mtu) == expected


def test_a_rate_and_its_queue() -> None:
    direction: Direction = {
        "rate_bps": 20_000_000,
        "queue": BFIFO,
        "netem": None,
        "changes": [],
        "capacity": None,
        "lost_packets": [],
    }
    assert links.rate_commands("r1-eth1", direction, 1500) == [
        "qdisc add dev r1-eth1 root handle 1: tbf rate 20000000bit burst 1764 limit 17640",
        "qdisc add dev r1-eth1 parent 1:1 handle 2: bfifo limit 100000",
    ]


def test_without_a_rate_there_is_nothing_to_build() -> None:
    assert (
        links.rate_commands(
            "r1-eth1",
            {"rate_bps": None, "queue": None, "netem": NETEM, "changes": [], "capacity": None, "lost_packets": []},
            1500,
        )
        == []
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (BFIFO, "bfifo limit 100000"),
        (queue("pfifo", 70), "pfifo limit 70"),
        (queue("fq_codel"), "fq_codel"),
        (queue("fq_codel", 500, target="5ms", ecn=True), "fq_codel limit 500 target 5ms ecn"),
        (queue("fq_codel", 500, ecn=False), "fq_codel limit 500"),
        (queue("pie", 1000, tupdate="15ms", bytemode=True), "pie limit 1000 tupdate 15ms bytemode"),
        (queue("fq", 1000, quantum=3028), "fq limit 1000 quantum 3028"),
    ],
)
def test_a_queue_discipline_with_its_parameters(given: Queue, expected: str) -> None:
    assert " ".join(links.queue_arguments(given)) == expected


def test_delay_without_loss_draws_nothing_and_needs_no_seed() -> None:
    assert " ".join(links.netem_arguments(NETEM)) == "netem limit 100000 delay 20000000ns"


@pytest.mark.parametrize(
    ("loss", "expected"),
    [(0.001, "0.1000000000%"), (0.05, "5.0000000000%"), (1.0, "100.0000000000%"), (1e-9, "0.0000001000%")],
)
def test_loss_is_a_percentage_that_keeps_its_grain(loss: float, expected: str) -> None:
    netem: Netem = {**NETEM, "loss": {"model": "random", "values": [loss]}}
    assert " ".join(links.netem_arguments(netem)) == (
        f"netem limit 100000 delay 20000000ns loss random {expected} seed 7"
    )
    # The kernel stores a probability as a 32-bit fraction.
    assert round(float(expected[:-1]) / 100 * (2**32 - 1)) == pytest.approx(loss * (2**32 - 1), abs=1)


def test_what_arrives_goes_through_the_ifb() -> None:
    assert links.netem_commands("r2-eth0", "ifb0", NETEM) == [
        "qdisc replace dev r2-eth0 clsact",
        "filter add dev r2-eth0 ingress protocol all prio 9 matchall action mirred egress redirect dev ifb0",
        "qdisc add dev ifb0 root handle 1: netem limit 100000 delay 20000000ns",
    ]


def test_every_port_knows_what_leaves_and_what_arrives() -> None:
    job: Job = job_with(["s1", "d1"], [("s1", "d1")])
    (link,) = job["links"]
    link["ab"] = {**link["ab"], "rate_bps": 1}
    link["ba"] = {**link["ba"], "rate_bps": 2}
    near, far = addressing.ports(job)
    assert (links.leaving(job, near)["rate_bps"], links.arriving(job, near)["rate_bps"]) == (1, 2)
    assert (links.leaving(job, far)["rate_bps"], links.arriving(job, far)["rate_bps"]) == (2, 1)
    assert links.link_of(job, near) is link
    with pytest.raises(StopIteration):
        links.link_of(job, replace(near, link="nosuch"))
