# SPDX-License-Identifier: Apache-2.0
"""One line of a chart: few points that show all extremes, as short text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from lab.analysis.ack_samples import Floats
from lab.analysis.series import decimate
from lab.evaluation.trial import Curve

TICK_S = 1e-4
"""Resolution of the time axis, in seconds."""

Step = Literal["before", "after", "none"]
"""When a value holds: since the point before, until the point after, or only at its point."""


@dataclass(frozen=True)
class Line:
    """A line of a chart, as the page's script reads it."""

    chart: str
    """Name of the chart: ``cwnd``, ``in_flight``, ``srtt``, ``goodput``, ``pacing_rate`` or ``queue``."""
    series: int | None
    """Place of the series in the view; None for a reference line, which belongs to no series."""
    name: str
    """What the line is: the flow if the series has several, or the quantity if it is not the chart's own."""
    step: Step
    ticks: tuple[int, ...]
    """Time of each point since the start of traffic, in :data:`TICK_S`, strictly ascending."""
    values: tuple[float, ...]
    """Value at each point, in the unit of the chart."""
    minor: bool = False
    """Whether the line is drawn thinner than the curve that it belongs to, such as ssthresh."""

    def as_json(self) -> dict[str, Any]:
        """Return the line with the times as differences, which are shorter as text."""
        differences = np.diff(np.array(self.ticks, dtype=np.int64), prepend=0).tolist()
        whole = [int(value) if value == int(value) else value for value in self.values]
        line = {"chart": self.chart, "series": self.series, "name": self.name, "step": self.step}
        return {**line, "x": differences, "y": whole} | ({"minor": True} if self.minor else {})


def points(curve: Curve, bins: int, digits: int, scale: float = 1.0) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Return the times, in :data:`TICK_S`, and the values of *curve* divided by *scale*, with *digits* decimals.

    Of each of *bins* equal parts of the time, the first, lowest, highest and last point remain, so no peak is lost.
    """
    seconds, values = decimate(curve[0], np.asarray(curve[1], dtype=np.float64) / scale, bins)
    values = np.round(values, digits)
    # Points between two of the same value show nothing.
    kept = np.ones(len(values), dtype=bool)
    kept[1:-1] = (values[1:-1] != values[:-2]) | (values[1:-1] != values[2:])
    return ascending(seconds[kept]), tuple(values[kept].tolist())


def ascending(seconds: Floats) -> tuple[int, ...]:
    """Return the times in :data:`TICK_S`; times that would be equal are one tick apart."""
    ticks = np.rint(seconds / TICK_S).astype(np.int64)
    places = np.arange(len(ticks))
    return tuple((np.maximum.accumulate(ticks - places) + places).tolist())
