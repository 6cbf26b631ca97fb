# SPDX-License-Identifier: Apache-2.0
"""Goodput against queueing delay, as in the papers on Pantheon and Copa: the upper right corner is best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon
from numpy.typing import NDArray

from lab.report import windows
from lab.report.figures.compare.axis import NumberAxis, x_axis
from lab.report.figures.compare.quantities import Metric, goodput, metric, top, values_of
from lab.report.figures.compare.reference import capacities, capacity_caption, draw_capacities
from lab.report.figures.drawn import Drawn
from lab.report.figures.look.labels import DIRECT, cell_title
from lab.report.figures.look.scales import HEADROOM, plain_logarithm, scale_y, spans_decades
from lab.report.figures.look.sizes import column_inches, page_inches
from lab.report.figures.look.style import GREY, MARKERS
from lab.report.model import Report, Row, Series

LEAST_WIDTH_MS = 1.0
"""Smallest width of the axis of delays: less would make differences of microseconds look large."""
LEAST_FOR_ELLIPSE = 3
"""Fewer repetitions have no ellipse."""
ELLIPSE_ALPHA = 0.16


def plane(report: Report) -> Drawn | None:
    """Draw goodput against mean queueing delay; None if no queueing delay was measured."""
    delay, rate = metric(report, "queueing_delay"), goodput(report)
    rows = [row for row in report.rows if row.values(delay.read)]
    if not rows:
        return None
    facets = list(dict.fromkeys(row.facet for row in rows))
    path = _path(report, facets)
    figure = Figure(figsize=(min(column_inches() * 1.45, page_inches()), 3.0), layout="constrained")
    axes = figure.subplots()
    delays = values_of(rows, delay)
    logarithmic = spans_decades(delays)
    direct = path is None and len(facets) == 1 and len(report.series) > DIRECT
    for row in rows:
        marker = row.series.look.marker if path or len(facets) == 1 else MARKERS[facets.index(row.facet) % len(MARKERS)]
        _draw(axes, report, row, (delay, rate), marker, logarithmic=logarithmic)
        if direct:
            _label_row(axes, row, delay, rate)
    if path:
        _join(axes, report, rows, path, delay, rate)
    levels = capacities(report, rows)
    draw_capacities(axes, levels)
    scale_y(axes, [*values_of(rows, rate), *levels], logarithmic=False)
    _scale_delays(axes, delays, logarithmic=logarithmic)
    axes.set_xlabel("Mean queueing delay (ms), decreasing to the right")
    axes.set_ylabel(rate.label)
    _mark_better(axes)
    handles = [] if direct else _series_handles(report, rows, by_facet=path is None and len(facets) > 1)
    handles += _facet_handles(report, facets) if path is None else []
    if handles:
        figure.legend(handles=handles, loc="outside right upper", handletextpad=0.3)
    return Drawn("goodput-vs-delay", figure, _caption(report, path), _alt(report, rows, delay, rate))


def _path(report: Report, facets: Sequence[tuple[str, ...]]) -> NumberAxis | None:
    """Return the axis along which the cells of a series are joined; None if the cells differ in other ways as well."""
    found = x_axis(report.facet_axes)
    return found if found and len(report.facet_axes) == 1 and len(facets) > 2 else None


def _draw(
    axes: Axes, report: Report, row: Row, metrics: tuple[Metric, Metric], marker: str, *, logarithmic: bool
) -> None:
    """Draw each repetition of a row as a small marker, the mean as a large one, and the ellipse around them."""
    colour = row.series.look.colour
    delay, rate = metrics
    known = [
        (x, y)
        for item in row.used
        if (x := item.value(delay.read)) is not None and (y := item.value(rate.read)) is not None
    ]
    if not known:
        return
    points = np.array(known)
    axes.plot(points[:, 0], points[:, 1], marker, color=colour, markersize=3, alpha=0.3, mew=0, clip_on=False)
    outline = ellipse(points, logarithmic=logarithmic)
    if outline is not None:
        most = top(report, rate, row)
        outline[:, 1] = np.clip(outline[:, 1], 0, most if most is not None else np.inf)
        outline[:, 0] = np.maximum(outline[:, 0], 0)
        axes.add_patch(Polygon(outline, facecolor=colour, alpha=ELLIPSE_ALPHA, linewidth=0, zorder=2))
    mean = points.mean(axis=0)
    face: dict[str, Any] = _hollow(report, row.series) or {"mec": "white", "mew": 0.6}
    axes.plot([mean[0]], [mean[1]], marker, color=colour, markersize=6, zorder=5, clip_on=False, **face)


def _hollow(report: Report, series: Series) -> dict[str, Any]:
    """Return the style of a hollow marker for a series that has the colour of one before it; else nothing."""
    alike = [other for other in report.series if other.look.colour == series.look.colour]
    return {"mfc": "white", "mec": series.look.colour, "mew": 1.1} if alike.index(series) else {}


def ellipse(points: NDArray[np.float64], *, logarithmic: bool) -> NDArray[np.float64] | None:
    """Return the outline of the ellipse of one standard deviation of *points* (x, y), as in the figures of Copa.

    It is that of the normal distribution with the greatest likelihood.  With *logarithmic*, the x are taken as their
    logarithms.  The result is None for fewer than three points, and where they do not differ.
    """
    if len(points) < LEAST_FOR_ELLIPSE:
        return None
    place = np.array(points, dtype=np.float64)
    if logarithmic:
        if (place[:, 0] <= 0).any():
            return None
        place[:, 0] = np.log10(place[:, 0])
    values, vectors = np.linalg.eigh(np.cov(place.T, bias=True))
    if not values.max() > 1e-18:
        return None
    angle = np.linspace(0, 2 * np.pi, 73)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    outline = (vectors @ (np.sqrt(np.maximum(values, 0))[:, None] * circle)).T + place.mean(axis=0)
    if logarithmic:
        outline[:, 0] = 10 ** outline[:, 0]
    return np.asarray(outline)


def _join(axes: Axes, report: Report, rows: Sequence[Row], path: NumberAxis, delay: Metric, rate: Metric) -> None:
    """Join the means of each series in the order of the axis, and write the first and the last number beside them."""
    for series in dict.fromkeys(row.series for row in rows):
        own = sorted((row for row in rows if row.series == series), key=lambda row: path.number(row.facet[0]))
        means = [
            (x.mean, y.mean, path.number(row.facet[0]))
            for row in own
            if (x := row.summary(delay.read)) and (y := row.summary(rate.read))
        ]
        xs, ys = [x for x, _y, _n in means], [y for _x, y, _n in means]
        axes.plot(xs, ys, color=series.look.colour, linestyle=series.look.dashes, linewidth=0.9, zorder=3)
        for delay_ms, rate_, number in _apart(means):
            axes.annotate(
                f"{number:g} {path.unit}".strip(),
                (delay_ms, rate_),
                xytext=(0, -9),
                textcoords="offset points",
                ha="center",
                fontsize=6,
                color=series.look.colour,
            )


def _apart(means: Sequence[tuple[float, float, float]]) -> list[tuple[float, float, float]]:
    """Return the first and the last point of a line, or none if their labels would overlap."""
    (first_x, first_y, _), (last_x, last_y, _) = means[0], means[-1]
    far_x = max(first_x, last_x) > 1.5 * min(first_x, last_x)
    far_y = abs(first_y - last_y) > 0.1 * max(first_y, last_y)
    return [means[0], means[-1]] if far_x or far_y else []


def _label_row(axes: Axes, row: Row, delay: Metric, rate: Metric) -> None:
    x, y = row.summary(delay.read), row.summary(rate.read)
    if x and y:
        offset: Any = {"xytext": (4, 2), "textcoords": "offset points"}
        axes.annotate(row.series.label, (x.mean, y.mean), fontsize=6, color=row.series.look.colour, **offset)


def _scale_delays(axes: Axes, delays: Sequence[float], *, logarithmic: bool) -> None:
    if logarithmic:
        positive = [value for value in delays if value > 0]
        axes.set_xscale("log")
        axes.set_xlim(max(positive) * 1.5, min(positive) / 1.5)
        plain_logarithm(axes.xaxis)
        return
    high = max(LEAST_WIDTH_MS, max(delays) * HEADROOM)
    axes.set_xlim(high, -0.02 * high)


def _mark_better(axes: Axes) -> None:
    axes.annotate(
        "better",
        xy=(0.99, 0.13),
        xytext=(0.89, 0.03),
        xycoords="axes fraction",
        textcoords="axes fraction",
        arrowprops={"arrowstyle": "-|>", "color": GREY, "linewidth": 0.8, "mutation_scale": 8},
        fontsize=6.5,
        color=GREY,
        ha="right",
        va="bottom",
    )


def _series_handles(report: Report, rows: Sequence[Row], *, by_facet: bool) -> list[Line2D]:
    found = []
    for series in report.series:
        if any(row.series == series for row in rows):
            look = series.look
            marker = "o" if by_facet else look.marker
            found.append(_handle(series.label, look.colour, marker, 5, **_hollow(report, series)))
    return found


def _facet_handles(report: Report, facets: Sequence[tuple[str, ...]]) -> list[Line2D]:
    """Return the legend entries that explain the markers of the cells; none if there is only one cell."""
    if len(facets) == 1:
        return []
    return [
        _handle(cell_title(report, facet), GREY, MARKERS[number % len(MARKERS)], 4.5)
        for number, facet in enumerate(facets)
    ]


def _handle(label: str, colour: str, marker: str, size: float, **look: Any) -> Line2D:
    return Line2D([], [], color=colour, marker=marker, linestyle="none", markersize=size, label=label, **look)


def _caption(report: Report, path: NumberAxis | None) -> str:
    joined = ""
    if path:
        label = path.label[0].lower() + path.label[1:]
        joined = (
            f" Lines join the cells of a series in the order of the {label}; its ends are labelled, if they are apart."
        )
    return (
        "Goodput against mean queueing delay (the time that packets wait in queues); the upper right corner is best. "
        "Large markers: means; small markers: single repetitions; shaded: ellipse of one standard deviation, if there "
        f"are at least three repetitions.{joined}{capacity_caption(report)}{windows.of_values(report)}"
    )


def _alt(report: Report, rows: Sequence[Row], delay: Metric, rate: Metric) -> str:
    parts = []
    for series in report.series:
        own = [row for row in rows if row.series == series]
        delays, rates = values_of(own, delay), values_of(own, rate)
        if delays and rates:
            parts.append(
                f"{series.label}: {min(rates):.3g} to {max(rates):.3g} {rate.unit} at {min(delays):.3g} to "
                f"{max(delays):.3g} ms"
            )
    return f"Goodput ({rate.unit}) against mean queueing delay (ms). {'; '.join(parts)}."
