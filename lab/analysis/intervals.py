# SPDX-License-Identifier: Apache-2.0
"""The mean and the median of repetitions, each with a 95 % confidence interval.

Which interval of the mean has the confidence that it claims depends on the number of repetitions n.  With few of them,
bootstrap intervals are far too narrow: resampling three values cannot show a fourth.  Below :data:`BOOTSTRAP_FROM`
repetitions, the interval is that of Student's t, which is exact for values of a normal distribution, and from there on
the bootstrap's (BCa), which also follows a skewed distribution.  ``docs/explanation/statistics.md`` has the measured
coverage of both.
"""

from __future__ import annotations

import math
import statistics
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from lab.analysis.order_statistics import quantile_interval
from lab.analysis.statistics import student_t, summarise

CONFIDENCE = 0.95
BOOTSTRAP_FROM = 20
"""Number of repetitions from which the interval of the mean is the bootstrap's."""
RESAMPLES = 9999
SEED = 1
"""Seed of the resampling: the same values always have the same interval."""
EQUAL = 1e-12
"""Values whose range is at most this share of the largest are equal: they differ by rounding only."""

Method = Literal["student_t", "bca", "order_statistics"]
Bounds = tuple[float | None, float | None]
"""The smallest and the largest value that the quantity can have; None where there is no limit."""
UNBOUNDED: Bounds = (None, None)

ONE = "one repetition shows no variation"
ALL_EQUAL = "the repetitions have equal values"


@dataclass(frozen=True)
class Interval:
    """A confidence interval."""

    low: float
    high: float
    method: Method
    is_clipped: bool = False
    """Whether the interval was cut at a limit of the quantity, such as the rate of the link."""


@dataclass(frozen=True)
class Estimate:
    """The mean and the median of one quantity over repetitions."""

    n: int
    """Number of values."""
    mean: float
    median: float
    of_mean: Interval | None
    """95 % confidence interval of the mean; None if there is none, which :attr:`reason` explains."""
    of_median: Interval | None
    """95 % confidence interval of the median; None with fewer than 6 values, and for the same reasons."""
    reason: str = ""
    """Why there is no interval of the mean; empty if there is one."""

    def without_intervals(self, reason: str) -> Estimate:
        """Return the same estimate without intervals, for *reason*."""
        return Estimate(self.n, self.mean, self.median, None, None, reason)


def interval(values: Sequence[float], bounds: Bounds = UNBOUNDED) -> Estimate | None:
    """Return the mean and the median of *values* with 95 % confidence intervals; None if there are no values.

    A single value has no interval.  Nor have equal values: their standard deviation is 0, but repetitions that could
    differ do not become certain by coming out equal.  The interval of the median is that of its order statistics
    (:mod:`lab.analysis.order_statistics`), which no distribution of the values can make too narrow.

    No interval reaches beyond *bounds*.  The true mean cannot lie there either, so that cutting off this part takes
    nothing from the confidence.  Transforming the values instead (log, logit) would change what is estimated.  If a
    measured value exceeds a bound, it is the bound.

    Raises:
        ValueError: A value is not finite.
    """
    return _interval(tuple(values), bounds) if len(values) else None


@lru_cache(maxsize=4096)
def _interval(values: tuple[float, ...], bounds: Bounds) -> Estimate:
    if not all(map(math.isfinite, values)):
        raise ValueError(f"there is no interval of values that are not finite: {values}")
    n, mean, median = len(values), math.fsum(values) / len(values), float(statistics.median(values))
    least, most = min(values), max(values)
    if n == 1:
        return Estimate(n, mean, median, None, None, ONE)
    if most - least <= EQUAL * max(abs(least), abs(most)):
        return Estimate(n, mean, median, None, None, ALL_EQUAL)
    ranks = quantile_interval(values)
    return Estimate(
        n,
        mean,
        median,
        of_mean=clipped(_of_mean(values), bounds, (least, most)),
        of_median=Interval(*ranks, "order_statistics") if ranks else None,
    )


def clipped(found: Interval, bounds: Bounds, measured: tuple[float, float]) -> Interval:
    """Return the part of an interval within *bounds*, or within the range of what was *measured* if that is wider."""
    low = found.low if bounds[0] is None else max(found.low, min(bounds[0], measured[0]))
    high = found.high if bounds[1] is None else min(found.high, max(bounds[1], measured[1]))
    return Interval(low, high, found.method, is_clipped=(low, high) != (found.low, found.high))


def _of_mean(values: tuple[float, ...]) -> Interval:
    return (_bca(values) if len(values) >= BOOTSTRAP_FROM else None) or t_interval(values)


def t_interval(values: Sequence[float]) -> Interval:
    """Return Student's t interval of the mean of at least two values."""
    summary = summarise(values)
    assert summary is not None
    assert summary.sd is not None
    half = student_t(CONFIDENCE, summary.n - 1) * summary.sd / math.sqrt(summary.n)
    return Interval(summary.mean - half, summary.mean + half, "student_t")


def _bca(values: tuple[float, ...]) -> Interval | None:
    """Return the BCa interval of the mean; None if it is degenerate.

    It is degenerate if all resampled means lie on one side of the mean, or if the jackknife's values are equal but for
    rounding; its limits are then not finite numbers.
    """
    import numpy as np
    from scipy import stats

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        found = stats.bootstrap(
            (np.array(values),),
            np.mean,
            n_resamples=RESAMPLES,
            confidence_level=CONFIDENCE,
            method="BCa",
            vectorized=True,
            rng=np.random.default_rng(SEED),
        ).confidence_interval
    low, high = float(found.low), float(found.high)
    return Interval(low, high, "bca") if math.isfinite(low) and math.isfinite(high) else None
