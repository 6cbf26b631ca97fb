# SPDX-License-Identifier: Apache-2.0
"""Paired comparisons: Darwin's maize as Fisher worked it out, scipy's tests, and false alarms where nothing differs."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from lab.analysis.intervals import ALL_EQUAL
from lab.analysis.paired import MOST_EXACT, TOO_FEW, Paired, exact_p_value, paired


def of(a: list[float], b: list[float]) -> Paired:
    found = paired(a, b)
    assert found is not None
    return found


MAIZE = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
"""How much taller 15 crossed plants were than self-fertilised ones of the same pot, in eighths of an inch."""


def test_darwins_maize() -> None:
    """R. A. Fisher, The Design of Experiments, 1935: t = 2.148 (section 17), and 1726 of 32 768 signs (section 21)."""
    found = of([float(value) for value in MAIZE], [0.0] * 15)
    assert found.exact_p_value == 1726 / 32768
    assert found.p_value == pytest.approx(stats.ttest_1samp(MAIZE, 0).pvalue, rel=1e-12)
    assert found.p_value == pytest.approx(0.0497, abs=1e-4)
    assert found.difference == pytest.approx(314 / 15)
    # t is the effect size d_z times √n; Hedges' correction for 14 degrees of freedom is about 1 − 3/(4 × 14 − 1).
    assert found.effect_size == pytest.approx(2.148 / math.sqrt(15) * (1 - 3 / 55), rel=1e-3)
    assert found.of_difference is not None
    expected = stats.ttest_1samp(MAIZE, 0).confidence_interval(0.95)
    assert (found.of_difference.low, found.of_difference.high) == pytest.approx(tuple(expected))
    assert found.of_difference.low > 0
    assert (found.ratio, found.of_ratio, found.reason) == (None, None, "")


def test_three_repetitions_by_hand() -> None:
    """a/b is 2, 4 and 8 times: the logarithms to base 2 are 1, 2 and 3, with the mean 2 and the deviation 1."""
    found = of([2.0, 8.0, 24.0], [1.0, 2.0, 3.0])
    assert (found.n, found.first, found.second) == (3, 34 / 3, 2.0)
    assert found.difference == pytest.approx(28 / 3)
    assert found.ratio == pytest.approx(4)
    assert found.of_ratio is not None
    half = 4.30265 / math.sqrt(3)
    assert (found.of_ratio.low, found.of_ratio.high) == pytest.approx((2 ** (2 - half), 2 ** (2 + half)), rel=1e-5)
    # With the cells exchanged, everything is reversed.
    back = of([1.0, 2.0, 3.0], [2.0, 8.0, 24.0])
    assert back.ratio == pytest.approx(0.25)
    assert back.difference == pytest.approx(-28 / 3)
    assert back.p_value == pytest.approx(found.p_value)
    # 2 of the 8 signs have the largest sum.
    assert found.exact_p_value == back.exact_p_value == 0.25


@pytest.mark.parametrize("n", [3, 5, 8, 12])
def test_p_values_are_those_of_scipy(n: int) -> None:
    rng = np.random.default_rng(n)
    a, b = rng.exponential(size=n), rng.exponential(size=n)
    found = of(a.tolist(), b.tolist())
    assert found.p_value == pytest.approx(stats.ttest_rel(a, b).pvalue, rel=1e-9)
    exact = stats.permutation_test(
        (a - b,), np.mean, permutation_type="samples", n_resamples=np.inf, vectorized=True
    ).pvalue
    assert found.exact_p_value == pytest.approx(exact)
    difference = a - b
    correction = math.gamma((n - 1) / 2) / math.sqrt((n - 1) / 2) / math.gamma((n - 2) / 2)
    assert found.effect_size == pytest.approx(difference.mean() / difference.std(ddof=1) * correction)


def test_few_repetitions() -> None:
    assert paired([], []) is None
    with pytest.raises(ValueError, match="zip"):
        paired([1.0], [1.0, 2.0])
    one = of([3.0], [1.0])
    assert (one.difference, one.of_difference, one.of_ratio) == (2.0, None, None)
    assert one.ratio == pytest.approx(3)
    assert (one.p_value, one.exact_p_value, one.effect_size, one.reason) == (None, 1.0, None, TOO_FEW)
    two = of([3.0, 5.0], [1.0, 2.0])
    assert (two.p_value, two.exact_p_value, two.effect_size, two.reason) == (None, 0.5, None, TOO_FEW)
    assert two.of_difference is not None


def test_equal_differences() -> None:
    """Their deviation is 0, but five equal differences do not prove what infinitely many would."""
    found = of([2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 2.0, 3.0, 4.0, 5.0])
    assert (found.difference, found.of_difference, found.effect_size, found.reason) == (1.0, None, None, ALL_EQUAL)
    assert found.p_value == found.exact_p_value == 2 / 32
    same = of([2.0, 3.0, 4.0], [2.0, 3.0, 4.0])
    assert (same.p_value, same.ratio, same.of_ratio) == (1.0, 1.0, None)
    many = of([2.0] * 40, [1.0] * 40)
    assert many.p_value == 2 / 2**40
    assert of([1.0] * 40, [1.0] * 40).p_value == 1.0


def test_more_repetitions_than_can_be_tried_have_student_t() -> None:
    draw = random.Random(2)
    a = [draw.gauss(0.3, 1) for _ in range(MOST_EXACT + 1)]
    found = of(a, [0.0] * len(a))
    assert found.exact_p_value == found.p_value
    fewer = of(a[1:], [0.0] * MOST_EXACT)
    assert fewer.p_value is not None
    assert fewer.exact_p_value != fewer.p_value
    assert fewer.exact_p_value == pytest.approx(fewer.p_value, abs=0.05)


def test_exact_p_values_count_signs() -> None:
    differences = [3.0, -1.0, 0.5, 2.0]
    sums = [
        abs(sum(sign * d for sign, d in zip(signs, differences, strict=True)))
        for signs in itertools.product((1, -1), repeat=4)
    ]
    assert exact_p_value(differences) == sum(value >= 4.5 for value in sums) / 16


DIFFERENCES: dict[str, Callable[[random.Random], float]] = {
    "normal": lambda draw: draw.gauss(0, 1),
    "of skewed values": lambda draw: draw.lognormvariate(0, 1) - draw.lognormvariate(0, 1),
    "of two modes": lambda draw: (draw.random() < 0.5) - (draw.random() < 0.5) + draw.gauss(0, 0.02),
    "of counts": lambda draw: float(draw.randrange(4) - draw.randrange(4)),
}


@pytest.mark.parametrize("name", DIFFERENCES)
@pytest.mark.parametrize("n", [3, 5, 10])
def test_false_alarms_are_as_rare_as_said(name: str, n: int) -> None:
    draw = random.Random(f"{name} {n}")
    alarms = exact_alarms = 0
    for _ in range(2000):
        found = of([DIFFERENCES[name](draw) for _ in range(n)], [0.0] * n)
        assert found.p_value is not None
        alarms += found.p_value <= 0.05
        exact_alarms += found.exact_p_value <= 0.05
    limit = 2000 * 0.05 + 4 * math.sqrt(2000 * 0.05 * 0.95)
    assert alarms <= limit
    assert exact_alarms <= limit
    # Fewer than six repetitions have no sign-flip p-value below 0.05.
    assert exact_alarms == 0 or n >= 6


def test_common_random_numbers_show_what_separate_ones_hide() -> None:
    """Both cells have the same large random part; their small difference is certain only in pairs."""
    draw, shown = random.Random(4), 0
    for _ in range(200):
        common = [draw.gauss(100, 10) for _ in range(5)]
        a, b = [value + draw.gauss(2, 0.5) for value in common], [value + draw.gauss(0, 0.5) for value in common]
        found = of(a, b)
        assert found.p_value is not None
        assert found.of_difference is not None
        assert (found.p_value <= 0.05) == (not found.of_difference.low <= 0 <= found.of_difference.high)
        shown += found.p_value <= 0.05
    assert shown > 180
