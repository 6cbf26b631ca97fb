# SPDX-License-Identifier: Apache-2.0
"""Figures that compare cells: goodput against a parameter, or by cell, and goodput against queueing delay."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation

from lab.analysis.metrics import FlowMetrics
from lab.analysis.statistics import Summary
from lab.evaluation.axes import Quantity, RunAxis
from lab.evaluation.repetition import Measure
from lab.report import windows
from lab.report.figures.drawn import Drawn
from lab.report.figures.look.settings import styled
from lab.report.figures.look.style import COLUMN_INCHES, GREY, MARKERS, PAGE_INCHES, has_colours_for, legend_columns
from lab.report.model import Report, Row

SPREAD = (
    "Error bars: 95 % confidence interval of the mean (Student's t), if there are at least three repetitions. "
    "Small markers: single repetitions."
)
"""The part of the captions that explains error bars and small markers."""
MAX_TICKS = 8
"""More values than this are not all labelled on the x-axis."""
MAX_LEGEND_LINES = 5
"""A legend with more lines than this is placed beside the axes instead of above them."""


def comparison_figures(report: Report) -> list[Drawn]:
    """Return the figures that compare cells: none if there are no results, one if no queueing delay was measured."""
    if not report.rows:
        return []
    with styled():
        first = _against(report, *report.numeric) if report.numeric else _by_cell(report)
        second = _power(report)
    return [first] if second is None else [first, second]


def goodput_in(report: Report) -> Measure:
    """Return a function that takes the goodput from a flow's metrics, in the unit of the report's rates."""
    _unit, scale = report.rate_unit
    return lambda row: None if row.goodput_bps is None else row.goodput_bps / scale


def _goodput_label(report: Report) -> str:
    return f"Goodput ({report.rate_unit[0]})"


def queueing_ms(row: FlowMetrics) -> float | None:
    """Return the mean queueing delay of a flow in milliseconds; None if it was not measured."""
    return None if row.queueing_delay_mean_us is None else row.queueing_delay_mean_us / 1e3


# --- goodput against a number ------------------------------------------------------------------------------


def _against(report: Report, axis: RunAxis, quantity: Quantity) -> Drawn:
    others = [other for other in report.facet_axes if other is not axis]
    place = report.facet_axes.index(axis)
    groups = list(dict.fromkeys(_without(facet, place) for facet in report.facets))[:6]
    columns = min(3, len(groups))
    lines = math.ceil(len(groups) / columns)
    width = COLUMN_INCHES * 1.25 if columns == 1 else PAGE_INCHES
    figure = Figure(figsize=(width, 2.5 * lines + 0.25), layout="constrained")
    panels = [axes for line in figure.subplots(lines, columns, squeeze=False, sharey=True) for axes in line]
    for axes, group in zip(panels, groups, strict=False):
        rows = [row for row in report.rows if _without(row.facet, place) == group]
        _draw_against(axes, report, rows, quantity)
        full = next(facet for facet in report.facets if _without(facet, place) == group)
        axes.set_title(report.facet_title(full, others), loc="left")
    for axes in panels[len(groups) :]:
        axes.set_visible(False)
    for axes in panels[::columns]:
        axes.set_ylabel(_goodput_label(report))
    _series_legend(figure, report, ceiling=True)
    caption = (
        f"Goodput against {quantity.label[0].lower()}{quantity.label[1:]}. Large markers: means, connected by lines. "
        f"{SPREAD} Dashed grey: link capacity (payload), the link's rate minus all headers."
        f"{_mean_caption(report)}{windows.of_values(report)}"
    )
    return Drawn(f"goodput-vs-{quantity.name}", figure, caption)


def _without(facet: tuple[str, ...], place: int) -> tuple[str, ...]:
    return facet[:place] + facet[place + 1 :]


def _draw_against(axes: Axes, report: Report, rows: Sequence[Row], quantity: Quantity) -> None:
    goodput = goodput_in(report)
    numbers = sorted({_number(row, quantity) for row in rows})
    logarithmic = quantity.logarithmic and numbers[-1] > 0 and numbers[-1] >= 8 * min(n for n in numbers if n > 0)
    zero = _zero_place(numbers)

    def x(number: float) -> float:
        if not logarithmic:
            return number
        return math.log10(number) if number > 0 else zero

    for series in dict.fromkeys(row.series for row in rows):
        look = series.look
        line = sorted((row for row in rows if row.series == series), key=lambda row: _number(row, quantity))
        points = [(x(_number(row, quantity)), row.summary(goodput), row.values(goodput)) for row in line]
        for position, _, values in points:
            beside = axes.transData + ScaledTranslation(6 / 72, 0, axes.figure.dpi_scale_trans)
            x_values = [position] * len(values)
            axes.plot(x_values, values, look.marker, color=look.colour, ms=3, alpha=0.45, mew=0, transform=beside)
        means = [(position, summary) for position, summary, _ in points if summary]
        axes.plot([p for p, _ in means], [s.mean for _, s in means], color=look.colour, linestyle=look.dashes, zorder=3)
        _error_bars(axes, [p for p, _ in means], [s for _, s in means], look.colour, look.marker)
    for level in _ceilings(report, rows):
        axes.axhline(level, color=GREY, linewidth=0.8, linestyle=(0, (3, 2)), zorder=1)
    _ticks(axes, numbers, [x(number) for number in numbers], broken=logarithmic and numbers[0] <= 0)
    axes.set_xlabel(quantity.label)
    axes.set_ylim(bottom=0)


def _error_bars(axes: Axes, x: list[float], summaries: list[Summary], colour: str, marker: str) -> None:
    spread = [_spread(summary) for summary in summaries]
    axes.errorbar(
        x,
        [summary.mean for summary in summaries],
        yerr=spread,
        fmt=marker,
        color=colour,
        markersize=4.5,
        elinewidth=0.9,
        capsize=2.5,
        capthick=0.9,
        markeredgecolor="white",
        markeredgewidth=0.5,
        zorder=5,
    )


def _spread(summary: Summary) -> float:
    """Return half the length of the error bar.

    Two repetitions have none: their t quantile is 12.7, so the bar would say nothing.
    """
    return summary.ci95 if summary.ci95 is not None and summary.n > 2 else 0.0


def _zero_place(numbers: Sequence[float]) -> float:
    """Return the position of 0 on a logarithmic axis: two thirds of a decade left of the smallest positive number."""
    positive = [number for number in numbers if number > 0]
    return math.log10(min(positive)) - 0.67 if positive else 0.0


def _ticks(axes: Axes, numbers: Sequence[float], positions: Sequence[float], *, broken: bool) -> None:
    """Label the measured values on the x-axis.  If *broken*, mark the break between 0 and the logarithmic scale."""
    step = math.ceil(len(numbers) / MAX_TICKS)
    axes.set_xticks(list(positions)[::step], [f"{number:g}" for number in numbers][::step])
    axes.margins(x=0.06)
    if broken and len(positions) > 1:
        middle = (positions[0] + positions[1]) / 2
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


def _number(row: Row, quantity: Quantity) -> float:
    return row.used[0].value(quantity.read) or 0.0


def _flows(row: Row) -> list[FlowMetrics]:
    return [flow for repetition in row.used for flow in repetition.flows]


def _ceilings(report: Report, rows: Sequence[Row]) -> list[float]:
    """Return the largest goodput that the links of the rows can carry, for at most three different rates.

    It is in the unit of the report's rates; of a rate that changes, it is the mean while the flow runs.
    """
    _unit, scale = report.rate_unit
    flows = [flow for row in rows for flow in _flows(row)]
    levels = {flow.bottleneck_bps * flow.ceiling / scale for flow in flows if flow.bottleneck_bps}
    # Means of a rate that changes differ a little between flows that do not start together.
    return sorted({float(f"{level:.3g}"): level for level in levels}.values())[:3]


def _mean_caption(report: Report) -> str:
    directions = (way for job in report.jobs for link in job["links"] for way in (link["ab"], link["ba"]))
    changes = any(way["capacity"] or any(change["rate_bps"] for change in way["changes"]) for way in directions)
    return " Where the rate changes, this is its mean while the flow runs." if changes else ""


def _series_legend(figure: Figure, report: Report, *, ceiling: bool) -> None:
    handles = [
        Line2D([], [], color=s.look.colour, linestyle=s.look.dashes, marker=s.look.marker, markersize=4, label=s.label)
        for s in report.series
    ]
    if ceiling:
        handles.append(
            Line2D([], [], color=GREY, linewidth=0.8, linestyle=(0, (3, 2)), label="link capacity (payload)")
        )
    columns = legend_columns([str(handle.get_label()) for handle in handles], figure.get_figwidth())
    if len(handles) > MAX_LEGEND_LINES * columns:
        # So many entries above the axes would leave no room for the axes.
        figure.legend(handles=handles, loc="outside right upper", handlelength=2.6)
        return
    figure.legend(handles=handles, loc="outside upper right", ncols=columns, handlelength=2.6, columnspacing=1.2)


# --- goodput by cell ---------------------------------------------------------------------------------------


def _by_cell(report: Report) -> Drawn:
    rows = report.rows[:60]
    figure = Figure(figsize=(PAGE_INCHES * 0.8, 0.24 * len(rows) + 0.8), layout="constrained")
    axes, goodput = figure.subplots(), goodput_in(report)
    for place, row in enumerate(rows):
        look, summary, values = row.series.look, row.summary(goodput), row.values(goodput)
        axes.plot(values, [place] * len(values), look.marker, color=look.colour, markersize=2.5, alpha=0.35, mew=0)
        if summary:
            axes.errorbar(
                [summary.mean],
                [place],
                xerr=[_spread(summary)],
                fmt=look.marker,
                color=look.colour,
                markersize=4.5,
                elinewidth=0.9,
                capsize=2.5,
                markeredgecolor="white",
                markeredgewidth=0.5,
                zorder=5,
            )
    labels = [", ".join(filter(None, (row.series.label, report.facet_title(row.facet)))) for row in rows]
    axes.set_yticks(range(len(rows)), labels)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(left=0)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(_goodput_label(report))
    caption = f"Goodput by cell. Large markers: means. {SPREAD}{windows.of_values(report)}"
    return Drawn("goodput-by-cell", figure, caption)


# --- the power plot ----------------------------------------------------------------------------------------


def _power(report: Report) -> Drawn | None:
    """Draw goodput against queueing delay.  The delay grows to the left, so the upper right corner is best.

    The result is None if no queueing delay was measured.
    """
    rows = [row for row in report.rows if row.values(queueing_ms)]
    if not rows:
        return None
    facets = list(dict.fromkeys(row.facet for row in rows))
    # If there are not enough colours, markers distinguish the series, and filled and hollow markers up to two cells.
    by_marker = not has_colours_for(len(report.series)) and len(facets) <= 2
    figure = Figure(figsize=(COLUMN_INCHES * 1.45, 3.0), layout="constrained")
    axes = figure.subplots()
    for row in rows:
        place = facets.index(row.facet)
        marker = row.series.look.marker if by_marker else MARKERS[place % len(MARKERS)]
        _draw_power(axes, row, goodput_in(report), marker, hollow=by_marker and place == 1)
    for level in _ceilings(report, rows):
        axes.axhline(level, color=GREY, linewidth=0.8, linestyle=(0, (3, 2)), zorder=1)
    axes.set_ylim(bottom=0)
    axes.margins(x=0.08)
    axes.invert_xaxis()
    axes.set_xlabel("Mean queueing delay (ms), decreasing to the right")
    axes.set_ylabel(_goodput_label(report))
    handles = [*_series_handles(report, by_marker), *_facet_handles(report, facets, by_marker)]
    figure.legend(handles=handles, loc="outside right upper", handletextpad=0.3)
    caption = (
        "Goodput against mean queueing delay (the time that packets wait in queues); the upper right corner is best. "
        "Large markers: means; small markers: single repetitions. Dashed grey: link capacity (payload)."
        f"{_mean_caption(report)}{windows.of_values(report)}"
    )
    return Drawn("goodput-vs-delay", figure, caption)


def _draw_power(axes: Axes, row: Row, goodput: Measure, marker: str, *, hollow: bool) -> None:
    """Draw each repetition of a row as a small marker, and the mean as a large one."""
    colour = row.series.look.colour
    pairs = [(item.value(queueing_ms), item.value(goodput)) for item in row.used]
    known = [(delay, rate) for delay, rate in pairs if delay is not None and rate is not None]
    delays, rates = [delay for delay, _ in known], [rate for _, rate in known]
    axes.plot(delays, rates, marker, color=colour, markersize=3, alpha=0.3, mew=0, linestyle="none")
    mean_delay, mean_rate = row.summary(queueing_ms), row.summary(goodput)
    if mean_delay and mean_rate:
        axes.plot(
            [mean_delay.mean],
            [mean_rate.mean],
            marker,
            color=colour,
            markersize=6,
            markerfacecolor="white" if hollow else colour,
            markeredgecolor=colour if hollow else "white",
            mew=1.0 if hollow else 0.6,
            zorder=5,
        )


def _series_handles(report: Report, by_marker: bool) -> list[Line2D]:
    looks = [(series, series.look.marker if by_marker else "o") for series in report.series]
    return [_marker_handle(series.label, colour=series.look.colour, marker=marker, size=5) for series, marker in looks]


def _facet_handles(report: Report, facets: list[tuple[str, ...]], by_marker: bool) -> list[Line2D]:
    """Return the legend entries that explain the markers of the cells; none if there is only one cell."""
    if len(facets) == 1:
        return []
    if by_marker:
        return [
            _marker_handle(report.facet_title(facet), face=face)
            for facet, face in zip(facets, (GREY, "white"), strict=True)
        ]
    return [
        _marker_handle(report.facet_title(facet), marker=MARKERS[number % len(MARKERS)])
        for number, facet in enumerate(facets)
    ]


def _marker_handle(
    label: str, *, colour: str = GREY, marker: str = "o", size: float = 4.5, face: str | None = None
) -> Line2D:
    look: dict[str, Any] = {"markerfacecolor": face} if face else {}
    return Line2D([], [], color=colour, marker=marker, linestyle="none", markersize=size, label=label, **look)
