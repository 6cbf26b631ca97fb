# SPDX-License-Identifier: Apache-2.0
"""Figures of cumulative distributions, with a panel for each quantity and a line for each cell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lab.report.figures.look.labels import DIRECT, wrapped
from lab.report.figures.look.scales import plain_logarithm
from lab.report.figures.look.sizes import page_inches, panel_columns
from lab.report.figures.look.style import legend_columns, mixed

MAX_CELLS = 20
"""Largest number of lines in a panel; more could not be distinguished."""
MAX_PANELS = 6
"""Largest number of panels in a figure."""
MAX_STEPS = 800
"""Largest number of steps in a line; more than this could not be told apart."""


@dataclass(frozen=True)
class Panel:
    """One panel of a figure, with a distribution for each cell."""

    title: str
    lines: Sequence[tuple[str, NDArray[np.float64]]]
    """Label and values (in milliseconds) of each line.

    The value 0 stands for what never arrived, so a line with zeros does not reach 1.
    """
    styles: Sequence[dict[str, Any]] = ()
    """Colour and dashes of each line; empty if all panels have the same."""


def distributions(
    panels: Sequence[Panel], x_label: str, y_label: str, styles: Sequence[dict[str, Any]], *, logarithmic: bool = True
) -> Figure:
    """Draw the panels with the same x-axis.  *styles* are the colours and dashes of the lines of each panel.

    A panel with more than :data:`~lab.report.figures.look.labels.DIRECT` lines has labels on its lines; otherwise, the
    figure has a legend.
    """
    # A legend explains the lines of all panels only if these have the same looks.
    direct = max(len(panel.lines) for panel in panels) > DIRECT or any(panel.styles for panel in panels)
    figure, all_axes = grid(len(panels), {1: 3.4, 2: 2.9}.get(len(panels), 2.5) if direct else 2.3)
    for axes, panel in zip(all_axes, panels, strict=True):
        for (label, values), style in zip(panel.lines, panel.styles or styles, strict=True):
            arrived = np.sort(values[values > 0])
            if len(arrived):
                x, share = _thinned(arrived, np.arange(1, len(arrived) + 1) / len(values))
                axes.plot(x, share, drawstyle="steps-post", label=label, linewidth=1.0, **style)
        axes.set_title(wrapped(panel.title, page_inches() / _columns(len(panels))), loc="left")
        axes.set_ylim(0, 1)
    if logarithmic:
        # On a linear axis, a few values that include a timeout would squeeze all others into a corner.
        all_axes[0].set_xscale("log")
    for axes in all_axes:
        if logarithmic:
            plain_logarithm(axes.xaxis)
        if direct:
            _label_curves(axes)
    label_outside(all_axes, x_label, y_label)
    if not direct:
        legend(figure, all_axes[0])
    return figure


def _thinned(x: NDArray[np.float64], share: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return at most :data:`MAX_STEPS` of the steps, the first and the last among them."""
    if len(x) <= MAX_STEPS:
        return x, share
    kept = np.unique(np.linspace(0, len(x) - 1, MAX_STEPS).astype(np.int64))
    return x[kept], share[kept]


def _label_curves(axes: Axes) -> None:
    """Write the label of each line on it, each at another height, from left to right."""
    lines = [line for line in axes.get_lines() if len(np.asarray(line.get_xdata()))]
    order = sorted(lines, key=lambda line: float(np.median(np.asarray(line.get_xdata(), dtype=float))))
    for number, line in enumerate(order):
        x, y = (np.asarray(data, dtype=float) for data in (line.get_xdata(), line.get_ydata()))
        height = (0.94 - 0.88 * number / max(1, len(order) - 1)) * float(y[-1])
        place = min(int(np.searchsorted(y, height)), len(x) - 1)
        axes.annotate(
            str(line.get_label()),
            (float(x[place]), height),
            xytext=(2, 0),
            textcoords="offset points",
            fontsize=5.8,
            color=mixed(to_hex(line.get_color()), -0.15),
            va="center",
            bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.4},
            zorder=6,
        )


def _columns(number: int) -> int:
    return panel_columns(number, 2 if number == 4 else 3)


def grid(number: int, height: float = 2.3) -> tuple[Figure, list[Axes]]:
    """Return a figure with *number* panels that share their axes, at most three of them side by side."""
    columns = _columns(number)
    lines = math.ceil(number / columns)
    figure = Figure(figsize=(page_inches(), height * lines + 0.3), layout="constrained")
    panels = [axes for row in figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True) for axes in row]
    for axes in panels[number:]:
        axes.set_visible(False)
    return figure, panels[:number]


def label_outside(panels: Sequence[Axes], x_label: str, y_label: str) -> None:
    """Label the y-axis of the panels at the left edge, and the x-axis of those at the bottom."""
    columns = _columns(len(panels))
    for place, axes in enumerate(panels):
        if place % columns == 0:
            axes.set_ylabel(y_label)
        if place + columns >= len(panels):
            axes.set_xlabel(x_label)
            axes.xaxis.set_tick_params(labelbottom=True)


def legend(figure: Figure, axes: Axes) -> None:
    """Add a legend with the lines of *axes* above all panels."""
    handles, labels = axes.get_legend_handles_labels()
    if any(labels):
        columns = legend_columns(labels, figure.get_figwidth())
        figure.legend(handles, labels, loc="outside upper right", ncols=columns, handlelength=2.2)


def range_alt(panels: Sequence[Panel]) -> str:
    """Return the median and p95 of each line of the panels, for the text that replaces a figure."""
    parts = []
    for panel in panels:
        for label, values in panel.lines:
            arrived = values[values > 0]
            if len(arrived):
                middle, high = np.quantile(arrived, (0.5, 0.95), method="inverted_cdf")
                parts.append(f"{', '.join(filter(None, (panel.title, label)))}: median {middle:.3g}, p95 {high:.3g}")
    return "; ".join(parts)
