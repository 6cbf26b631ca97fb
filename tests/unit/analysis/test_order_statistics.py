# SPDX-License-Identifier: Apache-2.0
"""Percentiles by order statistics, against published closed forms and tables and against samples of known truth."""

from __future__ import annotations

import math
import random

import pytest

from lab.analysis.order_statistics import (
    Sides,
    further_repetitions,
    quantile_interval,
    repetitions_needed,
    sureness,
)


@pytest.mark.parametrize(
    ("quantile", "sides", "needed"),
    # With one side, log(0.05) / log(0.5) = 4.3, log(0.05) / log(0.75) = 10.4, log(0.05) / log(0.95) = 58.4 and
    # log(0.05) / log(0.99) = 298.07.  With two, 2 × 0.5**6 = 0.031 is the first power of 2 below 0.05.
    [(0.5, 1, 5), (0.75, 1, 11), (0.25, 1, 11), (0.95, 1, 59), (0.99, 1, 299), (0.5, 2, 6), (0.95, 2, 59)],
)
def test_repetitions_that_a_claim_takes(quantile: float, sides: Sides, needed: int) -> None:
    assert repetitions_needed(quantile, 0.95, sides) == needed
    assert sureness(needed, quantile, sides) >= 0.95 > sureness(needed - 1, quantile, sides)
    assert further_repetitions(3, quantile, 0.95, sides) == needed - 3
    assert further_repetitions(needed + 1, quantile, 0.95, sides) == 0
    if sides == 1:
        assert needed == math.ceil(math.log(0.05) / math.log(max(quantile, 1 - quantile)))


def test_how_sure_few_repetitions_are() -> None:
    # Three values are on the same side of the median with a probability of 2/8.
    assert [sureness(n) for n in range(7)] == [0, 0, 0.5, 0.75, 0.875, 0.9375, 0.96875]
    assert [sureness(n, sides=1) for n in range(4)] == [0, 0.5, 0.75, 0.875]
    assert sureness(2, 0.9) == pytest.approx(1 - 0.81 - 0.01)
    for wrong in (0.0, 1.0, -1.0):
        with pytest.raises(ValueError, match="between 0 and 1"):
            sureness(3, wrong)


def test_ranks_of_the_median_are_those_of_printed_tables() -> None:
    """95 % intervals of the median by its ranks (as in tables of the sign test), with symmetrical ranks."""
    ranks = {
        6: (1, 6),
        8: (1, 8),
        9: (2, 8),
        10: (2, 9),
        12: (3, 10),
        15: (4, 12),
        20: (6, 15),
        25: (8, 18),
        30: (10, 21),
    }
    for n, expected in ranks.items():
        assert quantile_interval([float(rank) for rank in range(1, n + 1)]) == expected, n
    for n in range(6):
        assert quantile_interval([float(rank) for rank in range(n)]) is None


def test_a_published_example() -> None:
    """D. G. Altman et al., Statistics with Confidence, 2000, chapter 5: β-endorphin of 11 runners."""
    values = [66, 71.2, 83, 83.6, 101, 107.6, 122, 143, 160, 177, 414]
    assert quantile_interval(values) == (71.2, 177)


@pytest.mark.parametrize(("n", "quantile"), [(6, 0.5), (15, 0.5), (20, 0.25), (60, 0.95), (120, 0.9)])
def test_coverage_on_a_skewed_distribution(n: int, quantile: float) -> None:
    draw, truth = random.Random(n), -math.log(1 - quantile)
    hits = 0
    for _ in range(1000):
        found = quantile_interval([draw.expovariate(1) for _ in range(n)], quantile)
        assert found is not None
        hits += found[0] <= truth <= found[1]
    # At least 95 %, less three standard errors; and no interval that is needlessly wide.
    assert 0.95 - 3 * 0.0069 <= hits / 1000 <= 0.995
