# SPDX-License-Identifier: Apache-2.0
"""What figures of means have in common: the capacity of links, legends of series, and captions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lab.job.protocol import Job
from lab.report.figures.look.style import GREY, legend_columns
from lab.report.model import Report, Row, Series

CAPACITY: Any = {"color": GREY, "linewidth": 0.8, "linestyle": (0, (3, 2)), "zorder": 1}
"""Style of the line at the capacity of a link."""
MAX_LEVELS = 3
"""Largest number of different capacities in a panel."""
MAX_LEGEND_LINES = 5
"""A legend with more lines than this is placed beside the axes instead of above them."""
_NARROW_INCHES = 4.0
"""A figure that is narrower than this has no room for a legend beside its axes."""
_LINE_INCHES = 0.15
"""Height of a line of a legend."""
SPREAD = (
    "Error bars: 95 % confidence interval of the mean, as in the table of results, if there are at least three "
    "repetitions, cut off at zero and at the largest possible value. Small markers: single repetitions."
)
"""The part of the captions that explains error bars and small markers."""


def capacities(report: Report, rows: Sequence[Row]) -> list[float]:
    """Return the largest goodput that the links of the rows can carry, for at most three different rates.

    It is in the unit of the report's rates.  A rate that changes while traffic runs has no such number: it is drawn
    over time only, and never as its mean.
    """
    if changes(report):
        return []
    _unit, scale = report.rate_unit
    flows = [flow for row in rows for item in row.used for flow in item.flows]
    levels = {flow.bottleneck_bps * flow.ceiling / scale for flow in flows if flow.bottleneck_bps}
    return sorted({float(f"{level:.3g}"): level for level in levels}.values())[:MAX_LEVELS]


def changes(report: Report) -> bool:
    """Return whether the rate of some link changes while traffic runs."""
    return any(_changes(job) for job in report.jobs)


def _changes(job: Job) -> bool:
    directions = (way for link in job["links"] for way in (link["ab"], link["ba"]))
    return any(way["capacity"] or any(change["rate_bps"] for change in way["changes"]) for way in directions)


def draw_capacities(axes: Axes, levels: Sequence[float]) -> None:
    """Draw a line at each of the capacities *levels*."""
    for level in levels:
        axes.axhline(level, **CAPACITY)


def capacity_caption(report: Report) -> str:
    """Return a sentence, with a space before it, about the capacity of the links."""
    if changes(report):
        return " The capacity changes while traffic runs; the figure of goodput over time shows it."
    return " Dashed grey: link capacity (payload), the link's rate minus all headers."


def capacity_handle() -> Line2D:
    """Return the legend entry of the capacity."""
    return Line2D([], [], label="link capacity (payload)", **CAPACITY)


def series_handle(series: Series, *, line: bool = True) -> Line2D:
    """Return the legend entry of a series."""
    look = series.look
    dashes: Any = look.dashes if line else "none"
    return Line2D([], [], color=look.colour, linestyle=dashes, marker=look.marker, markersize=4, label=series.label)


def add_legend(figure: Figure, handles: Sequence[Line2D]) -> None:
    """Add a legend above the panels, or at their right if it has many entries."""
    if not handles:
        return
    columns = legend_columns([str(handle.get_label()) for handle in handles], figure.get_figwidth())
    lines = -(-len(handles) // columns)
    if lines > MAX_LEGEND_LINES and figure.get_figwidth() < _NARROW_INCHES:
        # Beside a legend, the axes of a single column would be too narrow for their labels.
        figure.set_figheight(figure.get_figheight() + _LINE_INCHES * (lines - 2))
    elif lines > MAX_LEGEND_LINES:
        # So many entries above the axes would leave no room for the axes.
        figure.legend(handles=list(handles), loc="outside right upper", handlelength=2.6)
        return
    figure.legend(handles=list(handles), loc="outside upper right", ncols=columns, handlelength=2.6, columnspacing=1.2)
