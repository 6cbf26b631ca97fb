# SPDX-License-Identifier: Apache-2.0
"""Compare two groups of observations by their ratio or difference, with a 95 % confidence interval and a p-value.

Observations of the same repetition share the seeds of their random losses and start times, so they are compared in
pairs (:mod:`lab.analysis.paired`).  Ratios are compared by their logarithms, of which the mean and Student's t-interval
are taken; the ratio of the sentence is therefore a geometric mean, and its interval is not symmetric.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from lab.analysis.comparison import holm
from lab.analysis.intervals import EQUAL
from lab.analysis.paired import FEWEST, paired
from lab.analysis.statistics import student_t_p_value, summarise

SAME = 0.05
"""Relative difference up to which two means count as the same in practice."""
SAME_DIFFERENCE = 0.02
"""The same for quantities that are compared by their difference."""
ALPHA = 0.05
"""The probability that any of the differences that are called clear is due to chance (Holm's correction)."""

_MOST_REPETITIONS = 100

Verdict = Literal["more", "less", "same", "unclear", "few"]
"""``few``: the groups differ, but there are too few repetitions to tell an effect from chance."""


TOLD: tuple[Verdict, ...] = ("more", "less", "few")
"""The verdicts on effects whose size is told."""


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
    """Lower end of the 95 % confidence interval of the size; None with too few repetitions, or equal ones."""
    high: float | None
    p_value: float | None
    """Two-sided p-value of no effect; None with too few repetitions."""
    is_ratio: bool
    pairs: int
    """Number of repetitions that both groups have."""
    deviation: float | None = None
    """Standard deviation of the pairs' differences, or of the logarithms of their ratios; None for a single pair."""
    tests: float = 1.0
    """By how much the p-value has been multiplied because of other comparisons."""
    is_exact: bool = False
    """Whether the repetitions of each group are equal, so that chance has no part in the difference."""
    effect_size: float | None = None
    """Hedges' g of the pairs' differences, or of the logarithms of their ratios (:class:`lab.analysis.paired.Paired`).
    """
    agreeing: int = 0
    """Number of pairs that differ in the direction of their mean; 0 if the groups are not compared in pairs."""

    @property
    def magnitude(self) -> float:
        """How large the effect is, 0 for none, to rank effects by."""
        if self.size is None:
            return math.inf
        return abs(math.log(self.size)) if self.is_ratio else abs(self.size)

    @property
    def verdict(self) -> Verdict:
        """What can be said about the two groups."""
        if self.is_exact or self.p_value is None:
            found = self._by_size()
            return found if self.is_exact or found == "same" else "few"
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
    first: Mapping[Any, float], second: Mapping[Any, float], *, is_ratio: bool, is_exact: bool = False
) -> Effect:
    """Compare two groups, given as repetition → value; at least one repetition must be in both of them.

    *is_exact* says that nothing is random, so that further repetitions would be equal.  Three or more repetitions that
    could differ, such as in their start times, but have exactly equal values in both groups are taken to show the same.
    """
    shared = sorted(first.keys() & second.keys())
    a, b = [first[number] for number in shared], [second[number] for number in shared]
    means = math.fsum(a) / len(a), math.fsum(b) / len(b)
    is_exact = is_exact or (len(shared) >= FEWEST and _are_equal(a) and _are_equal(b))
    if is_ratio and min(*a, *b) <= 0:
        # There is no ratio.  Whether the two differ is told by their difference.
        differing = effect(first, second, is_ratio=False, is_exact=is_exact)
        known = 1.0 if a == b else None
        return replace(differing, size=known, low=known, high=known, is_ratio=True)
    if is_ratio:
        a, b = list(map(math.log, a)), list(map(math.log, b))
    found = paired(a, b)
    spread = summarise([one - other for one, other in zip(a, b, strict=True)])
    assert found is not None
    assert spread is not None
    # The interval of two repetitions is about twelve times as wide as their spread, and says nothing.
    interval = found.of_difference if len(shared) >= FEWEST else None
    limits = (None, None) if interval is None else (interval.low, interval.high)
    size, low, high = (_exp(value) if is_ratio else value for value in (found.difference, *limits))
    return Effect(
        *means,
        size,
        low,
        high,
        found.p_value,
        is_ratio,
        len(shared),
        spread.sd,
        is_exact=is_exact,
        effect_size=found.effect_size,
        agreeing=sum((one - other) * found.difference > 0 for one, other in zip(a, b, strict=True)),
    )


def _are_equal(values: Sequence[float]) -> bool:
    """Return whether values differ by rounding at most."""
    return max(values) - min(values) <= EQUAL * max(map(abs, values))


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


def _exp(value: float | None) -> float | None:
    # With few repetitions, the limits of the logarithm can be too large for any number.
    return None if value is None else math.exp(max(-700.0, min(value, 700.0)))
