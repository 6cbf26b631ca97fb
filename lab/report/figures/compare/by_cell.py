# SPDX-License-Identifier: Apache-2.0
"""Figures with a line for each series of each cell, for axes that stand for no numbers, such as disciplines."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lab.report import windows
from lab.report.figures.compare.quantities import Metric, error_bar, estimated, values_of
from lab.report.figures.compare.reference import CAPACITY, SPREAD, capacities, capacity_caption
from lab.report.figures.drawn import Drawn
from lab.report.figures.look.labels import cell_title, wrapped
from lab.report.figures.look.scales import HEADROOM, plain_logarithm, spans_decades
from lab.report.figures.look.sizes import page_inches
from lab.report.model import Report, Row
from lab.words import listed

MAX_ROWS = 60
"""Largest number of lines; the table of results has the others."""


def by_cell(report: Report, metrics: Sequence[Metric]) -> Drawn | None:
    """Draw each of *metrics* in a column of its own, with a line for each series of each cell.

    The result is None if no metric has a value.
    """
    rows = report.rows[:MAX_ROWS]
    shown = [metric for metric in metrics if values_of(rows, metric)]
    if not shown:
        return None
    width = page_inches() * (0.8 if len(shown) == 1 else 1)
    figure = Figure(figsize=(width, 0.24 * len(rows) + 0.8), layout="constrained")
    columns: Sequence[Axes] = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    for axes, metric in zip(columns, shown, strict=True):
        _draw(axes, report, rows, metric)
        axes.set_xlabel(wrapped(metric.label, 0.8 * width / len(shown)))
    labels = [", ".join(filter(None, (row.series.label, cell_title(report, row.facet)))) for row in rows]
    columns[0].set_yticks(range(len(rows)), labels)
    columns[0].set_ylim(len(rows) - 0.4, -0.6)
    for axes in columns:
        axes.grid(axis="y", visible=False)
    names = listed(metric.text if place == 0 else _lower(metric.text) for place, metric in enumerate(shown))
    capacity = capacity_caption(report) if shown[0].name == "goodput" else ""
    left_out = f" {len(report.rows) - MAX_ROWS} more cells are in the table." if len(report.rows) > MAX_ROWS else ""
    caption = f"{names} by cell. Large markers: means. {SPREAD}{capacity}{left_out}{windows.of_values(report)}"
    return Drawn(f"{shown[0].name.replace('_', '-')}-by-cell", figure, caption, _alt(report, rows, shown))


def _lower(text: str) -> str:
    return text[0].lower() + text[1:]


def _draw(axes: Axes, report: Report, rows: Sequence[Row], metric: Metric) -> None:
    for place, row in enumerate(rows):
        look, mean, values = row.series.look, estimated(report, metric, row), row.values(metric.read)
        axes.plot(values, [place] * len(values), look.marker, color=look.colour, markersize=2.5, alpha=0.35, mew=0)
        if mean:
            below, above = error_bar(mean)
            axes.errorbar(
                [mean.mean],
                [place],
                xerr=[[below], [above]],
                fmt=look.marker,
                color=look.colour,
                markersize=4.5,
                elinewidth=0.9,
                capsize=2.5,
                markeredgecolor="white",
                markeredgewidth=0.5,
                zorder=5,
            )
    values = values_of(rows, metric)
    if metric.is_delay and spans_decades(values):
        axes.set_xscale("log")
        axes.set_xlim(min(value for value in values if value > 0) / 1.4, max(values) * 1.4)
        plain_logarithm(axes.xaxis)
    else:
        levels = capacities(report, rows) if metric.name == "goodput" else []
        for level in levels:
            axes.axvline(level, **CAPACITY)
        axes.set_xlim(0, max([*values, *levels]) * HEADROOM or 1)


def _alt(report: Report, rows: Sequence[Row], metrics: Sequence[Metric]) -> str:
    parts = []
    for metric in metrics:
        means = [
            (summary.mean, ", ".join(filter(None, (row.series.label, cell_title(report, row.facet)))))
            for row in rows
            if (summary := row.summary(metric.read))
        ]
        (low, least), (high, most) = min(means), max(means)
        parts.append(f"{metric.label} by cell: from {low:.3g} ({least}) to {high:.3g} ({most}).")
    return " ".join(parts)
