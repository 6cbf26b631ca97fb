# SPDX-License-Identifier: Apache-2.0
"""Percentiles of repetitions without any assumption about their distribution: intervals, and how sure they are.

If n repetitions are independent and come from one distribution, the number of them that lie below its percentile q is
binomial: B(n, q).  Sorted values therefore enclose a percentile with a probability that depends on their ranks alone
(W. R. Thompson, Annals of Mathematical Statistics 7, 1936; J.-Y. Le Boudec, "Performance Evaluation of Computer and
Communication Systems", 2010, section 2.2).  TriScale builds its indicators of performance on this (R. Jacob, M.
Zimmerling, C. A. Boano, L. Vanbever, L. Thiele: "Designing Replicable Networking Experiments With TriScale", Journal of
Systems Research 1(1), 2021).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

CONFIDENCE = 0.95

Sides = Literal[1, 2]
"""2: the percentile lies between two of the values.  1: it lies on the inner side of the outermost value.

With one side, a high percentile is at most the largest value, and a low one at least the smallest.
"""


def sureness(n: int, quantile: float = 0.5, sides: Sides = 2) -> float:
    """Return the probability that n values enclose the quantile of their distribution.

    With two sides, this is 1 − qⁿ − (1 − q)ⁿ: neither are all values below it, nor all above it.  With one side, it is
    1 − qⁿ for q ≥ 0.5, and 1 − (1 − q)ⁿ otherwise.  It is 0 without values, and with two sides for a single value.
    """
    _check(quantile, CONFIDENCE)
    if sides == 1:
        return 1 - max(quantile, 1 - quantile) ** n
    return max(0.0, 1 - quantile**n - (1 - quantile) ** n)


def repetitions_needed(quantile: float = 0.5, confidence: float = CONFIDENCE, sides: Sides = 2) -> int:
    """Return the smallest n for which :func:`sureness` is at least *confidence*.

    With one side, this is ⌈log(1 − C) / log(max(q, 1 − q))⌉.  For the median at 95 % it is 6 with two sides, and 5 with
    one.
    """
    _check(quantile, confidence)
    # The side that is less likely to be passed alone needs at least as many.
    n = max(1, math.floor(math.log(1 - confidence) / math.log(max(quantile, 1 - quantile))))
    while sureness(n, quantile, sides) < confidence:
        n += 1
    return n


def further_repetitions(n: int, quantile: float = 0.5, confidence: float = CONFIDENCE, sides: Sides = 2) -> int:
    """Return how many repetitions it takes in addition to *n* to enclose the quantile with this confidence."""
    return max(0, repetitions_needed(quantile, confidence, sides) - n)


def quantile_interval(
    values: Sequence[float], quantile: float = 0.5, confidence: float = CONFIDENCE
) -> tuple[float, float] | None:
    """Return two of the values that enclose the quantile with at least this confidence; None if there are too few.

    They are found by moving inward from the smallest and the largest value, at each step past the one that costs less
    confidence, and past both if they cost the same: the interval of a median is symmetrical in its ranks.
    """
    from scipy.special import bdtr

    _check(quantile, confidence)
    n = len(values)
    if not n or sureness(n, quantile) < confidence:
        return None

    def covered(low: int, high: int) -> float:
        """Return the probability that the quantile lies between the values of these ranks, which begin with 1."""
        return float(bdtr(high - 1, n, quantile) - bdtr(low - 1, n, quantile))

    low, high = 1, n
    while low + 1 < high:
        fewer = {(low + 1, high): covered(low + 1, high), (low, high - 1): covered(low, high - 1)}
        best = max(fewer.values())
        equal = [ranks for ranks, share in fewer.items() if math.isclose(share, best, rel_tol=1e-12)]
        ranks = equal[0] if len(equal) == 1 else (low + 1, high - 1)
        if ranks[0] >= ranks[1] or covered(*ranks) < confidence:
            break
        low, high = ranks
    ordered = sorted(values)
    return ordered[low - 1], ordered[high - 1]


def _check(quantile: float, confidence: float) -> None:
    if not 0 < quantile < 1 or not 0 < confidence < 1:
        raise ValueError(f"a quantile and a confidence lie between 0 and 1; found {quantile} and {confidence}")
