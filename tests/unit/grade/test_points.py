# SPDX-License-Identifier: Apache-2.0
"""Points for conditions, values on a scale and answers."""

from __future__ import annotations

from typing import Any

import pytest

from lab.evaluation.expectations.judge import Case, Entry, Outcome
from lab.grade.assignment.schema import Criterion
from lab.grade.scenario.points import answered, chosen, judged_condition, judged_scale, rounded


def criterion(**fields: Any) -> Criterion:
    return Criterion.model_validate({"points": 4.0, **fields})


def outcome(*observed: float | None, limit: float = 0.0, unit: str = "bit/s", met: bool = True) -> Outcome:
    """Return an outcome with a case for each observed value; None stands for a case that cannot be judged."""
    cases = tuple(
        Case({"loss": f"{number}%"}, "bulk", (f"t{number}",), "cannot be judged", reason="the trial failed")
        if value is None
        else Case(
            {"loss": f"{number}%"},
            "bulk",
            (f"t{number}",),
            "met" if met else "not met",
            observed=f"{value:g}",
            expected=f"≥ {limit:g}",
            numbers={"observed": value, "unit": unit, "limits": [{"comparator": ">=", "value": limit, "margin": 0}]},
        )
        for number, value in enumerate(observed)
    )
    return Outcome(Entry("x"), "met", cases, "" if cases else "no cell has it")


@pytest.mark.parametrize(
    ("observed", "full", "none", "points"),
    [
        (100.0, 90.0, 60.0, 4.0),
        (90.0, 90.0, 60.0, 4.0),
        (75.0, 90.0, 60.0, 2.0),
        (60.0, 90.0, 60.0, 0.0),
        (10.0, 90.0, 60.0, 0.0),
        # Less is better.
        (10.0, 10.0, 50.0, 4.0),
        (20.0, 10.0, 50.0, 3.0),
        (50.0, 10.0, 50.0, 0.0),
        # No scale at all.
        (9.0, 9.0, 9.0, 4.0),
        (8.9, 9.0, 9.0, 0.0),
    ],
)
def test_a_scale_is_linear_between_its_ends(observed: float, full: float, none: float, points: float) -> None:
    given = judged_scale(criterion(), outcome(observed, limit=full), outcome(observed, limit=none))
    assert given.points == points
    assert given.verdict == ("full" if points == 4 else "part" if points else "none")
    assert given.observed == f"{observed:g}"
    assert given.full.startswith("≥" if full >= none else "≤")


def test_the_worst_case_decides_or_the_mean() -> None:
    worst = judged_scale(criterion(), outcome(90, 75, 60, limit=90), outcome(90, 75, 60, limit=60))
    assert (worst.points, worst.where) == (0.0, "loss 2%")
    mean = judged_scale(criterion(over="mean"), outcome(90, 75, 60, limit=90), outcome(90, 75, 60, limit=60))
    assert mean.points == 2.0
    assert [case["share"] for case in mean.cases] == [0.0, 0.5, 1.0]


def test_what_cannot_be_judged_gives_nothing() -> None:
    one = judged_scale(criterion(over="mean"), outcome(90, None, limit=90), outcome(90, None, limit=60))
    assert (one.points, one.verdict, one.reason) == (2.0, "part", "the trial failed")
    both = judged_scale(criterion(), outcome(None, None), outcome(None, None))
    assert (both.points, both.verdict) == (0.0, "failed")
    assert judged_scale(criterion(), outcome(), outcome()).reason == "no cell has it"
    assert judged_condition(criterion(), outcome()).verdict == "failed"


def test_a_condition_gives_all_or_nothing() -> None:
    assert judged_condition(criterion(), outcome(1.0)).points == 4
    assert judged_condition(criterion(), outcome(1.0, met=False)).points == 0


@pytest.mark.parametrize(
    ("answer", "points", "said"),
    [
        ("120ms", 4.0, ""),
        ("0.12 s", 4.0, ""),
        ("126ms", 4.0, ""),
        ("138ms", 2.0, "too large"),
        ("102ms", 2.0, "too small"),
        ("1s", 0.0, "too large"),
        ("120", 0.0, ""),
        ("120 kg", 0.0, ""),
        ("12mbit", 0.0, ""),
        ("", 0.0, ""),
        ("nan", 0.0, ""),
    ],
)
def test_an_answer_is_compared_with_what_was_measured(answer: str, points: float, said: str) -> None:
    asked = criterion(answer="a", value="rtt", full="5%", none="25%")
    given = answered(asked, outcome(0.12, unit="s"), answer)
    assert (given.points, given.margin) == (points, said)
    # The measured value itself is not told.
    assert "0.12" not in f"{given.full}{given.none}{given.margin}{given.reason}{given.where}" or answer == "0.12 s"


def test_a_choice_does_not_tell_the_right_answer() -> None:
    asked = criterion(answer="a", choice="Tail drop")
    assert chosen(asked, " tail  DROP ").points == 4
    wrong = chosen(asked, "red")
    assert wrong.points == 0
    assert "ail" not in str(wrong.document())


@pytest.mark.parametrize(("value", "shown"), [(1.005, 1.0), (2.675, 2.68), (0.1 + 0.2, 0.3), (3.999999999999, 4.0)])
def test_points_do_not_depend_on_the_last_bits(value: float, shown: float) -> None:
    assert rounded(value) == rounded(value * (1 + 1e-14)) == rounded(value * (1 - 1e-14)) == shown
