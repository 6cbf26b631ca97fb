# SPDX-License-Identifier: Apache-2.0
"""One quantity of a flow against another at the same time."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lab.evaluation.trial import Curve
from lab.report.figures.compare.reference import add_legend, series_handle
from lab.report.figures.drawn import Drawn
from lab.report.figures.look.labels import wrapped
from lab.report.figures.look.sizes import column_inches, page_inches, panel_columns
from lab.report.figures.over_time.curves import QUANTITIES, Kind, curves_of
from lab.report.figures.over_time.panels import MAX_PANELS, colour_of, flow_colours, panels_of
from lab.report.model import Report, Row

POINTS = 1500
"""Number of times at which both quantities are taken."""


def phase(report: Report, x: Kind, y: Kind) -> Drawn | None:
    """Draw *y* against *x*, for the repetition with the median goodput; None if nothing was traced."""
    panels = [panel for panel in panels_of(report) if any(_pairs(row, x, y) for row in panel.rows)][:MAX_PANELS]
    if not panels:
        return None
    columns = panel_columns(len(panels))
    lines = math.ceil(len(panels) / columns)
    width = min(column_inches() * 1.25, page_inches()) if len(panels) == 1 else page_inches()
    figure = Figure(figsize=(width, 2.4 * lines + 0.25), layout="constrained")
    grid = [axes for line in figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True) for axes in line]
    scales = [report.rate_unit[1] if QUANTITIES[kind].is_rate else 1.0 for kind in (x, y)]
    for place, axes in enumerate(grid):
        axes.set_visible(place < len(panels))
    for axes, panel in zip(grid, panels, strict=False):
        for row in panel.rows:
            _draw(axes, row, (x, y), (scales[0], scales[1]))
        axes.set_title(wrapped(panel.title, width / columns), loc="left")
        axes.set_xlabel(QUANTITIES[x].label(report.rate_unit[0]))
        axes.tick_params(labelbottom=True)
    grid[0].set_xlim(left=0)
    grid[0].set_ylim(bottom=0)
    for axes in grid[::columns]:
        axes.set_ylabel(QUANTITIES[y].label(report.rate_unit[0]))
    series = [one for one in report.series if any(row.series == one for panel in panels for row in panel.rows)]
    add_legend(figure, [series_handle(one) for one in series])
    names = [QUANTITIES[kind] for kind in (x, y)]
    caption = (
        f"{names[1].text} against {names[0].text.lower()} at the same time, in the repetition with the median goodput. "
        "Circle: start. Both are taken at equal distances of time."
    )
    alt = f"{names[1].text} against {names[0].text.lower()} for {', '.join(one.label for one in series)}."
    return Drawn(f"phase-{y}-{x}".replace("_", "-"), figure, caption, alt)


def _pairs(row: Row, x: Kind, y: Kind) -> list[tuple[Curve, Curve]]:
    median = row.median()
    return list(zip(curves_of(median, x), curves_of(median, y), strict=False))


def _draw(axes: Axes, row: Row, kinds: tuple[Kind, Kind], scales: tuple[float, float]) -> None:
    pairs = _pairs(row, *kinds)
    for (x, y), colour in zip(pairs, flow_colours(row, "cwnd", max(1, len(pairs))), strict=False):
        if not len(x[0]) or not len(y[0]):
            continue
        times = np.linspace(max(x[0][0], y[0][0]), min(x[0][-1], y[0][-1]), POINTS)
        across = value_at(x, times, kinds[0]) / scales[0]
        up = value_at(y, times, kinds[1]) / scales[1]
        axes.plot(across, up, color=colour, linewidth=0.6, alpha=0.8)
        axes.plot(
            across[:1], up[:1], "o", color=colour_of(row.series.look, "cwnd"), markersize=4, mec="white", zorder=5
        )


def value_at(curve: Curve, times: np.ndarray, kind: Kind) -> np.ndarray:
    """Return the values of a curve at *times*, which are within its own times.

    Each value was in force since the one before, or holds until the next one, or (the smoothed RTT) changes evenly.
    """
    x, y = curve
    style = QUANTITIES[kind].held.get("drawstyle")
    if style is None:
        return np.asarray(np.interp(times, x, y))
    place = np.searchsorted(x, times, side="left") if style == "steps-pre" else np.searchsorted(x, times, "right") - 1
    return np.asarray(y[np.clip(place, 0, len(y) - 1)])
