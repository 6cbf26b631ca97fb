# SPDX-License-Identifier: Apache-2.0
"""The rows of the results: intervals, repetitions that are equal, and comparisons of rows in pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from lab.analysis.intervals import Interval
from lab.analysis.metrics import FlowMetrics
from lab.report.model import Report
from lab.report.tables.columns import COLUMNS, goodput_bounds
from lab.report.tables.results import interval_text, result_lines


def goodput(flow: FlowMetrics) -> float | None:
    return flow.goodput_bps


def test_equal_repetitions_have_no_interval_and_the_table_says_why(reports: Callable[[str], Report]) -> None:
    row = reports("loss").rows[0]
    assert row.randomness.can_differ
    estimate = row.estimate(goodput)
    assert estimate is not None
    assert (row.are_equal, estimate.n, estimate.reason) == (False, 3, "")
    # The same repetition three times.
    equal = replace(row, used=(row.used[0],) * 3)
    assert equal.are_equal
    same = equal.estimate(goodput)
    assert same is not None
    assert (same.of_mean, same.of_median, same.n) == (None, None, 3)
    assert same.reason == equal.why_equal
    assert same.reason.startswith("the repetitions are equal, because nothing in it is random") or (
        same.reason == f"the repetitions are equal, although {equal.randomness}"
    )
    alone = replace(row, used=row.used[:1])
    assert not alone.are_equal


def test_a_table_of_equal_repetitions(reports: Callable[[str], Report], monkeypatch: pytest.MonkeyPatch) -> None:
    report = reports("loss")
    rows = [replace(row, used=(row.used[0],) * 3) for row in report.rows]
    fresh = Report(report.run, report.evaluated)
    monkeypatch.setitem(fresh.__dict__, "rows", rows)
    for line, row in zip(result_lines(fresh), rows, strict=True):
        assert line.note == f"no interval: {row.why_equal}"
        assert all(spread == "" for _mean, spread in line.cells)


def test_no_interval_of_goodput_is_above_the_link(reports: Callable[[str], Report]) -> None:
    cut = 0
    for row in reports("loss").rows:
        flows = [flow for item in row.used for flow in item.flows]
        low, high = goodput_bounds(flows)
        assert low == 0
        assert high == pytest.approx(4e6 * 1448 / 1514)
        for column in COLUMNS:
            estimate = column.estimate(row)
            if estimate is None or estimate.of_mean is None:
                continue
            assert estimate.of_mean.low >= 0
            cut += estimate.of_mean.is_clipped
        share = next(column for column in COLUMNS if column.key == "share_of_link").estimate(row)
        if share is not None and share.of_mean is not None:
            # What was measured may exceed the declared rate by a few parts in 100 000.
            assert share.of_mean.high <= 100 * 1448 / 1514 * 1.0001
    assert cut


@pytest.mark.parametrize(
    ("low", "high", "mean", "text"),
    [
        (9.4111, 9.5222, "9.47", "9.41–9.52"),
        (9.4701, 9.4702, "9.47", "± <0.01"),
        (-0.52, 12.4, "6", "\N{MINUS SIGN}1–12"),
        (0.0, 0.31, "0.12", "0–0.31"),
        (-0.001, 0.2, "0.10", "0.00–0.20"),
    ],
)
def test_intervals_as_text(low: float, high: float, mean: str, text: str) -> None:
    assert interval_text(Interval(low, high, "student_t"), mean) == text
