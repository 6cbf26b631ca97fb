# SPDX-License-Identifier: Apache-2.0
"""Expectations of flows that are of another kind in other cells: each cell has the cases of what it has."""

from __future__ import annotations

import pytest

from lab.evaluation.expectations.cells import cells_of, subjects
from lab.evaluation.expectations.preview import understood
from lab.expect.errors import ExpectError
from lab.expect.meaning import understand
from lab.experiment.check.validate import validate
from lab.plan.plan import make_plan

EXPERIMENT = {
    "name": "kinds",
    "topology": {"kind": "dumbbell", "bottleneck": {"rate": "10mbit", "delay": "10ms"}},
    "flows": {"f": {"from": "s1", "to": "d1"}, "g": {"from": "s1", "to": "d1"}},
    "duration": "2s",
    "matrix": {"flows.f": [{"from": "s1", "to": "d1"}, {"from": "s1", "to": "d1", "protocol": "udp", "rate": "1mbit"}]},
}


def cases(that: str) -> list[tuple[str, str, str]]:
    """Return protocol of the flow f, flow and reason of each case of a condition."""
    cells = cells_of(make_plan(validate(EXPERIMENT)).document(), [])
    found = []
    for one in subjects(understand(that, cells.setting()), cells):
        protocol = "udp" if one.cell.kinds()["f"] == "udp" else "tcp"
        found.append((protocol, one.flow, one.reason))
    return sorted(found)


@pytest.mark.parametrize(
    ("that", "expected"),
    [
        ("goodput >= 1kbit", [("tcp", "f"), ("tcp", "g"), ("udp", "f"), ("udp", "g")]),
        ("retransmits <= 5", [("tcp", "f"), ("tcp", "g"), ("udp", "g")]),
        ("retransmits(flow=f) <= 5", [("tcp", "f")]),
        ("datagrams_lost_share <= 5 %", [("udp", "f")]),
        ("goodput(flow=f) >= 0.1 * goodput(flow=g)", [("tcp", "f"), ("udp", "f")]),
    ],
)
def test_a_cell_has_the_cases_of_the_flows_that_have_what_is_measured(
    that: str, expected: list[tuple[str, str]]
) -> None:
    assert cases(that) == [(protocol, flow, "") for protocol, flow in expected]


def test_where_the_other_side_is_missing_the_case_cannot_be_judged() -> None:
    found = cases("goodput(flow=g) >= 1 kbit * retransmits(flow=f)")
    assert [(protocol, flow, bool(reason)) for protocol, flow, reason in found] == [
        ("tcp", "g", False),
        ("udp", "g", True),
    ]


def test_lab_check_says_where_a_condition_must_hold() -> None:
    expected = [
        "goodput >= 1kbit",
        {"that": "retransmits<=5", "name": "few", "tolerance": "10%"},
        "goodput(flow=f) in 1kbit..1 mbit",
        "retransmits(flow=f) <= 5",
        "goodput(flow=g) >= 1 kbit * retransmits(flow=f)",
    ]
    both = "for each of the flows f, g"
    missing = "no flow that retransmits(flow=f) names has it in this cell"
    assert understood(make_plan(validate({**EXPERIMENT, "expect": expected})).document()) == [
        f"goodput >= 1kbit: {both}, in all 2 cells",
        f"few: retransmits <= 5 (tolerance 10%): {both} where it has what is measured, in all 2 cells",
        "goodput(flow=f) in 1kbit..1mbit: for the flow f, in all 2 cells",
        "retransmits(flow=f) <= 5: for the flow f, in 1 of 2 cells (f s1 d1)",
        "goodput(flow=g) >= 1kbit * retransmits(flow=f): for the flow g, in 1 of 2 cells (f s1 d1); "
        f"cannot be judged 1 time: {missing}",
    ]
    assert understood(make_plan(validate(EXPERIMENT)).document()) == []


def test_what_no_flow_of_any_cell_has_is_refused() -> None:
    with pytest.raises(ExpectError, match=r"fct"):
        cases("fct_median <= 1s")
