# SPDX-License-Identifier: Apache-2.0
"""Figures of a metric against an axis of the matrix that stands for numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation

from lab.report import windows
from lab.report.figures.compare import closed_forms
from lab.report.figures.compare.axis import NumberAxis
from lab.report.figures.compare.quantities import Metric, error_bar, estimated, values_of
from lab.report.figures.compare.reference import (
    SPREAD,
    add_legend,
    capacities,
    capacity_caption,
    capacity_handle,
    changes,
    draw_capacities,
    series_handle,
)
from lab.report.figures.drawn import Drawn
from lab.report.figures.look.labels import DIRECT, cell_title, label_lines, wrapped
from lab.report.figures.look.scales import scale_y, spans_decades
from lab.report.figures.look.sizes import column_inches, page_inches, panel_columns
from lab.report.figures.look.style import mixed
from lab.report.model import Report, Row

MAX_TICKS = 8
"""More values than this are not all labelled on the x-axis."""
MAX_PANELS = 6
_FORM: Any = (0, (1.5, 1))
"""Line style of closed forms."""


@dataclass(frozen=True)
class _Panel:
    title: str
    rows: tuple[Row, ...]


def against(report: Report, x: NumberAxis, y: Metric) -> Drawn | None:
    """Draw metric *y* against the axis *x*, with a panel for each combination of the other axes.

    The result is None if no row has a value.
    """
    rows = [row for row in report.rows if row.values(y.read)]
    if not rows:
        return None
    panels = _panels(report, rows, x)
    columns = panel_columns(len(panels))
    lines = math.ceil(len(panels) / columns)
    width = min(column_inches() * 1.25, page_inches()) if len(panels) == 1 else page_inches()
    figure = Figure(figsize=(width, 2.5 * lines + 0.25), layout="constrained")
    grid = [axes for line in figure.subplots(lines, columns, squeeze=False, sharey=True) for axes in line]
    logarithmic = y.is_delay and spans_decades(values_of(rows, y))
    levels = capacities(report, rows) if y.name == "goodput" else []
    series = [one for one in report.series if any(row.series == one for row in rows)]
    for axes, panel in zip(grid, panels, strict=False):
        _draw(axes, report, panel.rows, x, y)
        draw_capacities(axes, capacities(report, panel.rows) if y.name == "goodput" else [])
        axes.set_title(wrapped(panel.title, width / columns), loc="left")
        axes.set_xlabel(x.label)
    forms = _draw_forms(grid, report, panels, x) if (x.name, y.name) == ("loss", "goodput") else []
    scale_y(grid[0], [*values_of(rows, y), *levels], logarithmic=logarithmic)
    for place, axes in enumerate(grid):
        axes.set_visible(place < len(panels))
        if len(series) > DIRECT and (place % columns == columns - 1 or place == len(panels) - 1):
            label_lines(axes, _ends(panels[min(place, len(panels) - 1)].rows, x, y))
    for axes in grid[::columns]:
        axes.set_ylabel(y.label)
    handles = [series_handle(one) for one in series] if len(series) <= DIRECT else []
    add_legend(figure, [*handles, *forms, *([capacity_handle()] if levels else [])])
    return Drawn(
        f"{y.name.replace('_', '-')}-vs-{x.name}", figure, _caption(report, x, y, forms), alt(report, x, y, rows)
    )


def alt(report: Report, x: NumberAxis, y: Metric, rows: Sequence[Row]) -> str:
    """Return a text that says what the figure shows to somebody who does not see it."""
    parts = []
    for series in report.series:
        own = sorted((row for row in rows if row.series == series), key=lambda row: _number(report, row, x))
        means = [(row, summary) for row in own if (summary := row.summary(y.read))]
        if means:
            (first, low), (last, high) = means[0], means[-1]
            ends = [f"{s.mean:.3g} at {_number(report, row, x):g}" for row, s in ((first, low), (last, high))]
            parts.append(f"{series.label}: {' to '.join(dict.fromkeys(ends))}")
    return f"{y.label} against {_lower(x.label)}. {'; '.join(parts)}."


def _caption(report: Report, x: NumberAxis, y: Metric, forms: Sequence[Line2D]) -> str:
    capacity = capacity_caption(report) if y.name == "goodput" else ""
    models = (
        " Dotted: closed forms for a single flow (Mathis et al. 1997; RFC 9438, section 5.1), drawn for losses of at "
        f"most {closed_forms.MOST_LOSS:.0%} and for windows that the link can carry."
        if forms
        else ""
    )
    return (
        f"{y.text} against {_lower(x.label)}. Large markers: means"
        f"{', connected by lines' if len(x.numbers) > 2 else ''}. {SPREAD}{capacity}{models}{windows.of_values(report)}"
    )


def _lower(text: str) -> str:
    return text if text[1:2].isupper() else text[0].lower() + text[1:]


def _panels(report: Report, rows: Sequence[Row], x: NumberAxis) -> list[_Panel]:
    others = [axis for axis in report.facet_axes if axis.path != x.axis.path]
    place = [axis.path for axis in report.facet_axes].index(x.axis.path)
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(row.facet[:place] + row.facet[place + 1 :], []).append(row)
    found = [_Panel(cell_title(report, own[0].facet, others), tuple(own)) for own in groups.values()]
    return found[:MAX_PANELS]


def _number(report: Report, row: Row, x: NumberAxis) -> float:
    return x.number(row.facet[[axis.path for axis in report.facet_axes].index(x.axis.path)])


def _places(x: NumberAxis) -> dict[float, float]:
    """Return number → its position on the x-axis.

    On a logarithmic axis, zero is two thirds of a decade left of the smallest positive number.
    """
    numbers = sorted(set(x.numbers))
    if not x.logarithmic:
        return {number: number for number in numbers}
    zero = math.log10(min(number for number in numbers if number > 0)) - 0.67
    return {number: math.log10(number) if number > 0 else zero for number in numbers}


def _draw(axes: Axes, report: Report, rows: Sequence[Row], x: NumberAxis, y: Metric) -> None:
    places = _places(x)
    for series in dict.fromkeys(row.series for row in rows):
        look = series.look
        own = sorted((row for row in rows if row.series == series), key=lambda row: _number(report, row, x))
        points = [(places[_number(report, row, x)], row) for row in own]
        for position, row in points:
            beside = axes.transData + ScaledTranslation(6 / 72, 0, axes.figure.dpi_scale_trans)
            values = row.values(y.read)
            style: dict[str, Any] = {"color": look.colour, "ms": 3, "alpha": 0.45, "mew": 0, "transform": beside}
            axes.plot([position] * len(values), values, look.marker, **style)
        means = [(position, mean) for position, row in points if (mean := estimated(report, y, row))]
        line = [position for position, _mean in means], [mean.mean for _position, mean in means]
        if len(x.numbers) > 2:
            # A line between two values would suggest that something is known about those between them.
            axes.plot(*line, color=look.colour, linestyle=look.dashes, zorder=3)
        bars = [error_bar(mean) for _position, mean in means]
        axes.errorbar(
            *line,
            yerr=[[below for below, _above in bars], [above for _below, above in bars]],
            fmt=look.marker,
            color=look.colour,
            markersize=4.5,
            elinewidth=0.9,
            capsize=2.5,
            capthick=0.9,
            markeredgecolor="white",
            markeredgewidth=0.5,
            zorder=5,
        )
    _ticks(axes, x, places)


def _ticks(axes: Axes, x: NumberAxis, places: dict[float, float]) -> None:
    """Label the measured values on the x-axis; mark the break between 0 and a logarithmic scale."""
    step = math.ceil(len(places) / MAX_TICKS)
    axes.set_xticks(list(places.values())[::step], [f"{number:g}" for number in places][::step])
    axes.margins(x=0.06)
    if not x.logarithmic and min(places) >= 0 and len(places) > 2 and max(places) >= 2 * min(places):
        axes.set_xlim(left=min(0.0, -0.04 * max(places)) if min(places) == 0 else 0)
    if x.logarithmic and min(places) <= 0 and len(places) > 1:
        zero, first = list(places.values())[:2]
        middle = (zero + first) / 2
        for shift in (-0.03, 0.03):
            axes.plot(
                [middle + shift],
                [0],
                marker=[(-0.4, -1), (0.4, 1)],
                markersize=7,
                color="#333333",
                mew=0.8,
                transform=axes.get_xaxis_transform(),
                clip_on=False,
                zorder=6,
            )


def _ends(rows: Sequence[Row], x: NumberAxis, y: Metric) -> list[tuple[float, str, str]]:
    found = []
    for series in dict.fromkeys(row.series for row in rows):
        own = [row for row in rows if row.series == series]
        summary = own[-1].summary(y.read)
        if summary is not None:
            found.append((summary.mean, series.label, series.look.colour))
    return found


def _draw_forms(grid: Sequence[Axes], report: Report, panels: Sequence[_Panel], x: NumberAxis) -> list[Line2D]:
    """Draw the closed forms of the algorithms in each panel; return their legend entries."""
    handles: dict[str, Line2D] = {}
    if changes(report):
        return []
    for axes, panel in zip(grid, panels, strict=False):
        for series in dict.fromkeys(row.series for row in panel.rows):
            own = [row for row in panel.rows if row.series == series]
            points = closed_forms.curve(report, own, series.algorithm, x.numbers)
            if not points:
                continue
            place = math.log10 if x.logarithmic else float
            colour = mixed(series.look.colour, -0.25)
            style: dict[str, Any] = {"color": colour, "linewidth": 0.9, "linestyle": _FORM, "zorder": 2}
            axes.plot([place(loss) for loss, _rate in points], [rate for _loss, rate in points], **style)
            label = closed_forms.FORMS[series.algorithm].label
            handles[label] = Line2D([], [], label=label, **style)
    return list(handles.values())
