# SPDX-License-Identifier: Apache-2.0
"""Figures of distributions as curves, boxes or violins."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lab.analysis.ack_samples import Floats
from lab.report.figures.compare.distributions import Panel, distributions, range_alt
from lab.report.figures.compare.samples import Samples, all_values, samples
from lab.report.figures.drawn import Drawn
from lab.report.figures.look.labels import wrapped
from lab.report.figures.look.scales import HEADROOM, plain_logarithm, spans_decades
from lab.report.figures.look.sizes import page_inches
from lab.report.figures.look.style import INK
from lab.report.model import Report

WHISKERS = (0.05, 0.95)
"""Quantiles at the ends of the whiskers."""
DENSITY_BINS = 60
"""Number of bins of a violin."""


def cdf(report: Report, of: str) -> Drawn | None:
    """Draw cumulative distributions; None if there is nothing to draw."""
    found = samples(report, of)
    if found is None:
        return None
    decades = found.is_delay or spans_decades(all_values(found.panels))
    figure = distributions(found.curves, found.label, found.share, found.styles, logarithmic=decades)
    caption = f"Distribution. {found.caption} The height of a curve is the share that is at most as large."
    return Drawn(f"cdf-{_file(of)}", figure, caption, f"Distribution of {found.label}. {range_alt(found.panels)}.")


def boxes(report: Report, of: str, shape: Literal["box", "violin"]) -> Drawn | None:
    """Draw a box or violin for each cell or series; None if there is nothing to draw."""
    found = samples(report, of)
    if found is None:
        return None
    most = max(len(panel.lines) for panel in found.panels)
    columns = min(2 if most <= 8 and page_inches() > 5 else 1, len(found.panels))
    lines = math.ceil(len(found.panels) / columns)
    figure = Figure(figsize=(page_inches(), lines * (0.24 * most + 0.55) + 0.35), layout="constrained")
    grid = [axes for row in figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True) for axes in row]
    logarithmic = found.is_delay and spans_decades(all_values(found.panels))
    for place, axes in enumerate(grid):
        axes.set_visible(place < len(found.panels))
    for axes, panel in zip(grid, found.panels, strict=False):
        _draw(axes, panel, found, shape, logarithmic=logarithmic)
        axes.set_title(wrapped(panel.title, page_inches() / columns), loc="left")
    for axes in grid[max(0, len(found.panels) - columns) : len(found.panels)]:
        axes.set_xlabel(found.label)
        axes.tick_params(labelbottom=True)
    meaning = (
        "Boxes: quartiles and median; whiskers: p5 and p95."
        if shape == "box"
        else "The height of a shape is the density of the values; line: median."
    )
    alt = f"{shape.capitalize()} plot of {found.label}. {range_alt(found.panels)}."
    return Drawn(f"{shape}-{_file(of)}", figure, f"{found.caption} {meaning}", alt)


def _file(of: str) -> str:
    return of.replace("_", "-")


def _draw(axes: Axes, panel: Panel, found: Samples, shape: str, *, logarithmic: bool) -> None:
    for place, ((_label, values), style) in enumerate(zip(panel.lines, found.styles, strict=True)):
        arrived = values[values > 0]
        if len(arrived):
            if shape == "box":
                _box(axes, place, arrived, style)
            else:
                _violin(axes, place, arrived, style, logarithmic=logarithmic)
    axes.set_yticks(range(len(panel.lines)), [label for label, _values in panel.lines])
    axes.set_ylim(len(panel.lines) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    if logarithmic:
        axes.set_xscale("log")
        plain_logarithm(axes.xaxis)
    else:
        axes.set_xlim(0, float(all_values(found.panels).max()) * HEADROOM)


def _box(axes: Axes, place: int, values: Floats, style: dict[str, Any]) -> None:
    low, first, middle, third, high = np.quantile(values, (WHISKERS[0], 0.25, 0.5, 0.75, WHISKERS[1]))
    stats = {"whislo": low, "q1": first, "med": middle, "q3": third, "whishi": high, "fliers": []}
    axes.bxp(
        [stats],
        positions=[place],
        widths=0.55,
        orientation="horizontal",
        showfliers=False,
        manage_ticks=False,
        patch_artist=True,
        boxprops={"facecolor": style["color"], "alpha": 0.45, "edgecolor": style["color"], "linewidth": 0.8},
        medianprops={"color": INK, "linewidth": 1.2},
        whiskerprops={"color": style["color"], "linewidth": 0.9},
        capprops={"color": style["color"], "linewidth": 0.9},
    )


def _violin(axes: Axes, place: int, values: Floats, style: dict[str, Any], *, logarithmic: bool) -> None:
    """Draw the density: a histogram whose bins have equal width on the axis, smoothed over three bins."""
    low, high = float(values.min()), float(values.max())
    if low == high:
        axes.plot([low, low], [place - 0.3, place + 0.3], color=style["color"], linewidth=2)
        return
    edges = np.geomspace(low, high, DENSITY_BINS + 1) if logarithmic else np.linspace(low, high, DENSITY_BINS + 1)
    count = np.histogram(values, edges)[0].astype(np.float64)
    smooth = np.convolve(np.pad(count, 1, mode="edge"), [0.25, 0.5, 0.25], mode="valid")
    half = 0.38 * smooth / smooth.max()
    middle = np.sqrt(edges[1:] * edges[:-1]) if logarithmic else (edges[1:] + edges[:-1]) / 2
    axes.fill_between(middle, place - half, place + half, color=style["color"], alpha=0.5, linewidth=0)
    median = float(np.median(values))
    axes.plot([median, median], [place - 0.3, place + 0.3], color=INK, linewidth=1.2)
