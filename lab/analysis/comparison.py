# SPDX-License-Identifier: Apache-2.0
"""Welch's t-test of whether two samples have the same mean, for results that are never byte-identical."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lab.analysis.statistics import student_t, summarise

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

    @property
    def differs(self) -> bool | None:
        """Whether the means differ by more than chance may explain; None if there are too few values to tell."""
        return None if self.margin is None else abs(self.first - self.second) > self.margin


def compare(first: Sequence[float], second: Sequence[float], confidence: float = CONFIDENCE) -> Comparison:
    """Compare the means of two samples of at least one value each (B. L. Welch, Biometrika 34, 1947)."""
    a, b = summarise(first), summarise(second)
    assert a is not None
    assert b is not None
    if a.sd is None or b.sd is None:
        return Comparison(a.mean, b.mean, None)
    parts = a.sd**2 / a.n, b.sd**2 / b.n
    variance = sum(parts)
    if variance == 0:
        return Comparison(a.mean, b.mean, 0.0)
    degrees = variance**2 / (parts[0] ** 2 / (a.n - 1) + parts[1] ** 2 / (b.n - 1))
    # student_t() takes whole degrees of freedom.  Rounding down makes the margin slightly larger.
    return Comparison(a.mean, b.mean, student_t(confidence, max(1, math.floor(degrees))) * math.sqrt(variance))
