# SPDX-License-Identifier: Apache-2.0
"""Figures of the values that algorithms of the user's own record."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from lab.evaluation.trial import Curve
from lab.report.figures.over_time import own_values
from lab.report.figures.over_time.own_values import MAX_FIGURES, MAX_NAMES, own_value_figures
from lab.report.model import Report
from lab.store.trial import TrialResult
from tests.unit.report.artists import legend_of, points, visible

Values = Callable[[TrialResult, str], Mapping[str, Curve]]

SECONDS = np.array([0.5, 1.0, 2.5])


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Callable[[Values], None]:
    """A function that says what the algorithms of the captured trials would have recorded."""
    return lambda values: monkeypatch.setattr(own_values, "own_values", values)


def test_reports_of_the_kernels_algorithms_have_no_such_figure(reports: Callable[[str], Report]) -> None:
    assert list(own_value_figures(reports("loss"))) == []


def test_there_is_a_panel_for_each_name_and_a_line_for_each_flow(
    reports: Callable[[str], Report], recorded: Callable[[Values], None]
) -> None:
    report = reports("fairness")
    row = max(report.rows, key=lambda row: len(row.median().flows))
    trial, flows = row.median().evaluated.trial, [flow.flow for flow in row.median().flows]
    assert len(flows) > 1
    height = {flow: 10.0 * number for number, flow in enumerate(flows, 1)}

    def values(asked: TrialResult, flow: str) -> Mapping[str, Curve]:
        if asked is not trial or flow not in height:
            return {}
        signed = np.array([-1.0, 2.0, 3.0]) * height[flow]
        return {"rate_bps": (SECONDS, signed + 1e6)} | ({"gap": (SECONDS, signed)} if flow == flows[0] else {})

    recorded(values)
    (drawn,) = own_value_figures(report)
    assert drawn.name == "own-values"
    rate, gap = visible(drawn.figure)
    assert [axes.get_title(loc="left") for axes in (rate, gap)] == ["rate_bps", "gap"]
    assert list(legend_of(drawn.figure)) == flows
    assert [points(line) for line in rate.get_lines()] == [
        [(0.5, 1e6 - height[flow]), (1.0, 1e6 + 2 * height[flow]), (2.5, 1e6 + 3 * height[flow])] for flow in flows
    ]
    assert [points(line) for line in gap.get_lines()] == [[(0.5, -10.0), (1.0, 20.0), (2.5, 30.0)]]
    assert all(line.get_drawstyle() == "steps-post" for axes in (rate, gap) for line in axes.get_lines())
    # Large numbers have a prefix; an axis begins at 0 unless a value is below it.
    drawn.figure.canvas.draw()
    assert any(text.get_text() == "1M" for text in rate.get_yticklabels())
    assert rate.get_ylim()[0] == 0
    assert gap.get_ylim()[0] < -10
    assert "gap from -10 to 30" in drawn.alt
    assert trial.id in drawn.caption


def test_what_is_too_much_is_only_in_the_files(
    reports: Callable[[str], Report], recorded: Callable[[Values], None]
) -> None:
    report = reports("loss")
    assert len(report.rows) == MAX_FIGURES
    many = {f"value{number}": (SECONDS, SECONDS) for number in range(MAX_NAMES + 2)}
    recorded(lambda _trial, _flow: many)
    found = list(own_value_figures(report))
    assert [drawn.name for drawn in found] == [f"own-values-{number}" for number in range(1, MAX_FIGURES + 1)]
    for drawn in found:
        assert len(visible(drawn.figure)) == MAX_NAMES
        assert "2 more names are in the trial's cc_trace.parquet." in drawn.caption
