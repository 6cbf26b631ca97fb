# SPDX-License-Identifier: Apache-2.0
"""The measured window in reports: each number says which one it belongs to, and figures over time shade the rest."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from lab.report.figures.drawn import Drawn
from lab.report.figures.over_time.marks import UNMEASURED
from lab.report.model import Report
from lab.report.page.content import page_content
from lab.report.tables.results import result_lines
from lab.report.windows import any_cut, row_text, text, unmeasured
from tests.unit.report.artists import legend_of, visible

Reports = Callable[[str], Report]
Figures = Callable[[str], dict[str, Drawn]]

WINDOWS = {
    "bulk": "1 s to 3 s",
    "late": "start to 3 s",
    "own": "start to 1.5 s",
    "pulses": "start to end",
    "voice": "1 s to 3 s",
    "web": "1 s to 3 s",
}
SHADED = {
    # The flow runs from 0 s to 4 s.
    "bulk": [(0, 1), (3, 4)],
    # From 2 s to 4 s.
    "late": [(3, 4)],
    "own": [(1.5, 4)],
    # Of three periods, only the second one, from 1.5 s to 2.5 s, is measured.
    "pulses": [(0, 1.5), (2.5, 4)],
}


def test_each_line_of_the_results_says_what_it_is_measured_in(reports: Reports) -> None:
    report = reports("measured")
    assert any_cut(report)
    lines = dict(zip((row.series.group for row in report.rows), result_lines(report), strict=True))
    assert {group: line.measured for group, line in lines.items()} == WINDOWS
    content = page_content(report)
    assert content["covered"] == "the flow's measured window (1 s to 3 s, start to 3 s, start to 1.5 s, start to end)"
    assert ("Measured window", "1 s to 3 s, start to 3 s, start to 1.5 s, start to end") in content["settings"]


@pytest.mark.parametrize("name", ["udp", "short_flows", "fairness"])
def test_without_a_window_nothing_is_said_of_one(name: str, reports: Reports, figures: Figures) -> None:
    report = reports(name)
    assert not any_cut(report)
    assert all(line.measured == "" for line in result_lines(report))
    assert {row_text(row) for row in report.rows} == {"start to end"}
    content = page_content(report)
    assert "Measured window" not in dict(content["settings"])
    assert content["covered"] == "the flow's declared time, slow start included"
    for drawn in figures(name).values():
        assert "easured window" not in drawn.caption
        assert not drawn.figure.legends or "not measured" not in legend_of(drawn.figure)
    assert all("easured window" not in table.note for table in content["event_tables"])


def test_captions_of_comparisons_name_the_window(figures: Figures) -> None:
    for name in ("goodput-by-cell", "goodput-vs-delay"):
        caption = figures("measured")[name].caption
        assert "Measured window: 1 s to 3 s, start to 3 s, start to 1.5 s, start to end, as the table" in caption
    assert "started within the measured window (1 s to 3 s)" in figures("measured")["completions"].caption
    assert "sent within the measured window (1 s to 3 s)" in figures("measured")["latency"].caption


def test_what_is_not_measured_is_shaded(reports: Reports) -> None:
    rows = {row.series.group: row for row in reports("measured").rows}
    for group, spans in SHADED.items():
        found = unmeasured([rows[group]], 4.0)
        assert [(start, min(end, 4.0)) for start, end in found] == spans, group
    # Together they are measured from 0 s, where the window of one of them begins, to 3 s.
    assert [span[0] for span in unmeasured(list(rows.values()), 4.0)] == [3.0]


@pytest.mark.parametrize("name", ["cwnd", "srtt", "goodput", "events-1", "events-2"])
def test_figures_over_time_show_all_and_shade_what_is_not_measured(name: str, figures: Figures) -> None:
    drawn = figures("measured")[name]
    assert "Light grey background: outside of the measured window" in drawn.caption
    assert legend_of(drawn.figure)["not measured"] == UNMEASURED
    for axes in visible(drawn.figure):
        shaded = [
            patch
            for patch in axes.patches
            if isinstance(patch, Rectangle) and to_hex(patch.get_facecolor()) == UNMEASURED
        ]
        assert shaded
        assert all(patch.get_zorder() < line.get_zorder() for patch in shaded for line in axes.lines)
        # Curves go on where nothing is measured.
        assert axes.dataLim.x1 > 1.5


def test_windows_of_several_flows_are_named_once() -> None:
    def asked(start_s: int, end_s: int, *measured_s: int) -> dict[str, object]:
        window = {"start_ns": measured_s[0] * 10**9, "end_ns": measured_s[1] * 10**9}
        return {"start_ns": start_s * 10**9, "duration_ns": (end_s - start_s) * 10**9, "measured": window}

    flows = [asked(0, 9, 2, 9), asked(1, 9, 2, 9), asked(3, 9, 3, 9), asked(0, 1, 1, 1), asked(0, 9, 2, 8)]
    assert text(flows) == "2 s to end, start to end, 2 s to 8 s"  # type: ignore[arg-type]
    assert text([]) == ""
