# SPDX-License-Identifier: Apache-2.0
"""Welch's t-test of whether two samples have the same mean, for results that are never byte-identical."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lab.analysis.statistics import student_t, student_t_p_value, summarise

CONFIDENCE = 0.99
"""Confidence of the test: one comparison in a hundred reports a difference that does not exist."""


@dataclass(frozen=True)
class Comparison:
    """The comparison of two samples of one quantity."""

    first: float
    """Mean of the first sample."""
    second: float
    """Mean of the second sample."""
    margin: float | None
    """Largest difference between the two means that chance may explain; None if a sample has only one value."""
    p_value: float | None
    """Probability of a difference of this size or more between samples of equal means; None as for the margin."""


def compare(first: Sequence[float], second: Sequence[float], confidence: float = CONFIDENCE) -> Comparison:
    """Compare the means of two samples of at least one value each (B. L. Welch, Biometrika 34, 1947)."""
    a, b = summarise(first), summarise(second)
    assert a is not None
    assert b is not None
    if a.sd is None or b.sd is None:
        return Comparison(a.mean, b.mean, None, None)
    parts = a.sd**2 / a.n, b.sd**2 / b.n
    variance = math.fsum(parts)
    if variance == 0:
        return Comparison(a.mean, b.mean, 0.0, 1.0 if a.mean == b.mean else 0.0)
    degrees = variance**2 / (parts[0] ** 2 / (a.n - 1) + parts[1] ** 2 / (b.n - 1))
    error = math.sqrt(variance)
    p_value = student_t_p_value((a.mean - b.mean) / error, degrees)
    return Comparison(a.mean, b.mean, student_t(confidence, degrees) * error, p_value)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values of tests, adjusted for their number (S. Holm, Scandinavian Journal of Statistics 6, 1979).

    If those tests are rejected whose adjusted p-value is at most α, the probability that any of them is rejected
    wrongly is at most α, whichever of them are true, and however they depend on each other.
    """
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted
