# SPDX-License-Identifier: Apache-2.0
"""Which rows are drawn on the same axes over time, and in which colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lab.evaluation.trial import Curve, FlowCurves
from lab.report.event_names import MAX_MARKED
from lab.report.figures.look.labels import DIRECT, cell_title
from lab.report.figures.look.style import Look, shades
from lab.report.figures.over_time.curves import Kind, curves_of
from lab.report.model import Report, Row
from lab.store.trial import TrialResult

MAX_PANELS = 6
"""Largest number of panels in a figure."""
FAINT_BINS = 150
"""Number of bins to which faint curves are reduced."""
MANY_PANELS = 16
"""Largest number of panels in a figure whose panels are small, because each has one of many series."""
MAX_FAINT = 6
"""Largest number of repetitions that are drawn faintly; more would only make a grey cloud."""
MARK_BINS = 90
"""Largest number of markers of each kind on a curve, if its panel has the whole width; narrower ones have fewer."""
SAME_SCALE = 5.0
"""Panels share their y-axis if the highest curve is at most this many times as high as that of any other panel."""


@dataclass(frozen=True)
class Panel:
    """The rows that are drawn on the same axes."""

    title: str
    rows: tuple[Row, ...]


def panels_of(report: Report) -> list[Panel]:
    """Return a panel for each facet, or, if a series has several flows, for each series of each facet."""
    traced = [row for row in report.rows if row.median().curves()]
    many = any(len(row.median().flows) > 1 for row in traced)
    panels = []
    for facet in dict.fromkeys(row.facet for row in traced):
        rows = [row for row in report.rows_of(facet) if row.median().curves()]
        title = cell_title(report, facet)
        if many and len(rows) > 1:
            panels += [Panel(", ".join(filter(None, (row.series.label, title))), (row,)) for row in rows]
        else:
            panels.append(Panel(title, tuple(report.rows_of(facet))))
    return panels


def divided(panels: Sequence[Panel]) -> list[list[Panel]]:
    """Return the panels of each figure.

    A panel with more than :data:`~lab.report.figures.look.labels.DIRECT` rows becomes several: one for those that ran
    in the same trials.  If these are many, they have figures of their own, with small panels.
    """
    pages: list[list[Panel]] = [[]]
    for panel in panels:
        groups: dict[tuple[str, ...], list[Row]] = {}
        for row in panel.rows:
            groups.setdefault(tuple(item.evaluated.trial.id for item in row.used), []).append(row)
        if len(panel.rows) <= DIRECT or len(groups) == 1:
            own = [panel]
        else:
            own = [Panel(", ".join(filter(None, (_names(rows), panel.title))), tuple(rows)) for rows in groups.values()]
        if len(own) > MAX_PANELS:
            pages += [own[first : first + MANY_PANELS] for first in range(0, len(own), MANY_PANELS)]
            pages.append([])
            continue
        for one in own:
            if len(pages[-1]) == MAX_PANELS:
                pages.append([])
            pages[-1].append(one)
    return [page for page in pages if page]


def _names(rows: Sequence[Row]) -> str:
    """Return what rows are called that ran together: their algorithm, or, if it is not the same, their labels."""
    if len({(row.series.algorithm, row.series.kernel) for row in rows}) == 1 and len(rows) > 1:
        return ", ".join(filter(None, (rows[0].series.algorithm, rows[0].series.kernel)))
    return " and ".join(row.series.label for row in rows)


def has_titles_for_series(panels: Sequence[Panel]) -> bool:
    """Return whether the titles of many small panels say which series they show, so that no legend has to."""
    return len(panels) > MAX_PANELS and all(len(panel.rows) == 1 for panel in panels)


def marks_on(columns: int) -> int:
    """Return the largest number of markers of each kind on a curve in a figure with so many panels side by side."""
    return MARK_BINS // columns


def trial_of(row: Row) -> TrialResult:
    """Return the trial with the median goodput."""
    return row.median().evaluated.trial


def marked(row: Row) -> list[tuple[str, FlowCurves]]:
    """Return the flows whose retransmissions are marked on their curves, and these curves."""
    repetition = row.median()
    if len(repetition.flows) > MAX_MARKED:
        return []
    curves = repetition.evaluated.curves
    return [(flow.flow, curves[flow.flow]) for flow in repetition.flows if flow.flow in curves]


def is_direct(panels: Sequence[Panel], kind: Kind) -> bool:
    """Return whether the panels have labels beside their lines, because a legend would be too long."""
    return max(sum(bool(curves_of(row.median(), kind)) for row in panel.rows) for panel in panels) > DIRECT


def has_shades(panels: Sequence[Panel]) -> bool:
    """Return whether some series has several flows, whose curves have shades of its colour."""
    return any(len(row.median().curves()) > 1 for panel in panels for row in panel.rows)


def colour_of(look: Look, kind: Kind) -> str:
    """Return the colour of a curve: where all curves are solid, series of the same colour have different tints."""
    return look.colour if kind == "goodput" else look.solid_colour


def dashes_of(look: Look, kind: Kind) -> Any:
    """Return the line style of a curve: that of the series for goodput, and otherwise solid.

    The other curves have a point for each pixel, so gaps between dashes would hide their extrema.
    """
    return look.dashes if kind == "goodput" else "solid"


def flow_colours(row: Row, kind: Kind, number: int) -> list[str]:
    """Return the colours of *number* curves of a row: shades from dark to light, in the order of the flows' starts."""
    return shades(colour_of(row.series.look, kind), number)


Shared = Literal["all", "row", "col", "none"]
"""Which panels have the same y-axis, in matplotlib's words."""


def share_scale(panels: Sequence[Panel], kind: Kind, columns: int) -> Shared:
    """Return which panels have the same y-axis: all of them, those of a row or of a column, or none."""
    highest = [_highest([curve for row in panel.rows for curve in curves_of(row.median(), kind)]) for panel in panels]
    if _is_similar(highest):
        return "all"
    if len(panels) > columns and all(
        _is_similar(highest[first : first + columns]) for first in range(0, len(panels), columns)
    ):
        return "row"
    if len(panels) > columns and all(_is_similar(highest[first::columns]) for first in range(columns)):
        return "col"
    return "none"


def _is_similar(highest: Sequence[float]) -> bool:
    known = [value for value in highest if value > 0]
    return not known or max(known) <= SAME_SCALE * min(known)


def _highest(curves: Sequence[Curve]) -> float:
    return max((float(y.max()) for _x, y in curves if len(y)), default=0.0)
