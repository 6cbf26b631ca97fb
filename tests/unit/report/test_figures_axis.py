# SPDX-License-Identifier: Apache-2.0
"""Which axes of the matrix stand for numbers, and in which unit."""

from __future__ import annotations

from typing import Any

import pytest

from lab.evaluation.axes import RunAxis
from lab.report.figures.compare.axis import number_axis, x_axis

LIMIT = RunAxis("topology.bottleneck.queue.limit", "limit", ("0.1bdp", "1bdp", "16bdp"))
QUEUE = RunAxis(
    "topology.bottleneck.queue", "queue", ({"discipline": "bfifo", "limit": "4bdp"}, {"discipline": "codel"})
)


@pytest.mark.parametrize(
    ("path", "values", "label", "numbers", "logarithmic"),
    [
        ("t.queue.limit", ("0.1bdp", "1bdp", "16bdp"), "Queue limit (BDP)", (0.1, 1, 16), True),
        ("t.queue.limit", ("10p", "20p", "30p"), "Queue limit (packets)", (10, 20, 30), False),
        ("t.queue.limit", ("30kB", "1MB"), "Queue limit (kB)", (30, 1000), True),
        ("t.loss", ("0%", "0.1%", "1%"), "Random loss (%)", (0, 0.1, 1), True),
        ("t.loss", (0, 0.002, "2%"), "Random loss (%)", (0, 0.2, 2), True),
        ("t.rate", ("10mbit", "20mbit", "1gbit"), "Link rate (Mbit/s)", (10, 20, 1000), True),
        ("t.delay", ("500us", "20ms", "0.1s"), "Delay in each direction (ms)", (0.5, 20, 100), True),
        ("flows.cubic.count", (2, 4, 8), "Number of cubic flows", (2, 4, 8), False),
        ("flows.udp.rate", ("1mbit", "2mbit"), "Rate of the sender (Mbit/s)", (1, 2), False),
    ],
)
def test_numbers_have_the_unit_of_the_file(
    path: str, values: tuple[Any, ...], label: str, numbers: tuple[float, ...], logarithmic: bool
) -> None:
    found = number_axis(RunAxis(path, path.rpartition(".")[2], values))
    assert found is not None
    assert (found.label, found.numbers, found.logarithmic) == (label, numbers, logarithmic)
    assert [found.number(found.axis.text(value)) for value in values] == list(numbers)


@pytest.mark.parametrize(
    "values",
    [
        QUEUE.values,  # disciplines of different kinds have no common scale, even if each has a limit
        ({"discipline": "pfifo", "limit": "20p"}, {"discipline": "fq_codel", "limit": "100p"}),
        ("1%", {"model": "gemodel", "p": "0.2%", "r": "20%"}),
        ("1bdp", "100p"),
        ("cubic", "bbr"),
        (True, False),
        ("1bdp", "1.0bdp"),
        ("debian-12", "debian-13"),
    ],
)
def test_other_values_are_no_numbers(values: tuple[Any, ...]) -> None:
    assert number_axis(RunAxis("topology.bottleneck.queue", "queue", values)) is None


def test_queues_of_one_discipline_stand_for_their_limit() -> None:
    queues = tuple({"discipline": "bfifo", "limit": limit} for limit in ("1bdp", "2bdp", "8bdp"))
    found = number_axis(RunAxis("topology.bottleneck.queue", "queue", queues))
    assert found is not None
    assert (found.label, found.numbers) == ("Queue limit (BDP)", (1, 2, 8))


def test_two_values_make_no_curve() -> None:
    two = RunAxis("topology.bottleneck.queue.limit", "limit", ("1bdp", "4bdp"))
    count = RunAxis("flows.cubic.count", "count", (2, 4, 8))
    chosen = x_axis([two, count])
    assert chosen is not None
    assert chosen.axis == count
    assert x_axis([two, QUEUE]) is None
    assert x_axis([]) is None
    loss = RunAxis("t.loss", "loss", ("0%", "1%", "2%"))
    preferred = x_axis([LIMIT, count, loss])
    assert preferred is not None
    assert preferred.axis == loss
