# SPDX-License-Identifier: Apache-2.0
"""Confidence intervals of means and medians: worked examples, limits, and their coverage where the truth is known."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from lab.analysis import intervals
from lab.analysis.intervals import BOOTSTRAP_FROM, Interval, interval


def of(values: list[float], bounds: intervals.Bounds = intervals.UNBOUNDED) -> intervals.Estimate:
    found = interval(values, bounds)
    assert found is not None
    return found


def test_three_values() -> None:
    """The mean of 1, 2 and 6 is 3, and their variance 7; t for 2 degrees of freedom is 4.30265."""
    found = of([1.0, 2.0, 6.0])
    half = 4.30265 * math.sqrt(7 / 3)
    assert (found.n, found.mean, found.median, found.of_median, found.reason) == (3, 3.0, 2.0, None, "")
    assert found.of_mean is not None
    assert (found.of_mean.low, found.of_mean.high) == pytest.approx((3 - half, 3 + half), rel=1e-5)
    assert (found.of_mean.method, found.of_mean.is_clipped) == ("student_t", False)


def test_no_interval_goes_beyond_what_is_possible() -> None:
    # Uncut, it is −3.57 to 9.57.
    found = of([1.0, 2.0, 6.0], (0.0, 8.0)).of_mean
    assert found == Interval(0.0, 8.0, "student_t", is_clipped=True)
    above = of([1.0, 2.0, 6.0], (None, 8.0)).of_mean
    assert above is not None
    assert (round(above.low, 3), above.high, above.is_clipped) == (-3.572, 8.0, True)
    # What was measured was possible.
    measured = of([1.0, 2.0, 6.0], (1.5, 5.5)).of_mean
    assert measured is not None
    assert (measured.low, measured.high) == (1.0, 6.0)
    wide = of([1.0, 2.0, 6.0], (-100.0, 100.0)).of_mean
    assert wide is not None
    assert not wide.is_clipped


def test_what_has_no_interval() -> None:
    assert interval([]) is None
    one = of([5.0])
    assert (one.mean, one.median, one.of_mean, one.of_median, one.reason) == (5.0, 5.0, None, None, intervals.ONE)
    for equal in ([0.0] * 3, [7.0] * 30, [0.1 + 0.2, 0.3, 0.3]):
        found = of(equal)
        assert (found.of_mean, found.of_median, found.reason) == (None, None, intervals.ALL_EQUAL)
    with pytest.raises(ValueError, match="not finite"):
        interval([1.0, math.nan])
    told = of([1.0, 2.0]).without_intervals("nothing is random")
    assert (told.mean, told.of_mean, told.reason) == (1.5, None, "nothing is random")


def test_many_values_have_scipys_bootstrap_interval_which_is_always_the_same() -> None:
    values = [float(value) for value in np.random.default_rng(5).lognormal(size=BOOTSTRAP_FROM)]
    found = of(values).of_mean
    assert found is not None
    assert found.method == "bca"
    rng = np.random.default_rng(intervals.SEED)
    expected = stats.bootstrap((values,), np.mean, n_resamples=9999, method="BCa", rng=rng).confidence_interval
    assert (found.low, found.high) == tuple(expected)
    intervals._interval.cache_clear()
    assert of(values).of_mean == found
    fewer = of(values[:-1]).of_mean
    assert fewer is not None
    assert fewer.method == "student_t"


def test_a_degenerate_bootstrap_gives_way_to_student_t() -> None:
    # The jackknife's deviations are so small that their cubes are 0.
    values = [0.0] * (BOOTSTRAP_FROM - 1) + [1e-200]
    with np.errstate(all="ignore"), pytest.warns(stats.DegenerateDataWarning):
        degenerate = stats.bootstrap((values,), np.mean, method="BCa", rng=np.random.default_rng(1)).confidence_interval
    assert math.isnan(degenerate.low)
    found = of(values).of_mean
    assert found is not None
    assert found.method == "student_t"


DISTRIBUTIONS: dict[str, tuple[Callable[[random.Random], float], float]] = {
    "normal": (lambda draw: draw.gauss(10, 1), 10.0),
    "uniform": (lambda draw: draw.uniform(0, 2), 1.0),
    "exponential": (lambda draw: draw.expovariate(1), 1.0),
}


def coverage(name: str, n: int, samples: int, bounds: intervals.Bounds = intervals.UNBOUNDED) -> float:
    one, truth = DISTRIBUTIONS[name]
    draw, hits = random.Random(f"{name} {n}"), 0
    for _ in range(samples):
        found = of([one(draw) for _ in range(n)], bounds).of_mean
        assert found is not None
        hits += found.low <= truth <= found.high
    return hits / samples


@pytest.mark.parametrize(
    ("name", "n", "least"),
    # A skewed distribution is beyond any method with few values; docs/explanation/statistics.md has the numbers.
    [("normal", 2, 0.95), ("normal", 3, 0.95), ("normal", 5, 0.95), ("uniform", 3, 0.92), ("exponential", 3, 0.88)],
)
def test_coverage_with_few_repetitions(name: str, n: int, least: float) -> None:
    standard_error = math.sqrt(0.05 * 0.95 / 2000)
    assert least - 3 * standard_error <= coverage(name, n, 2000) <= least + 0.03
    # Limits that the truth keeps take nothing from the confidence.
    cut = coverage(name, n, 2000, (0.0, 1e9))
    assert cut == coverage(name, n, 2000)


@pytest.mark.parametrize(("name", "least"), [("normal", 0.925), ("exponential", 0.90)])
def test_coverage_with_many_repetitions(name: str, least: float) -> None:
    assert least - 3 * math.sqrt(least * (1 - least) / 600) <= coverage(name, BOOTSTRAP_FROM, 600) <= 0.97


def test_a_percentile_bootstrap_of_few_would_claim_too_much() -> None:
    """This is why few repetitions have Student's interval: three resampled values are right in 3 of 4 cases."""
    draw, rng, hits = random.Random(1), np.random.default_rng(1), 0
    for _ in range(1000):
        values = np.array([draw.gauss(10, 1) for _ in range(3)])
        means = values[rng.integers(0, 3, (1000, 3))].mean(axis=1)
        low, high = np.quantile(means, [0.025, 0.975])
        hits += low <= 10 <= high
    assert hits / 1000 < 0.8
