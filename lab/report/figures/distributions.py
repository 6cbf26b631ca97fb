# SPDX-License-Identifier: Apache-2.0
"""Cumulative distributions: one panel for each thing that was measured, one line for each cell."""

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

from lab.report.figures.style import PAGE_INCHES, cycle, legend_columns

MAX_CELLS = 14
"""More lines than this in a panel could not be told apart."""
MAX_PANELS = 6


@dataclass(frozen=True)
class Panel:
    """What is drawn side by side with others."""

    title: str
    lines: Sequence[tuple[str, NDArray[np.float64]]]
    """Label, values in ms; 0: it never came, which keeps the line from the top."""


def distributions(panels: Sequence[Panel], x_label: str, y_label: str) -> Figure:
    """Draw the panels, with one legend and one logarithmic axis for all of them."""
    figure, axes = grid(len(panels))
    for here, panel in zip(axes, panels, strict=True):
        for (label, values), look in zip(panel.lines, cycle(len(panel.lines)), strict=True):
            came = np.sort(values[values > 0])
            if len(came):
                share = np.arange(1, len(came) + 1) / len(values)
                here.plot(came, share, drawstyle="steps-post", label=label, linewidth=1.0, **look)
        here.set_title(panel.title, loc="left")
        here.set_ylim(0, 1)
    # A few that waited for a timeout must not press all others into a corner.
    axes[0].set_xscale("log")
    for here in axes:
        plain_logarithm(here.xaxis)
    label_outside(axes, x_label, y_label)
    legend(figure, axes[0])
    return figure


def grid(number: int) -> tuple[Figure, list[Axes]]:
    """Return a figure of so many panels that share their axes, at most three side by side."""
    columns = min(3, number)
    lines = math.ceil(number / columns)
    figure = Figure(figsize=(PAGE_INCHES, 2.3 * lines + 0.3), layout="constrained")
    panels = [axes for row in figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True) for axes in row]
    for axes in panels[number:]:
        axes.set_visible(False)
    return figure, panels[:number]


def plain_logarithm(axis: Axis) -> None:
    """Label a logarithmic axis with plain numbers."""
    axis.set_major_formatter(FuncFormatter(lambda value, _place: f"{value:g}"))
    axis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
    axis.set_minor_formatter(NullFormatter())


def label_outside(panels: Sequence[Axes], x_label: str, y_label: str) -> None:
    """Label the axes at the left and below."""
    columns = min(3, len(panels))
    for place, axes in enumerate(panels):
        if place % columns == 0:
            axes.set_ylabel(y_label)
        if place + columns >= len(panels):
            axes.set_xlabel(x_label)
            axes.xaxis.set_tick_params(labelbottom=True)


def legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if any(labels):
        columns = legend_columns(labels, figure.get_figwidth())
        figure.legend(handles, labels, loc="outside upper right", ncols=columns, handlelength=2.2)
