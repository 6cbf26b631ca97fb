# SPDX-License-Identifier: Apache-2.0
"""Scales of axes: from zero, or logarithmic with plain numbers where values span decades."""

from __future__ import annotations

from collections.abc import Iterable

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

DECADES = 10.0
"""Delays whose largest value is at least this many times the smallest one have a logarithmic axis."""
HEADROOM = 1.07
"""Where an axis from zero ends, as a multiple of its largest value, so that no marker is cut off."""


def spans_decades(values: Iterable[float]) -> bool:
    """Return whether *values* differ so much that a linear axis would hide the small ones."""
    positive = [value for value in values if value > 0]
    return bool(positive) and max(positive) >= DECADES * min(positive)


def scale_y(axes: Axes, values: Iterable[float], *, logarithmic: bool, least: float = 0.0) -> None:
    """Let the y-axis start at zero and end above the largest of *values*; or make it logarithmic.

    An axis from zero is at least *least* high.
    """
    found = list(values)
    if logarithmic:
        positive = [value for value in found if value > 0]
        axes.set_yscale("log")
        axes.set_ylim(min(positive) / 1.4, max(positive) * 1.4)
        plain_logarithm(axes.yaxis)
        return
    axes.set_ylim(0, max([least, *found]) * HEADROOM or 1)


def plain_logarithm(axis: Axis) -> None:
    """Label a logarithmic axis with plain numbers instead of powers of ten."""
    axis.set_major_formatter(FuncFormatter(lambda value, _place: f"{value:g}"))
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(10, subs=(1, 2, 5) if low > 0 and high / low < 300 else (1,)))
    axis.set_minor_formatter(NullFormatter())
