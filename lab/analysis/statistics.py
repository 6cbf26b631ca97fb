# SPDX-License-Identifier: Apache-2.0
"""Statistics: means, confidence intervals and quantiles of samples, and Jain's fairness index."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

QUANTILES = (0.5, 0.95, 0.99)


@dataclass(frozen=True)
class Summary:
    """Summary statistics of the repetitions of one measurement."""

    n: int
    """Number of values."""
    mean: float
    sd: float | None
    """Sample standard deviation (with n-1 in the denominator); None for n = 1."""
    low: float
    """Smallest value."""
    high: float
    """Largest value."""
    ci95: float | None
    """Half the width of the 95 % confidence interval of the mean (Student's t); None for n = 1 and for equal values.

    :func:`lab.analysis.intervals.interval` returns the interval that reports show.
    """


def summarise(values: Sequence[float]) -> Summary | None:
    """Return the summary of *values*; None if there are no values."""
    n = len(values)
    if n == 0:
        return None
    mean = math.fsum(values) / n
    if n == 1:
        return Summary(n, mean, None, values[0], values[0], None)
    low, high = min(values), max(values)
    if low == high:
        return Summary(n, low, 0.0, low, high, None)
    sd = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    return Summary(n, mean, sd, low, high, student_t(0.95, n - 1) * sd / math.sqrt(n))


def student_t(confidence: float, degrees: float) -> float:
    """Return t such that a value of Student's t-distribution lies within ±t with probability *confidence*.

    Raises:
        ValueError: *confidence* is not between 0 and 1, or *degrees* is not positive.
    """
    # Loading scipy takes longer than most commands do, and most of them need no statistics.
    from scipy.special import stdtrit

    if not 0 < confidence < 1 or degrees <= 0:
        raise ValueError(f"there is no quantile for confidence {confidence} and {degrees} degrees of freedom")
    return float(stdtrit(degrees, (1 + confidence) / 2))


def student_t_p_value(t: float, degrees: float) -> float:
    """Return the probability that a value of Student's t-distribution lies outside ±t (the two-sided p-value).

    Raises:
        ValueError: *degrees* is not positive.
    """
    from scipy.special import stdtr

    if degrees <= 0:
        raise ValueError(f"there is no t-distribution with {degrees} degrees of freedom")
    return float(2 * stdtr(degrees, -abs(t)))


def jain_index(values: Sequence[float]) -> float | None:
    """Return Jain's fairness index (Σx)²/(n·Σx²) (Jain, Chiu, Hawe: DEC-TR-301); None if no value is above 0."""
    squares = math.fsum(value * value for value in values)
    return math.fsum(values) ** 2 / (len(values) * squares) if squares > 0 else None


def median_index(values: Sequence[float]) -> int:
    """Return the index of the median of *values*: the lower of two medians, and the first of equal values.

    Raises:
        ValueError: There are no values.
    """
    if not values:
        raise ValueError("there is no median without values")
    order = sorted(range(len(values)), key=lambda place: (values[place], place))
    return order[(len(values) - 1) // 2]


@dataclass(frozen=True)
class Spread:
    """Smallest value, quantiles and largest value of a sample; all are None if the sample is empty."""

    min: float | None
    p50: float | None
    p95: float | None
    p99: float | None
    max: float | None


def spread(values: NDArray[np.float64]) -> Spread:
    """Return the spread of *values*.  Each quantile is one of the values; nothing is interpolated."""
    if not len(values):
        return Spread(None, None, None, None, None)
    p50, p95, p99 = (float(value) for value in np.quantile(values, QUANTILES, method="inverted_cdf"))
    return Spread(float(values.min()), p50, p95, p99, float(values.max()))
