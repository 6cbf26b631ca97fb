# SPDX-License-Identifier: Apache-2.0
"""Compare two groups of observations by their ratio or difference, with a 95 % confidence interval and a p-value.

Observations of the same repetition share the seeds of their random losses and start times, so they are compared in
pairs.  Ratios are compared by their logarithms, of which the mean and Student's t-interval are taken; the ratio of the
sentence is therefore a geometric mean, and its interval is not symmetric.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from lab.analysis.comparison import holm
from lab.analysis.statistics import student_t, student_t_p_value

SAME = 0.05
"""Relative difference up to which two means count as the same in practice."""
SAME_DIFFERENCE = 0.02
"""The same for quantities that are compared by their difference."""
ALPHA = 0.05
"""The probability that any of the differences that are called clear is due to chance (Holm's correction)."""

_MOST_REPETITIONS = 100

Verdict = Literal["more", "less", "same", "unclear", "single"]
"""``single``: there is one observation of each, so chance cannot be told from an effect."""


@dataclass(frozen=True)
class Effect:
    """How the first of two groups differs from the second."""

    first: float
    """Mean of the first group."""
    second: float
    size: float | None
    """Ratio of the first to the second, or their difference; None if a ratio is asked for and a value is not positive.
    """
    low: float | None
    """Lower end of the 95 % confidence interval of the size; None if there is only one pair."""
    high: float | None
    p_value: float | None
    """Two-sided p-value of no effect; None if there is only one pair."""
    is_ratio: bool
    pairs: int
    """Number of repetitions that both groups have."""
    deviation: float | None = None
    """Standard deviation of the pairs' differences, or of the logarithms of their ratios; None for a single pair."""
    tests: float = 1.0
    """By how much the p-value has been multiplied because of other comparisons."""
    is_exact: bool = False
    """Whether all repetitions are equal because nothing differs between them."""

    @property
    def magnitude(self) -> float:
        """How large the effect is, 0 for none, to rank effects by."""
        if self.size is None:
            return math.inf
        return abs(math.log(self.size)) if self.is_ratio else abs(self.size)

    @property
    def verdict(self) -> Verdict:
        """What can be said about the two groups."""
        if self.is_exact or (self.pairs == 1 and self.p_value is None):
            found: Verdict = self._by_size()
            return found if self.is_exact else ("same" if found == "same" else "single")
        assert self.p_value is not None
        if self._is_within_same():
            return "same"
        if self.p_value <= ALPHA:
            return self._by_size(0.0)
        return "unclear"

    def repetitions_needed(self) -> int | None:
        """Return with how many repetitions a difference of this size and deviation would be clear.

        None if even :data:`_MOST_REPETITIONS` would not suffice, or if nothing is known of the deviation.
        """
        if self.size is None or self.deviation is None:
            return None
        mean = math.log(self.size) if self.is_ratio else self.size
        for n in range(2, _MOST_REPETITIONS + 1):
            if (
                self.deviation == 0
                or self.tests * student_t_p_value(mean * math.sqrt(n) / self.deviation, n - 1) <= ALPHA
            ):
                return n
        return None

    def _by_size(self, same: float | None = None) -> Verdict:
        none, margin = (1.0, SAME) if self.is_ratio else (0.0, SAME_DIFFERENCE)
        margin = margin if same is None else same
        if self.size is None:
            return "more" if self.first > self.second else "less"
        low, high = (none / (1 + margin), none * (1 + margin)) if self.is_ratio else (none - margin, none + margin)
        return "same" if low <= self.size <= high else "more" if self.size > none else "less"

    def _is_within_same(self) -> bool:
        if self.low is None or self.high is None:
            return False
        if self.is_ratio:
            return self.low > 1 / (1 + SAME) and self.high < 1 + SAME
        return self.low > -SAME_DIFFERENCE and self.high < SAME_DIFFERENCE


def effect(
    first: Mapping[int, float], second: Mapping[int, float], *, is_ratio: bool, is_exact: bool = False
) -> Effect:
    """Compare two groups, given as repetition → value; at least one repetition must be in both of them.

    *is_exact* says that nothing random is declared, so that the values are the same in each repetition.
    """
    shared = sorted(first.keys() & second.keys())
    a, b = [first[number] for number in shared], [second[number] for number in shared]
    means = math.fsum(a) / len(a), math.fsum(b) / len(b)
    if is_ratio and min(*a, *b) <= 0:
        # There is no ratio.  Whether the two differ is told by their difference.
        differing = effect(first, second, is_ratio=False, is_exact=is_exact)
        known = 1.0 if a == b else None
        return replace(differing, size=known, low=known, high=known, is_ratio=True)
    sizes = [math.log(x / y) if is_ratio else x - y for x, y in zip(a, b, strict=True)]
    mean, deviation, low, high, p_value = _student(sizes)
    if is_ratio:
        mean, low, high = math.exp(mean), _exp(low), _exp(high)
    return Effect(*means, mean, low, high, p_value, is_ratio, len(shared), deviation, is_exact=is_exact)


def times(found: Effect, tests: float) -> Effect:
    """Return the effect with a p-value that is corrected for this number of comparisons (Bonferroni)."""
    if found.p_value is None:
        return found
    return replace(found, p_value=min(1.0, found.p_value * tests), tests=found.tests * tests)


def corrected(effects: Sequence[Effect]) -> list[Effect]:
    """Return the effects with p-values that are corrected for their number (Holm)."""
    p_values = [found.p_value for found in effects if found.p_value is not None]
    adjusted = iter(zip(p_values, holm(p_values), strict=True))
    result = []
    for found in effects:
        if found.p_value is not None:
            before, after = next(adjusted)
            found = replace(found, p_value=after, tests=found.tests * (after / before if before else 1.0))
        result.append(found)
    return result


def _student(values: Sequence[float]) -> tuple[float, float | None, float | None, float | None, float | None]:
    """Return the mean of *values*, their deviation, the mean's 95 % confidence interval, and the p-value of mean 0."""
    n = len(values)
    mean = math.fsum(values) / n
    if n == 1:
        return mean, None, None, None, None
    error = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1) / n)
    # Rounding alone must not make equal values differ.
    if error <= 1e-12 * max(1.0, abs(mean)):
        return mean, 0.0, mean, mean, 1.0 if abs(mean) <= 1e-12 else 0.0
    margin = student_t(0.95, n - 1) * error
    return mean, error * math.sqrt(n), mean - margin, mean + margin, student_t_p_value(mean / error, n - 1)


def _exp(value: float | None) -> float | None:
    return None if value is None else math.exp(value)
