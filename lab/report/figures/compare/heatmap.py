# SPDX-License-Identifier: Apache-2.0
"""A metric as colours over two axes of the matrix, with a panel for each series."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from lab.evaluation.axes import RunAxis, value_label
from lab.report import windows
from lab.report.figures.compare.axis import number_axis
from lab.report.figures.compare.quantities import Metric
from lab.report.figures.drawn import Drawn
from lab.report.figures.look.labels import cell_title, wrapped
from lab.report.figures.look.scales import spans_decades
from lab.report.figures.look.sizes import page_inches, panel_columns
from lab.report.model import Report, Row

MAX_PANELS = 6
COLOURS = "cividis"
"""Colours that people with any kind of colour vision order in the same way, and that print in grey."""


def heatmap(report: Report, x: RunAxis, y: RunAxis, metric: Metric) -> Drawn | None:
    """Draw the mean of *metric* over the axes *x* and *y*; None if no row has a value.

    There is a panel for each series, or for each combination of the other axes that it has.
    """
    panels: dict[str, list[Row]] = {}
    others = [axis for axis in report.facet_axes if axis.path not in (x.path, y.path)]
    for row in report.rows:
        if row.values(metric.read):
            own = "" if _is_of_series(report, x) or _is_of_series(report, y) else row.series.label
            panels.setdefault(", ".join(filter(None, (own, cell_title(report, row.facet, others)))), []).append(row)
    if not panels:
        return None
    shown = list(panels.items())[:MAX_PANELS]
    columns = panel_columns(len(shown))
    lines = math.ceil(len(shown) / columns)
    height = 0.3 * len(y.values) + 0.75
    figure = Figure(figsize=(page_inches(), lines * height + 0.2), layout="constrained")
    grid = [axes for line in figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True) for axes in line]
    tables = [_means(report, rows, x, y, metric) for _title, rows in shown]
    known = np.concatenate([table[np.isfinite(table)] for table in tables])
    norm = _norm(known, metric)
    for place, axes in enumerate(grid):
        axes.set_visible(place < len(shown))
    for axes, (title, _rows), table in zip(grid, shown, tables, strict=False):
        image = _draw(axes, table, x, y, norm)
        axes.set_title(wrapped(title, page_inches() / columns), loc="left")
    for axes in grid[: len(shown)][-columns:]:
        axes.set_xlabel(_label(x))
        axes.tick_params(labelbottom=True)
    for axes in grid[::columns]:
        axes.set_ylabel(_label(y))
    figure.colorbar(image, ax=grid[: len(shown)], label=metric.label, aspect=25, pad=0.01)
    caption = f"{metric.text} over {_label(x)} and {_label(y)}: means over the repetitions.{windows.of_values(report)}"
    alt = f"{metric.label} over {_label(x)} and {_label(y)}: {known.min():.3g} to {known.max():.3g}."
    return Drawn(f"heatmap-{metric.name.replace('_', '-')}", figure, caption, alt)


def _is_of_series(report: Report, axis: RunAxis) -> bool:
    return axis.path not in {other.path for other in report.facet_axes}


def _label(axis: RunAxis) -> str:
    number = number_axis(axis)
    return number.label if number else axis.label


def _means(report: Report, rows: Sequence[Row], x: RunAxis, y: RunAxis, metric: Metric) -> np.ndarray:
    """Return the means by place on the axes; NaN where there is none."""
    table = np.full((len(y.values), len(x.values)), np.nan)
    for row in rows:
        cell, summary = row.used[0].evaluated.trial.cell, row.summary(metric.read)
        if summary:
            table[y.rank(cell.get(y.path)), x.rank(cell.get(x.path))] = summary.mean
    return table


def _norm(values: np.ndarray, metric: Metric) -> Normalize:
    if metric.is_delay and spans_decades(values):
        return LogNorm(values[values > 0].min(), values.max())
    return Normalize(0.0, float(values.max()) or 1.0)


def _draw(axes: Axes, table: np.ndarray, x: RunAxis, y: RunAxis, norm: Normalize):  # type: ignore[no-untyped-def]
    image = axes.imshow(table, origin="lower", aspect="auto", cmap=COLOURS, norm=norm)
    for (line, column), value in np.ndenumerate(table):
        if np.isfinite(value):
            dark = norm(value) < 0.55
            axes.text(column, line, f"{value:.3g}", ha="center", va="center", fontsize=6, color="w" if dark else "k")
    for axis, ticks in ((x, axes.set_xticks), (y, axes.set_yticks)):
        number = number_axis(axis)
        labels = [f"{one:g}" for one in number.numbers] if number else [value_label(axis, one) for one in axis.values]
        ticks(range(len(labels)), labels)
    axes.grid(visible=False)
    return image
