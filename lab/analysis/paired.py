# SPDX-License-Identifier: Apache-2.0
"""Whether one cell is better than another: differences of the repetitions that share their seed.

All cells of a repetition have the same seed (:func:`lab.experiment.resolve.job.trial_seed`), so that they meet the same
random start times, arrivals and losses ("common random numbers").  What the draws do to both cells alike cancels out in
the difference of the two, and the interval of the mean difference is narrower than that of the means.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lab.analysis.intervals import ALL_EQUAL, EQUAL, Interval, t_interval
from lab.analysis.statistics import student_t_p_value, summarise

FEWEST = 3
"""Number of repetitions from which there is a p-value of Student's t.

Of two differences, a distribution with two modes often gives the same one twice: of such pairs of equal cells, 13 in
100 would then seem to differ at the level 5 %.
"""
MOST_EXACT = 16
"""Number of repetitions up to which all 2ⁿ signs are tried; from there on, Student's t is as good."""

TOO_FEW = f"fewer than {FEWEST} repetitions"


@dataclass(frozen=True)
class Paired:
    """The comparison of two cells, a and b, by their repetitions with the same seed."""

    n: int
    """Number of repetitions."""
    first: float
    """Mean of a."""
    second: float
    """Mean of b."""
    difference: float
    """Mean of a − b."""
    of_difference: Interval | None
    """95 % confidence interval of the mean difference (Student's t); None for one repetition and equal differences."""
    ratio: float | None
    """Geometric mean of a / b; None unless all values are positive."""
    of_ratio: Interval | None
    """95 % confidence interval of this ratio: that of the mean of log(a / b), taken to the power of e."""
    effect_size: float | None
    """Hedges' g of paired differences: their mean in units of their standard deviation, without its bias for small n.

    None with fewer than three repetitions, and for equal differences.
    """
    p_value: float | None
    """Probability of a mean difference of this size or more, in either direction, if a and b are equal.

    It is that of the paired t-test, so that it is below 0.05 exactly where :attr:`of_difference` excludes 0.  None with
    fewer than :data:`FEWEST` repetitions.  If all differences are equal, it is :attr:`exact_p_value`.
    """
    exact_p_value: float
    """The same by the exact sign-flip test, which assumes no distribution; it cannot be smaller than 2/2ⁿ.

    With more than :data:`MOST_EXACT` repetitions, it is that of the t-test.
    """
    reason: str = ""
    """Why there is no p-value, or no interval; empty if there are both."""


def paired(a: Sequence[float], b: Sequence[float]) -> Paired | None:
    """Compare two cells; a[i] and b[i] are from repetitions with the same seed.  None if there are no repetitions.

    The differences d = a − b are taken to be symmetrical around their mean, which they are if a and b have the same
    distribution.  The effect size is d's mean divided by its standard deviation (Cohen's d_z: D. Lakens, Frontiers in
    Psychology 4:863, 2013), multiplied by Hedges' correction Γ(m/2) / (√(m/2) Γ((m − 1)/2)) for m = n − 1
    (L. V. Hedges, Journal of Educational Statistics 6(2), 1981).  The exact test is R. A. Fisher's (The Design of
    Experiments, 1935, section 21).

    Raises:
        ValueError: *a* and *b* have different lengths.
    """
    differences = [one - other for one, other in zip(a, b, strict=True)]
    if not differences:
        return None
    n, mean = len(differences), math.fsum(differences) / len(differences)
    is_equal = max(differences) - min(differences) <= EQUAL * max(map(abs, (*a, *b)), default=0.0)
    t_p_value = None if n == 1 or is_equal else _t_p_value(differences)
    exact = exact_p_value(differences) if n <= MOST_EXACT or t_p_value is None else t_p_value
    ratios = [math.log(one / other) for one, other in zip(a, b, strict=True)] if min(*a, *b) > 0 else None
    reason = TOO_FEW if n < FEWEST else ALL_EQUAL if is_equal else ""
    return Paired(
        n=n,
        first=math.fsum(a) / n,
        second=math.fsum(b) / n,
        difference=mean,
        of_difference=None if n == 1 or is_equal else t_interval(differences),
        ratio=None if ratios is None else math.exp(math.fsum(ratios) / n),
        of_ratio=None if ratios is None else _of_ratio(ratios),
        effect_size=None if n == 1 or is_equal else _effect_size(differences),
        p_value=None if n < FEWEST else exact if t_p_value is None else t_p_value,
        exact_p_value=exact,
        reason=reason,
    )


def exact_p_value(differences: Sequence[float]) -> float:
    """Return the two-sided p-value of the sign-flip test: the share of all 2ⁿ signs with a sum as far from 0 as this.

    If a and b have the same distribution, each difference is as likely as its negative.
    """
    if len(differences) > MOST_EXACT:
        # All signs of so many would take too long.  Only equal differences come here: their sum is the largest.
        return 2.0 ** (1 - len(differences)) if any(differences) else 1.0
    sums = np.zeros(1)
    for value in differences:
        sums = np.concatenate([sums + value, sums - value])
    least = abs(math.fsum(differences)) * (1 - 1e-9)
    return float(np.count_nonzero(np.abs(sums) >= least)) / len(sums)


def _t_p_value(differences: Sequence[float]) -> float:
    summary = summarise(differences)
    assert summary is not None
    assert summary.sd is not None
    return student_t_p_value(summary.mean / (summary.sd / math.sqrt(summary.n)), summary.n - 1)


def _effect_size(differences: Sequence[float]) -> float | None:
    summary = summarise(differences)
    assert summary is not None
    m = summary.n - 1
    if m < 2 or not summary.sd:
        return None
    correction = math.exp(math.lgamma(m / 2) - math.lgamma((m - 1) / 2)) / math.sqrt(m / 2)
    return summary.mean / summary.sd * correction


def _of_ratio(logarithms: Sequence[float]) -> Interval | None:
    if len(logarithms) == 1 or max(logarithms) - min(logarithms) <= EQUAL:
        return None
    found = t_interval(logarithms)
    # With two repetitions, the limits of the logarithm can be too large for any number.
    low, high = (math.exp(max(-700.0, min(limit, 700.0))) for limit in (found.low, found.high))
    return Interval(low, high, "student_t")
