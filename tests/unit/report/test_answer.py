# SPDX-License-Identifier: Apache-2.0
"""What the answer says of made-up numbers whose truth is known: it must not say more than they carry."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lab.report.answer.answer import _basis, answer
from lab.report.answer.effects import ALPHA, effect
from lab.report.answer.findings import MOST_FINDINGS, findings
from lab.report.answer.observations import Factor, Measured, Observation, Quantity
from lab.report.answer.wording import sentence, statement
from lab.report.model import Report
from tests.data.capture import EXPERIMENTS

GOODPUT = Quantity("goodput", "Mbit/s", "higher", is_share_of_link=True)
DELAY = Quantity("the p95 latency of echo", "ms", "lower")
JAIN = Quantity("Jain's fairness index", "", "higher", is_ratio=False)

ALGORITHM = Factor("algorithm", "algorithm", ("cubic", "bbr"))
THREE = Factor("algorithm", "algorithm", ("reno", "cubic", "bbr"))
LOSS = Factor("loss", "numeric", ("0%", "0.1%", "1%"))
QUEUE = Factor("queue", "named", ("bfifo", "fq_codel"))


def measured(quantity: Quantity, factors: Sequence[Factor], values: Mapping[Any, Sequence[float]]) -> Measured:
    """Return made-up observations: the levels of the factors → the values of the repetitions."""
    names = [factor.name for factor in factors]
    found = [
        Observation(dict(zip(names, levels, strict=True)), repetition, value)
        for levels, of_cell in values.items()
        for repetition, value in enumerate(of_cell, 1)
    ]
    return Measured(quantity, tuple(factors), tuple(found))


def said(one: Measured) -> list[str]:
    return [sentence(finding) for finding in findings([one])]


# --- what is said of known truths --------------------------------------------------------------------------


def test_a_large_difference_is_told_with_its_ratio_and_interval() -> None:
    values = {("cubic",): [3.0, 3.2, 3.1], ("bbr",): [18.5, 18.6, 18.4]}
    # The logarithms of the three ratios have the mean 1.78608 and the deviation 0.0301; t(0.975, 2) is 4.3027.
    assert said(measured(GOODPUT, [ALGORITHM], values)) == [
        "bbr gets 6.0 times (5.5–6.4) the goodput of cubic: 18.5 Mbit/s against 3.10 Mbit/s."
    ]


def test_a_small_but_clear_difference_is_told_in_percent() -> None:
    values = {("bfifo",): [50.0, 50.1, 49.9], ("fq_codel",): [40.0, 40.1, 39.9]}
    assert said(measured(DELAY, [QUEUE], values)) == [
        "The p95 latency of echo is 25 % longer with queue bfifo than with queue fq_codel: 50.0 ms against 40.0 ms."
    ]


def test_a_difference_below_five_percent_is_no_difference_in_practice() -> None:
    values = {("cubic",): [19.0, 19.01, 19.02], ("bbr",): [18.5, 18.51, 18.52]}
    assert said(measured(GOODPUT, [ALGORITHM], values)) == [
        "Goodput is the same to within 5 % for cubic and bbr, 19.0 Mbit/s."
    ]


def test_what_chance_may_explain_is_not_clear() -> None:
    values = {("cubic",): [10.0, 14.0, 18.0], ("bbr",): [15.0, 13.0, 19.0]}
    assert said(measured(GOODPUT, [ALGORITHM], values)) == [
        "There is no clear difference in goodput between cubic and bbr."
    ]


def test_of_single_trials_there_is_no_interval() -> None:
    (text,) = said(measured(GOODPUT, [ALGORITHM], {("cubic",): [3.0], ("bbr",): [18.0]}))
    assert text == "bbr gets 6.0 times the goodput of cubic: 18.0 Mbit/s against 3.00 Mbit/s."


@pytest.mark.parametrize(
    ("repetitions", "words"), [(1, "Nothing in these trials is random"), (3, "The repetitions of each cell are equal")]
)
def test_without_chance_it_is_said_why(repetitions: int, words: str) -> None:
    made = measured(GOODPUT, [ALGORITHM], {("cubic",): [3.0] * repetitions, ("bbr",): [18.0] * repetitions})
    exact = replace(made, observations=tuple(replace(one, is_exact=True) for one in made.observations))
    assert _basis(findings([exact])) == f"{words}, so chance has no part in these differences."


def test_there_is_no_ratio_to_zero() -> None:
    values = {("bfifo",): [12.0, 12.1, 11.9], ("fq_codel",): [0.0, 0.0, 0.0]}
    assert said(measured(DELAY, [QUEUE], values)) == [
        "The p95 latency of echo is longer with queue bfifo than with queue fq_codel: 12.0 ms against 0 ms."
    ]
    assert "the same" in said(measured(DELAY, [QUEUE], {("bfifo",): [0.0] * 3, ("fq_codel",): [0.0] * 3}))[0]


def test_conditions_that_turn_the_order_around_are_told_so() -> None:
    values = {
        ("cubic", "0%"): [40.0, 40.1, 39.9], ("bbr", "0%"): [5.0, 5.1, 4.9],
        ("cubic", "0.1%"): [9.0, 9.1, 9.0], ("bbr", "0.1%"): [9.1, 9.0, 9.1],
        ("cubic", "1%"): [1.0, 1.01, 0.99], ("bbr", "1%"): [4.0, 4.02, 3.98],
    }  # fmt: skip
    assert said(measured(DELAY, [ALGORITHM, LOSS], values))[1] == (
        "At loss 0%, the p95 latency of echo is 8.0 times (7.7–8.4) as long with cubic as with bbr: 40.0 ms against "
        "5.00 ms. At loss 1%, it is the other way round: the p95 latency of echo is 4.0 times (4.0–4.1) as long with "
        "bbr as with cubic. At loss 0.1%, it is the same to within 5 %."
    )


def test_the_best_of_three_is_only_best_if_it_is_clearly_better() -> None:
    one = {("reno",): [3.0, 3.1, 2.9], ("cubic",): [9.0, 9.5, 10.0], ("bbr",): [9.9, 9.6, 9.4]}
    (text,) = said(measured(GOODPUT, [THREE], one))
    assert "Between bbr and cubic, 9.50 Mbit/s, there is no clear difference." in text
    assert text.startswith(
        "Goodput is highest with bbr, 9.63 Mbit/s, and lowest with reno, 3.00 Mbit/s: a factor of 3.2"
    )
    (text,) = said(measured(GOODPUT, [THREE], one | {("cubic",): [6.0, 6.02, 5.98]}))
    assert text.endswith("Next is cubic, 6.00 Mbit/s.")
    (text,) = said(measured(GOODPUT, [THREE], one | {("cubic",): [9.85, 9.55, 9.35]}))
    assert text.endswith("As good to within 5 % is cubic, 9.58 Mbit/s.")


def test_a_trend_is_told_from_end_to_end_with_its_turning_point() -> None:
    values = {("0%",): [10.0, 10.1, 9.9], ("0.1%",): [30.0, 30.2, 29.8], ("1%",): [20.0, 20.1, 19.9]}
    assert said(measured(DELAY, [LOSS], values)) == [
        "From loss 0% to 1%, the p95 latency of echo rises from 10.0 ms to 20.0 ms, by a factor of 2.0, with a maximum "
        "of 30.0 ms at loss 0.1%."
    ]


def test_an_index_is_compared_by_its_difference() -> None:
    values = {("cubic",): [0.95, 0.96, 0.94], ("bbr",): [0.60, 0.60, 0.60]}
    assert said(measured(JAIN, [ALGORITHM], values)) == [
        "Jain's fairness index is higher with cubic than with bbr: 0.950 against 0.600."
    ]


def test_without_anything_to_compare_the_values_are_told() -> None:
    assert statement(measured(GOODPUT, [], {(): [18.0, 19.0]})) == (
        "Goodput is 18.5 Mbit/s, from 18.0 to 19.0 over 2 repetitions."
    )


def test_that_kernels_do_not_differ_is_told() -> None:
    kernel = Factor("kernel", "kernel", ("debian-12", "debian-13"))
    values = {
        (algorithm, name): [rate + drift, rate - drift, rate]
        for algorithm, rate in (("cubic", 3.0), ("bbr", 18.0))
        for name, drift in (("debian-12", 0.01), ("debian-13", 0.02))
    }
    assert said(measured(GOODPUT, [ALGORITHM, kernel], values))[0] == (
        "Goodput is the same to within 5 % for debian-12 and debian-13, under all 2 conditions."
    )


def test_no_more_findings_than_a_reader_can_take_in() -> None:
    values = {
        levels: [float(1 + 3 * place + place**2)] * 3
        for place, levels in enumerate(itertools.product(*(f.levels for f in (THREE, QUEUE, LOSS))))
    }
    several = [
        measured(Quantity(f"quantity {number}", "ms", "lower"), [THREE, QUEUE, LOSS], values) for number in range(5)
    ]
    found = findings(several)
    assert len(found) == MOST_FINDINGS
    # Each quantity is heard before any is heard twice.
    assert {finding.measured.quantity.name for finding in found} == {f"quantity {number}" for number in range(5)}


# --- how often it is wrong ---------------------------------------------------------------------------------


def drawn(rng: np.random.Generator, ratio: float, repetitions: int, spread: float) -> Measured:
    """Return goodputs that differ by *ratio* between algorithms at each loss rate, with a random part of their own."""
    return measured(
        GOODPUT,
        [ALGORITHM, LOSS],
        {
            (algorithm, loss): list(
                np.exp(rng.normal(0, spread, repetitions)) * 10 * (ratio if algorithm == "bbr" else 1)
            )
            for algorithm in ALGORITHM.levels
            for loss in LOSS.levels
        },
    )


@pytest.mark.parametrize("repetitions", [3, 5, 10])
def test_equal_algorithms_are_rarely_told_apart(repetitions: int) -> None:
    rng, runs = np.random.default_rng(1), 200
    wrong = 0
    for _ in range(runs):
        found = findings([drawn(rng, 1.0, repetitions, 0.2)])
        wrong += any(finding.factor is ALGORITHM and finding.is_clear for finding in found)
    # The probability of at least one wrong claim is at most 5 %; three deviations of the count are allowed.
    assert wrong <= runs * ALPHA + 3 * (runs * ALPHA * (1 - ALPHA)) ** 0.5


def test_an_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng, runs, covered = np.random.default_rng(2), 1000, 0
    for _ in range(runs):
        first, second = (np.exp(rng.normal(mean, 0.2, 4)) for mean in (np.log(3), 0))
        found = effect(dict(enumerate(first)), dict(enumerate(second)), is_ratio=True)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 3 <= found.high
    assert abs(covered - 0.95 * runs) <= 3 * (runs * 0.95 * 0.05) ** 0.5


def test_the_needed_repetitions_make_a_difference_clear() -> None:
    rng = np.random.default_rng(3)
    clear = total = 0
    for _ in range(200):
        first, second = (np.exp(rng.normal(mean, 0.3, 3)) for mean in (0.5, 0))
        found = effect(dict(enumerate(first)), dict(enumerate(second)), is_ratio=True)
        needed = found.repetitions_needed()
        if found.verdict != "unclear" or needed is None or not 0.4 < np.log(found.size or 1) < 0.6:
            continue
        assert needed > found.pairs
        total += 1
        first, second = (np.exp(rng.normal(mean, 0.3, needed)) for mean in (0.5, 0))
        clear += effect(dict(enumerate(first)), dict(enumerate(second)), is_ratio=True).verdict == "more"
    assert total > 20
    # With the size and deviation as they were found, about half of all tries are clear.
    assert clear / total > 0.4


# --- real runs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(path.stem for path in EXPERIMENTS.glob("*.yaml")))
def test_the_answer_of_a_real_run(reports: Callable[[str], Report], name: str) -> None:
    found = answer(reports(name))
    assert found.sentences
    assert all(text.endswith(".") for text in found.sentences)
