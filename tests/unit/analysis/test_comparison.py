# SPDX-License-Identifier: Apache-2.0
"""Welch's t-test, compared with published numbers, and its rate of false alarms on random samples."""

from __future__ import annotations

import random

import pytest

from lab.analysis.comparison import CONFIDENCE, Comparison, compare, holm


def test_against_a_worked_example() -> None:
    """The means are 2 and 5 and both variances 1, with three values each, so t = 3 / sqrt(2/3) = 3.674.

    There are 4 degrees of freedom, for which the two-sided 99 % quantile is 4.604.
    """
    found = compare([1.0, 2.0, 3.0], [4.0, 5.0, 6.0])
    assert found.margin == pytest.approx(4.604095 * (2 / 3) ** 0.5, rel=1e-6)
    assert not differ(found)
    # 0.0213 is the two-sided p-value of t = 3.674 for 4 degrees of freedom.
    assert found.p_value == pytest.approx(0.021312, abs=1e-6)
    assert differ(compare([1.0, 2.0, 3.0], [5.0, 6.0, 7.0]))


def differ(found: Comparison) -> bool:
    assert found.p_value is not None
    assert found.margin is not None
    verdict = found.p_value < 1 - CONFIDENCE
    assert verdict == (abs(found.first - found.second) > found.margin)
    return verdict


def test_one_value_says_nothing() -> None:
    assert (compare([1.0], [5.0, 6.0]).margin, compare([1.0], [5.0, 6.0]).p_value) == (None, None)


def test_equal_values_leave_no_room() -> None:
    assert not differ(compare([3.0, 3.0], [3.0, 3.0]))
    assert differ(compare([3.0, 3.0], [3.1, 3.1]))


def test_false_alarms_are_as_rare_as_said() -> None:
    draw = random.Random(1)
    alarms = sum(
        differ(compare([draw.gauss(0, 1) for _ in range(5)], [draw.gauss(0, 3) for _ in range(5)])) for _ in range(3000)
    )
    # One false alarm in a hundred is expected.  Allow five standard deviations more.
    assert alarms < 30 + 5 * 30**0.5
    missed = sum(
        not differ(compare([draw.gauss(0, 1) for _ in range(5)], [draw.gauss(6, 1) for _ in range(5)]))
        for _ in range(300)
    )
    assert missed < 15


def test_holm_against_a_worked_example() -> None:
    """Holm multiplies the smallest p-value by the number of tests, the next one by one less, and so on.

    0.01 × 4 = 0.04, 0.02 × 3 = 0.06, 0.025 × 2 = 0.05, which cannot be below the one before, and 0.9 × 1 = 0.9.
    """
    assert holm([0.025, 0.9, 0.01, 0.02]) == pytest.approx([0.06, 0.9, 0.04, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []
