# SPDX-License-Identifier: Apache-2.0
"""What happens where there is much to show: panels are divided, tables come in parts, texts find free places."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lab.report.answer.explanations import explanations
from lab.report.answer.findings import findings
from lab.report.answer.gather import gather
from lab.report.figures.compare import crowded
from lab.report.figures.compare.crowded import by_algorithm
from lab.report.figures.compare.distributions import Panel as Curves
from lab.report.figures.compare.reference import add_legend
from lab.report.figures.look.placing import Box, around, place, text_box
from lab.report.figures.look.settings import styled
from lab.report.figures.look.style import legend_columns
from lab.report.figures.over_time import panels as over_time
from lab.report.figures.over_time.panels import MANY_PANELS, MAX_PANELS, divided, panels_of, share_scale
from lab.report.model import Report
from lab.report.tables.parts import parts

Reports = Callable[[str], Report]


# --- tables on paper ---------------------------------------------------------------------------------------


@given(st.integers(1, 8), st.integers(0, 40))
def test_each_column_is_in_one_part_and_parts_fit(keys: int, values: int) -> None:
    found = parts(keys, values)
    assert [place for part in found for place in part] == list(range(values))
    assert all(len(part) <= max(3, 11 - keys) for part in found)
    assert max(map(len, found)) - min(map(len, found)) <= 1


def test_a_table_that_fits_is_not_divided() -> None:
    assert parts(3, 8) == [range(8)]
    assert parts(3, 9) == [range(4), range(4, 9)]


# --- figures over time -------------------------------------------------------------------------------------


def test_series_that_did_not_run_together_have_panels_of_their_own(
    reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = reports("loss")
    whole = panels_of(report)
    assert divided(whole) == [whole]
    monkeypatch.setattr(over_time, "DIRECT", 1)
    (page,) = divided(whole)
    assert [panel.title for panel in page] == [
        f"{row.series.label}, {panel.title}" for panel in whole for row in panel.rows
    ]
    assert [panel.rows for panel in page] == [(row,) for panel in whole for row in panel.rows]


def test_flows_of_the_same_trials_stay_in_one_panel(reports: Reports, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = reports("measured").rows_of(reports("measured").facets[0])
    assert len({tuple(one.evaluated.trial.id for one in row.used) for row in rows}) == 1
    monkeypatch.setattr(over_time, "DIRECT", 1)
    panel = over_time.Panel("", tuple(rows))
    assert divided([panel]) == [[panel]]


def test_many_series_have_small_panels_in_figures_of_their_own(
    reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(over_time, "DIRECT", 1)
    row = reports("loss").rows[0]
    first = row.used[0]
    rows = []
    for number in range(MANY_PANELS + 2):
        trial: Any = _Named(f"t{number}")
        rows.append(replace(row, used=(replace(first, evaluated=replace(first.evaluated, trial=trial)),)))
    many = over_time.Panel("", tuple(rows))
    few = over_time.Panel("", (rows[0],))
    pages = divided([few, many, few])
    assert [len(page) for page in pages] == [1, MANY_PANELS, 2, 1]
    assert MANY_PANELS > MAX_PANELS


class _Named:
    """Stands for a trial, of which only the name matters."""

    def __init__(self, name: str) -> None:
        self.id = name


@pytest.mark.parametrize(
    ("highest", "shared"),
    [
        ([10, 20, 30, 40], "all"),
        ([10, 20, 300, 400], "row"),
        ([10, 300, 20, 400], "col"),
        ([10, 300, 400, 20], "none"),
    ],
)
def test_panels_of_a_row_or_a_column_share_their_scale_if_not_all_can(
    highest: list[float], shared: str, reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = reports("loss").rows[0]
    values = iter(highest)
    monkeypatch.setattr(over_time, "curves_of", lambda _median, _kind: [(np.zeros(1), np.array([next(values)]))])
    assert share_scale([over_time.Panel("", (row,))] * 4, "cwnd", 2) == shared


# --- distributions -----------------------------------------------------------------------------------------


def test_many_curves_are_divided_by_algorithm(reports: Reports, monkeypatch: pytest.MonkeyPatch) -> None:
    report = reports("loss")
    cells = [(algorithm, loss) for algorithm in ("cubic", "bbr") for loss in ("0%", "0.2%", "2%")]
    assert [axis.label for axis in report.axes] == ["cc", "loss"]
    lines = [(", ".join(cell), np.array([float(place + 1)])) for place, cell in enumerate(cells)]
    styles = [{"color": f"#00000{place}"} for place in range(6)]
    whole = [Curves("echo", lines)]
    assert by_algorithm(report, cells, whole, styles) == whole
    monkeypatch.setattr(crowded, "CROWDED", 5)
    first, second = by_algorithm(report, cells, whole, styles)
    assert (first.title, second.title) == ("echo, cubic", "echo, bbr")
    assert [label for label, _values in second.lines] == ["0%", "0.2%", "2%"]
    assert [float(values[0]) for _label, values in second.lines] == [4, 5, 6]
    assert list(second.styles) == styles[3:]


# --- texts and legends -------------------------------------------------------------------------------------


def test_texts_neither_cover_each_other_nor_points() -> None:
    inside = Box(0, 0, 300, 200)
    points = [(150.0 + 4 * number, 100.0 + 3 * number) for number in range(6)]
    labels = [(x, y, f"series {number}") for number, (x, y) in enumerate(points)]
    taken = [around(x, y, 5) for x, y in points]
    boxes = [text_box(x, y, label[2], 6) for (x, y), label in zip(place(labels, 6, inside, taken), labels, strict=True)]
    for number, box in enumerate(boxes):
        assert not any(box.overlap(other) for other in boxes[:number] + taken)
        assert (inside.left <= box.left, box.right <= inside.right) == (True, True)


def test_a_text_at_the_edge_is_on_the_other_side_of_its_point() -> None:
    ((x, _y),) = place([(295.0, 100.0, "cubic")], 6, Box(0, 0, 300, 200))
    assert x < 295 - 6 * 0.6 * 5


def test_a_legend_has_as_many_columns_as_fit() -> None:
    labels = ["reno", "cubic", "bbr", "Reno, Mathis et al.", "CUBIC, RFC 9438", "link capacity (payload)"]
    # The first column holds the short names, so that two fit where two of the widest do not.
    assert legend_columns(labels, 4.25) == 2
    assert legend_columns(labels, 2.0) == 1
    assert legend_columns(["a"], 0.1) == 1


# --- explanations ------------------------------------------------------------------------------------------


def test_the_cells_of_the_findings_are_explained_first_and_the_others_after_them(
    reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = reports("loss")
    found = findings(gather(report))
    everything = explanations(report, found)
    assert everything.others == ()
    assert {text.split(":")[0] for text in everything.leading} == {"loss 0%", "loss 0.2%", "loss 2%"}
    monkeypatch.setattr("lab.report.answer.explanations._MOST_FACETS", 2)
    some = explanations(report, found)
    lead = found[0].contrasts[0]
    named = {f"loss {level}" for factor, level in lead.where if factor.name == "loss"}
    named |= {f"loss {group.level}" for group in (lead.first, lead.last) if found[0].factor.name == "loss"}
    assert named
    assert named <= {text.split(":")[0] for text in some.leading}
    assert sorted(some.leading + some.others) == sorted(everything.leading)
    assert len({text.split(":")[0] for text in some.leading}) <= 2
    # Without a finding, the ends are explained first.
    ends = explanations(report, [])
    assert {text.split(":")[0] for text in ends.leading} == {"loss 0%", "loss 2%"}


@pytest.mark.parametrize(("inches", "is_beside"), [(3.33, False), (4.25, True)])
def test_a_narrow_figure_has_its_legend_above_the_axes(inches: float, is_beside: bool) -> None:
    with styled():
        figure = Figure(figsize=(inches, 2.5), layout="constrained")
        axes = figure.subplots()
        add_legend(figure, [Line2D([], [], label=f"a name that is rather long, {number}") for number in range(7)])
        figure.draw_without_rendering()
    assert bool(axes.get_position().width < 0.65) is is_beside
    assert bool(figure.get_figheight() > 2.5) is not is_beside
