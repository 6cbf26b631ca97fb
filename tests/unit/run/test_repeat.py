# SPDX-License-Identifier: Apache-2.0
"""The comparison of the means of two real-time runs: its false alarms, and what cannot be compared."""

from __future__ import annotations

import random

from lab.analysis.comparison import CONFIDENCE
from lab.run.repeat import compared

Values = dict[tuple[str, str, str], list[float]]


def drawn(draw: random.Random, means: list[float], repetitions: int = 5) -> Values:
    return {
        (f"cell{number}", "bulk", "goodput"): [draw.gauss(mean, 1) for _ in range(repetitions)]
        for number, mean in enumerate(means)
    }


def test_false_alarms_of_a_whole_run_are_as_rare_as_said() -> None:
    draw, runs = random.Random(1), 1500
    means = [10.0] * 12
    alarms = sum(any(item.differs for item in compared(drawn(draw, means), drawn(draw, means))) for _ in range(runs))
    # One run in a hundred may report a difference that does not exist.  Allow four standard deviations more.  With 12
    # comparisons that each have a confidence of 99 %, about one run in ten would.
    expected = runs * (1 - CONFIDENCE)
    assert alarms < expected + 4 * expected**0.5


def test_real_differences_are_found_among_many_comparisons() -> None:
    draw = random.Random(2)
    found = compared(drawn(draw, [10.0] * 12), drawn(draw, [10.0] * 9 + [20.0] * 3))
    assert [item.cell_id for item in found if item.differs] == ["cell9", "cell10", "cell11"]


def test_what_cannot_be_compared_does_not_agree() -> None:
    key, other = ("cubic", "bulk", "goodput"), ("cubic", "bulk", "srtt")
    single, missing = compared({key: [1.0], other: [1.0, 2.0]}, {key: [1.0]})
    assert (single.differs, missing.differs) == (None, None)
    assert "a single repetition says nothing about the variation" in str(single)
    assert "only one of the runs measured it" in str(missing)
