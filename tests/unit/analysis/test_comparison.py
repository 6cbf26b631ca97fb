# SPDX-License-Identifier: Apache-2.0
"""Welch's t-test, compared with published numbers, and its rate of false alarms on random samples."""

from __future__ import annotations

import random

import pytest

from lab.analysis.comparison import compare


def test_against_a_worked_example() -> None:
    """The means are 2 and 5 and both variances 1, with three values each, so t = 3 / sqrt(2/3) = 3.674.

    There are 4 degrees of freedom, for which the two-sided 99 % quantile is 4.604.
    """
    found = compare([1.0, 2.0, 3.0], [4.0, 5.0, 6.0])
    assert found.margin == pytest.approx(4.604095 * (2 / 3) ** 0.5, rel=1e-6)
    assert found.differs is False
    assert compare([1.0, 2.0, 3.0], [5.0, 6.0, 7.0]).differs is True


def test_one_value_says_nothing() -> None:
    assert compare([1.0], [5.0, 6.0]).differs is None


def test_equal_values_leave_no_room() -> None:
    assert compare([3.0, 3.0], [3.0, 3.0]).differs is False
    assert compare([3.0, 3.0], [3.1, 3.1]).differs is True


def test_false_alarms_are_as_rare_as_said() -> None:
    draw = random.Random(1)
    alarms = sum(
        compare([draw.gauss(0, 1) for _ in range(5)], [draw.gauss(0, 3) for _ in range(5)]).differs is True
        for _ in range(3000)
    )
    # One false alarm in a hundred is expected, or fewer because the degrees of freedom are rounded down.  Allow five
    # standard deviations more.
    assert alarms < 30 + 5 * 30**0.5
    missed = sum(
        compare([draw.gauss(0, 1) for _ in range(5)], [draw.gauss(6, 1) for _ in range(5)]).differs is not True
        for _ in range(300)
    )
    assert missed < 15
