# SPDX-License-Identifier: Apache-2.0
"""Means, spreads and fairness over repetitions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

QUANTILES = (0.5, 0.95, 0.99)


@dataclass(frozen=True)
class Summary:
    """What repetitions of one measurement say."""

    n: int
    mean: float
    sd: float | None
    """Sample standard deviation (n-1); None for n = 1."""
    low: float
    high: float
    """Smallest and largest value."""
    ci95: float | None
    """Half the width of the 95 % confidence interval of the mean (Student's t); None for n = 1."""


def summarise(values: Sequence[float]) -> Summary | None:
    """Return the summary of *values*; None when there are none."""
    n = len(values)
    if n == 0:
        return None
    mean = math.fsum(values) / n
    if n == 1:
        return Summary(n, mean, None, values[0], values[0], None)
    sd = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    return Summary(n, mean, sd, min(values), max(values), student_t(0.95, n - 1) * sd / math.sqrt(n))


def student_t(confidence: float, degrees: int) -> float:
    """Return t such that Student's distribution lies within ±t with probability *confidence*.

    Exact to 1e-12: the closed form for whole degrees of freedom (Abramowitz and Stegun, 26.7.3 and 26.7.4)
    and bisection.
    """
    if not 0 < confidence < 1 or degrees < 1:
        raise ValueError(f"no quantile for confidence {confidence} and {degrees} degrees of freedom")
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


def _within(t: float, degrees: int) -> float:
    """Return the probability that Student's distribution lies within ±t."""
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
    """Return Jain's fairness index (Σx)²/(n·Σx²) (Jain, Chiu, Hawe: DEC-TR-301); None without values above 0."""
    squares = math.fsum(value * value for value in values)
    return math.fsum(values) ** 2 / (len(values) * squares) if squares > 0 else None


def median_index(values: Sequence[float]) -> int:
    """Return the place of the (lower) median of *values*, the first among equals."""
    if not values:
        raise ValueError("no median of nothing")
    order = sorted(range(len(values)), key=lambda place: (values[place], place))
    return order[(len(values) - 1) // 2]


@dataclass(frozen=True)
class Spread:
    """Least, quantiles and most of what was measured; None where nothing was."""

    min: float | None
    p50: float | None
    p95: float | None
    p99: float | None
    max: float | None


def spread(values: NDArray[np.float64]) -> Spread:
    if not len(values):
        return Spread(None, None, None, None, None)
    p50, p95, p99 = (float(value) for value in np.quantile(values, QUANTILES, method="inverted_cdf"))
    return Spread(float(values.min()), p50, p95, p99, float(values.max()))
