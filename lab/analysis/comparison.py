# SPDX-License-Identifier: Apache-2.0
"""Do two samples have the same mean?  Welch's t-test, for results that cannot be equal to the byte."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lab.analysis.statistics import student_t, summarise

CONFIDENCE = 0.99
"""One false alarm in a hundred comparisons."""


@dataclass(frozen=True)
class Comparison:
    """Two samples of one quantity."""

    first: float
    second: float
    """Their means."""
    margin: float | None
    """By how much means may differ that are the same; None: too few values to say."""

    @property
    def differs(self) -> bool | None:
        return None if self.margin is None else abs(self.first - self.second) > self.margin


def compare(first: Sequence[float], second: Sequence[float]) -> Comparison:
    """Compare two samples of at least one value each (B. L. Welch, Biometrika 34, 1947)."""
    one, other = summarise(first), summarise(second)
    assert one is not None
    assert other is not None
    if one.sd is None or other.sd is None:
        return Comparison(one.mean, other.mean, None)
    parts = one.sd**2 / one.n, other.sd**2 / other.n
    variance = sum(parts)
    if variance == 0:
        return Comparison(one.mean, other.mean, 0.0)
    degrees = variance**2 / (parts[0] ** 2 / (one.n - 1) + parts[1] ** 2 / (other.n - 1))
    # Whole degrees of freedom, rounded down: a little more careful.
    return Comparison(one.mean, other.mean, student_t(CONFIDENCE, max(1, math.floor(degrees))) * math.sqrt(variance))
