# SPDX-License-Identifier: Apache-2.0
"""Which rows are drawn on the same axes over time, and in which colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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
MAX_FAINT = 6
"""Largest number of repetitions that are drawn faintly; more would only make a grey cloud."""
MARK_BINS = 90
"""Largest number of markers of each kind on a curve."""
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


def share_scale(panels: Sequence[Panel], kind: Kind) -> bool:
    """Return whether all panels have the same y-axis."""
    highest = [_highest([curve for row in panel.rows for curve in curves_of(row.median(), kind)]) for panel in panels]
    known = [value for value in highest if value > 0]
    return not known or max(known) <= SAME_SCALE * min(known)


def _highest(curves: Sequence[Curve]) -> float:
    return max((float(y.max()) for _x, y in curves if len(y)), default=0.0)
