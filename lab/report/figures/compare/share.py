# SPDX-License-Identifier: Apache-2.0
"""The share of each group of flows in the goodput of all, against the number of flows (Ware et al., IMC 2019)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lab.analysis.intervals import interval
from lab.report import windows
from lab.report.figures.compare.quantities import error_bar
from lab.report.figures.compare.reference import SPREAD, add_legend, series_handle
from lab.report.figures.drawn import Drawn
from lab.report.figures.look.labels import cell_title, wrapped
from lab.report.figures.look.sizes import column_inches, page_inches, panel_columns
from lab.report.figures.look.style import GREY
from lab.report.model import Report, Row

MAX_PANELS = 6


@dataclass(frozen=True)
class Share:
    """The share of a row's flows in the goodput of all flows of their trials."""

    flows: int
    """Number of flows in a trial, whatever their series; short flows are left out."""
    own: int
    """Number of flows of the row in a trial."""
    percent: tuple[float, ...]
    """The share in each repetition."""


def share_of(row: Row) -> Share | None:
    """Return the share of a row; None if its goodput was not measured, or if its flows are alone."""
    shares, total, own = [], 0, 0
    for item in row.used:
        bulk = {flow["name"] for flow in item.evaluated.trial.job["flows"] if flow["arrivals"] is None}
        everything = [flow for flow in item.evaluated.metrics if flow.flow in bulk and flow.goodput_bps is not None]
        mine = [flow for flow in item.flows if flow.flow in bulk and flow.goodput_bps is not None]
        whole = math.fsum(flow.goodput_bps or 0.0 for flow in everything)
        total, own = len(everything), len(mine)
        if whole and mine:
            shares.append(100 * math.fsum(flow.goodput_bps or 0.0 for flow in mine) / whole)
    return Share(total, own, tuple(shares)) if shares and total > own else None


def share(report: Report) -> Drawn | None:
    """Draw the share of each series; None if no trial has flows of several series."""
    found = [(row, one) for row in report.rows if (one := share_of(row)) is not None]
    if not found:
        return None
    counts = [axis for axis in report.facet_axes if axis.path.endswith(".count")]
    others = [axis for axis in report.facet_axes if axis not in counts]
    panels: dict[str, list[tuple[Row, Share]]] = {}
    for row, one in found:
        panels.setdefault(cell_title(report, row.facet, others), []).append((row, one))
    shown = list(panels.items())[:MAX_PANELS]
    columns = panel_columns(len(shown))
    lines = -(-len(shown) // columns)
    width = min(column_inches() * 1.25, page_inches()) if len(shown) == 1 else page_inches()
    figure = Figure(figsize=(width, 2.5 * lines + 0.25), layout="constrained")
    grid = [axes for line in figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True) for axes in line]
    for place, axes in enumerate(grid):
        axes.set_visible(place < len(shown))
    for axes, (title, points) in zip(grid, shown, strict=False):
        _draw(axes, points)
        axes.set_title(wrapped(title, width / columns), loc="left")
        axes.set_xlabel("Number of flows")
        axes.tick_params(labelbottom=True)
    grid[0].set_ylim(0, 107)
    grid[0].set_xticks(sorted({one.flows for _row, one in found}))
    for axes in grid[::columns]:
        axes.set_ylabel("Share of all goodput (%)")
    series = list(dict.fromkeys(row.series for row, _one in found))
    fair = Line2D([], [], color=GREY, linewidth=0.9, linestyle=(0, (1, 1)), label="fair share")
    add_legend(figure, [*map(series_handle, series), fair])
    caption = (
        "Share of all flows of a series in the goodput of all flows, against the number of flows. Dotted: fair share, "
        f"the number of these flows as a share of all. Markers: means. {SPREAD}{windows.of_values(report)}"
    )
    return Drawn("share-vs-flows", figure, caption, _alt(series, found))


def _draw(axes: Axes, points: Sequence[tuple[Row, Share]]) -> None:
    for series in dict.fromkeys(row.series for row, _one in points):
        own = sorted((one for row, one in points if row.series == series), key=lambda one: one.flows)
        look = series.look
        means = [(one, mean) for one in own if (mean := interval(one.percent, (0.0, 100.0))) is not None]
        x, y = [one.flows for one, _mean in means], [mean.mean for _one, mean in means]
        bars = [error_bar(mean) for _one, mean in means]
        for one in own:
            axes.plot(
                [one.flows] * len(one.percent), one.percent, look.marker, color=look.colour, ms=2.5, alpha=0.4, mew=0
            )
        axes.errorbar(
            x,
            y,
            yerr=[[below for below, _above in bars], [above for _below, above in bars]],
            fmt=look.marker,
            color=look.colour,
            linestyle=look.dashes if len(x) > 2 else "none",
            markersize=4.5,
            elinewidth=0.9,
            capsize=2.5,
            markeredgecolor="white",
            markeredgewidth=0.5,
            zorder=5,
        )
        fair = [100 * one.own / one.flows for one in own]
        axes.plot(x, fair, color=look.colour, alpha=0.7, linewidth=0.9, linestyle=(0, (1, 1)), zorder=2)


def _alt(series: Sequence[object], found: Sequence[tuple[Row, Share]]) -> str:
    parts = []
    for one in series:
        values = [value for row, share_ in found if row.series == one for value in share_.percent]
        label = next(row.series.label for row, _share in found if row.series == one)
        parts.append(f"{label}: {min(values):.3g} to {max(values):.3g} %")
    return f"Share of all goodput against the number of flows. {'; '.join(parts)}."
