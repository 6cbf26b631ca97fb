# SPDX-License-Identifier: Apache-2.0
"""Figures of cumulative distributions, with a panel for each quantity and a line for each cell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import NDArray

from lab.report.figures.look.style import PAGE_INCHES, cycle, legend_columns

MAX_CELLS = 14
"""Largest number of lines in a panel; more could not be distinguished."""
MAX_PANELS = 6
"""Largest number of panels in a figure."""


@dataclass(frozen=True)
class Panel:
    """One panel of a figure, with a distribution for each cell."""

    title: str
    lines: Sequence[tuple[str, NDArray[np.float64]]]
    """Label and values (in milliseconds) of each line.

    The value 0 stands for what never arrived, so a line with zeros does not reach 1.
    """


def distributions(panels: Sequence[Panel], x_label: str, y_label: str) -> Figure:
    """Draw the panels, with one legend and the same logarithmic x-axis for all of them."""
    figure, all_axes = grid(len(panels))
    for axes, panel in zip(all_axes, panels, strict=True):
        for (label, values), look in zip(panel.lines, cycle(len(panel.lines)), strict=True):
            arrived = np.sort(values[values > 0])
            if len(arrived):
                share = np.arange(1, len(arrived) + 1) / len(values)
                axes.plot(arrived, share, drawstyle="steps-post", label=label, linewidth=1.0, **look)
        axes.set_title(panel.title, loc="left")
        axes.set_ylim(0, 1)
    # On a linear axis, a few values that include a timeout would squeeze all others into a corner.
    all_axes[0].set_xscale("log")
    for axes in all_axes:
        plain_logarithm(axes.xaxis)
    label_outside(all_axes, x_label, y_label)
    legend(figure, all_axes[0])
    return figure


def grid(number: int) -> tuple[Figure, list[Axes]]:
    """Return a figure with *number* panels that share their axes, at most three of them side by side."""
    columns = min(3, number)
    lines = math.ceil(number / columns)
    figure = Figure(figsize=(PAGE_INCHES, 2.3 * lines + 0.3), layout="constrained")
    panels = [axes for row in figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True) for axes in row]
    for axes in panels[number:]:
        axes.set_visible(False)
    return figure, panels[:number]


def plain_logarithm(axis: Axis) -> None:
    """Label a logarithmic axis with plain numbers instead of powers of ten."""
    axis.set_major_formatter(FuncFormatter(lambda value, _place: f"{value:g}"))
    axis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
    axis.set_minor_formatter(NullFormatter())


def label_outside(panels: Sequence[Axes], x_label: str, y_label: str) -> None:
    """Label the y-axis of the panels at the left edge, and the x-axis of those at the bottom."""
    columns = min(3, len(panels))
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
