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
    """Half the width of the 95 % confidence interval of the mean (Student's t); None for n = 1."""


def summarise(values: Sequence[float]) -> Summary | None:
    """Return the summary of *values*; None if there are no values."""
    n = len(values)
    if n == 0:
        return None
    mean = math.fsum(values) / n
    if n == 1:
        return Summary(n, mean, None, values[0], values[0], None)
    sd = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    return Summary(n, mean, sd, min(values), max(values), student_t(0.95, n - 1) * sd / math.sqrt(n))


def student_t(confidence: float, degrees: int) -> float:
    """Return t such that a value of Student's t-distribution lies within ±t with probability *confidence*.

    The relative error is 1e-12.  The function inverts the closed form for whole degrees of freedom (Abramowitz and
    Stegun, 26.7.3 and 26.7.4) by bisection.

    Raises:
        ValueError: *confidence* is not between 0 and 1, or *degrees* is less than 1.
    """
    if not 0 < confidence < 1 or degrees < 1:
        raise ValueError(f"there is no quantile for confidence {confidence} and {degrees} degrees of freedom")
    low, high = 0.0, 1.0
    while _within(high, degrees) < confidence:
        high *= 2
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        if _within(middle, degrees) < confidence:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def student_t_p_value(t: float, degrees: int) -> float:
    """Return the probability that a value of Student's t-distribution lies outside ±t (the two-sided p-value).

    The absolute error is 1e-15.

    Raises:
        ValueError: *degrees* is less than 1.
    """
    if degrees < 1:
        raise ValueError(f"there is no t-distribution with {degrees} degrees of freedom")
    return max(0.0, 1.0 - _within(abs(t), degrees))


def _within(t: float, degrees: int) -> float:
    """Return the probability that a value of Student's t-distribution lies within ±t."""
    angle = math.atan(t / math.sqrt(degrees))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = degrees % 2 == 1
    term = cosine if odd else 1.0
    total = 0.0 if degrees == 1 else term
    for k in range(3 if odd else 2, degrees - 1, 2):
        term *= cosine**2 * (k - 1) / k
        total += term
    return 2 / math.pi * (angle + sine * total) if odd else sine * total


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
