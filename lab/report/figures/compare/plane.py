# SPDX-License-Identifier: Apache-2.0
"""Goodput against queueing delay, as in the papers on Pantheon and Copa: the upper right corner is best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
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
from lab.report.figures.look.labels import DIRECT, cell_title, wrapped
from lab.report.figures.look.placing import Box, around, place, text_box
from lab.report.figures.look.scales import HEADROOM, plain_logarithm, scale_y, spans_decades
from lab.report.figures.look.sizes import column_inches, page_inches, panel_columns
from lab.report.figures.look.style import GREY, MARKERS
from lab.report.model import Report, Row, Series

LEAST_WIDTH_MS = 1.0
"""Smallest width of the axis of delays: less would make differences of microseconds look large."""
LEAST_FOR_ELLIPSE = 3
"""Fewer repetitions have no ellipse."""
ELLIPSE_ALPHA = 0.16
MAX_PANELS = 6
"""Largest number of panels; with more cells, they are in the same one."""
_X_LABEL = "Mean queueing delay (ms), decreasing to the right"
_SHORT_X_LABEL = "Mean queueing delay (ms)"
_LONG_INCHES = 3.3
"""A panel that is wider than this has room for the long label."""
_FONT = 6.0
"""Size of the texts beside points."""
_POINT_SIZE = 5.0
"""Size of a marker, in points of 1/72 inch."""
_FAR = 9.0
"""A text that is further from its point than this has a line to it, in points of 1/72 inch."""
_BETTER = (46.0, 22.0)
"""Width and height of the word ``better`` with its arrow, in points of 1/72 inch."""


def plane(report: Report) -> Drawn | None:
    """Draw goodput against mean queueing delay; None if no queueing delay was measured."""
    delay, rate = metric(report, "queueing_delay"), goodput(report)
    rows = [row for row in report.rows if row.values(delay.read)]
    if not rows:
        return None
    facets = list(dict.fromkeys(row.facet for row in rows))
    path = _path(report, facets)
    # So many algorithms have their names beside their markers, which takes a panel for each cell.
    direct = path is None and len(report.series) > DIRECT and len(facets) <= MAX_PANELS
    panels = [[row for row in rows if row.facet == facet] for facet in facets] if direct else [rows]
    columns = panel_columns(len(panels), 2)
    lines = math.ceil(len(panels) / columns)
    width = page_inches() if len(panels) > 1 else min(column_inches() * 1.45, page_inches())
    figure = Figure(figsize=(width, 3.0 * lines), layout="constrained")
    grid = [axes for line in figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True) for axes in line]
    delays, levels = values_of(rows, delay), capacities(report, rows)
    logarithmic = spans_decades(delays)
    for axes, own in zip(grid, panels, strict=False):
        for row in own:
            by_series = path or len(facets) == 1 or direct
            marker = row.series.look.marker if by_series else MARKERS[facets.index(row.facet) % len(MARKERS)]
            _draw(axes, report, row, (delay, rate), marker, logarithmic=logarithmic)
        if path:
            _join(axes, own, path, delay, rate)
        draw_capacities(axes, capacities(report, own))
        if len(panels) > 1:
            axes.set_title(wrapped(cell_title(report, own[0].facet), width / columns), loc="left")
    scale_y(grid[0], [*values_of(rows, rate), *levels], logarithmic=False)
    _scale_delays(grid[0], delays, logarithmic=logarithmic)
    for number, axes in enumerate(grid):
        axes.set_visible(number < len(panels))
        if number % columns == 0:
            axes.set_ylabel(rate.label)
        if number + columns >= len(panels):
            axes.set_xlabel(_X_LABEL if width / columns > _LONG_INCHES else _SHORT_X_LABEL)
            axes.tick_params(labelbottom=True)
    handles = [] if direct else _series_handles(report, rows, by_facet=path is None and len(facets) > 1)
    handles += _facet_handles(report, facets) if path is None and not direct else []
    if handles:
        figure.legend(handles=handles, loc="outside right upper", handletextpad=0.3)
    # Texts find their places when everything else has its own.
    figure.draw_without_rendering()
    for axes, own in zip(grid, panels, strict=False):
        pairs = [(row, row.summary(delay.read), row.summary(rate.read)) for row in own]
        means = [(row, x.mean, y.mean) for row, x, y in pairs if x and y]
        texts = _series_texts(means) if direct else _end_texts(means, path) if path else []
        _mark_better(axes, _write(axes, texts))
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


def _join(axes: Axes, rows: Sequence[Row], path: NumberAxis, delay: Metric, rate: Metric) -> None:
    """Join the means of each series in the order of the axis."""
    for series in dict.fromkeys(row.series for row in rows):
        own = sorted((row for row in rows if row.series == series), key=lambda row: path.number(row.facet[0]))
        means = [(x.mean, y.mean) for row in own if (x := row.summary(delay.read)) and (y := row.summary(rate.read))]
        look = series.look
        axes.plot(*zip(*means, strict=True), color=look.colour, linestyle=look.dashes, linewidth=0.9, zorder=3)


@dataclass(frozen=True)
class _Text:
    """A text beside a point."""

    x: float
    y: float
    text: str
    colour: str


def _series_texts(means: Sequence[tuple[Row, float, float]]) -> list[_Text]:
    return [_Text(x, y, row.series.label, row.series.look.colour) for row, x, y in means]


def _end_texts(means: Sequence[tuple[Row, float, float]], path: NumberAxis) -> list[_Text]:
    """Return the numbers at the first and the last point of each line, or none if it is too short for two."""
    found = []
    for series in dict.fromkeys(row.series for row, _x, _y in means):
        own = sorted((path.number(row.facet[0]), x, y) for row, x, y in means if row.series == series)
        (_, first_x, first_y), (_, last_x, last_y) = own[0], own[-1]
        far_x = max(first_x, last_x) > 1.5 * min(first_x, last_x)
        if far_x or abs(first_y - last_y) > 0.1 * max(first_y, last_y):
            found += [
                _Text(x, y, f"{number:g} {path.unit}".strip(), series.look.colour) for number, x, y in (own[0], own[-1])
            ]
    return found


def _write(axes: Axes, texts: Sequence[_Text]) -> list[Box]:
    """Write texts beside their points where there is room; return what is taken now, by points, lines and texts."""
    taken = [around(x, y, _POINT_SIZE) for x, y in _points(axes)]
    places = place([(*_in_points(axes, [one.x], [one.y])[0], one.text) for one in texts], _FONT, _inside(axes), taken)
    for one, (left, middle) in zip(texts, places, strict=True):
        (x, y) = _in_points(axes, [one.x], [one.y])[0]
        box = text_box(left, middle, one.text, _FONT)
        taken.append(box)
        is_far = min(abs(box.left - x), abs(box.right - x)) > _FAR or min(abs(box.top - y), abs(box.bottom - y)) > _FAR
        axes.annotate(
            one.text,
            (one.x, one.y),
            xytext=(left - x, middle - y),
            textcoords="offset points",
            va="center",
            fontsize=_FONT,
            color=one.colour,
            zorder=6,
            arrowprops={"arrowstyle": "-", "color": one.colour, "linewidth": 0.4, "shrinkB": 3} if is_far else None,
        )
    return taken


def _points(axes: Axes) -> list[tuple[float, float]]:
    """Return where markers are and lines pass, in points of 1/72 inch."""
    found = []
    for line in axes.get_lines():
        x, y = (np.asarray(data, dtype=np.float64) for data in (line.get_xdata(), line.get_ydata()))
        is_level = line.get_transform() != axes.transData
        own = [] if is_level else _in_points(axes, x, y)
        found += own
        if line.get_linestyle() != "None":
            for (x0, y0), (x1, y1) in pairwise(own):
                steps = np.linspace(0, 1, 2 + int(max(abs(x1 - x0), abs(y1 - y0)) / _POINT_SIZE))
                found += [(x0 + (x1 - x0) * step, y0 + (y1 - y0) * step) for step in steps]
    return found


def _in_points(axes: Axes, x: Any, y: Any) -> list[tuple[float, float]]:
    places = axes.transData.transform(np.stack([x, y], axis=1)) * 72 / axes.figure.dpi
    return [(float(left), float(bottom)) for left, bottom in places]


def _inside(axes: Axes) -> Box:
    box = axes.get_window_extent()
    return Box(*(float(edge) * 72 / axes.figure.dpi for edge in (box.x0, box.y0, box.x1, box.y1)))


def _scale_delays(axes: Axes, delays: Sequence[float], *, logarithmic: bool) -> None:
    if logarithmic:
        positive = [value for value in delays if value > 0]
        axes.set_xscale("log")
        axes.set_xlim(max(positive) * 1.5, min(positive) / 1.5)
        plain_logarithm(axes.xaxis)
        return
    high = max(LEAST_WIDTH_MS, max(delays) * HEADROOM)
    axes.set_xlim(high, -0.02 * high)


def _mark_better(axes: Axes, taken: Sequence[Box]) -> None:
    """Write where it is better, with an arrow, at the first of several places that is free."""
    inside = _inside(axes)
    width, height = inside.right - inside.left, inside.top - inside.bottom

    def covered(corner: tuple[float, float]) -> float:
        left, bottom = inside.left + corner[0] * width, inside.bottom + corner[1] * height
        box = Box(left, bottom, left + _BETTER[0], bottom + _BETTER[1])
        return math.fsum(box.overlap(other) for other in taken)

    corners = [(right, up) for up in (0.02, 0.3, 0.55) for right in (1 - _BETTER[0] / width - 0.01, 0.4, 0.03)]
    left, bottom = min(corners, key=covered)
    axes.annotate(
        "better",
        xy=(left + _BETTER[0] / width, bottom + _BETTER[1] / height),
        xytext=(left + 0.55 * _BETTER[0] / width, bottom),
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
        "Large markers: means; small markers: single repetitions; shaded: ellipse of one standard deviation around the "
        "mean, if there are at least three repetitions. It shows how much repetitions differ, not how sure the mean "
        f"is; for that, the table has intervals.{joined}{capacity_caption(report)}{windows.of_values(report)}"
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
