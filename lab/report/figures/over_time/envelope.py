# SPDX-License-Identifier: Apache-2.0
"""Curves that swing more often than a figure has pixels: their median, and what is between their extremes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from lab.analysis.ack_samples import Floats
from lab.evaluation.traces import traced
from lab.evaluation.trial import Curve
from lab.report.figures.over_time.curves import Kind, curves_of, queue_curve
from lab.report.model import Row

BINS = 120
"""Number of bins of the time axis: each is a few pixels wide in a panel that fills a third of a page."""
PROBES = 24
"""Number of times in each bin at which the value is taken for the median."""
SWING = 0.14
"""A bin in which the curve covers at least this share of its largest value is full of colour."""
MOST_FULL = 0.35
"""A curve with a larger share of such bins is drawn as an envelope."""


@dataclass(frozen=True)
class Envelope:
    """The median, lowest and highest value of a curve in each of a number of bins."""

    edges: Floats
    """Start of each bin and the end of the last one, in seconds."""
    low: Floats
    middle: Floats
    high: Floats


def is_dense(curve: Curve, end_s: float) -> bool:
    """Return whether a line would fill most of the area that the curve covers; the time axis ends at *end_s*."""
    x, y = curve
    if len(x) < 4 * BINS or not y.max() > 0:
        return False
    place = np.minimum((x / end_s * BINS).astype(np.int64), BINS - 1)
    starts = np.flatnonzero(np.diff(place, prepend=-1))
    swing = np.maximum.reduceat(y, starts) - np.minimum.reduceat(y, starts)
    return bool((swing >= SWING * y.max()).mean() > MOST_FULL)


def envelope(curve: Curve) -> Envelope:
    """Return the envelope of a curve whose values were in force since the one before; the median is over time."""
    x, y = curve
    edges = np.linspace(x[0], x[-1], BINS + 1)
    width = (edges[-1] - edges[0]) / BINS
    times = edges[:-1, None] + width * (np.arange(PROBES) + 0.5) / PROBES
    held = y[np.minimum(np.searchsorted(x, times.reshape(-1), side="left"), len(y) - 1)].reshape(BINS, PROBES)
    place = np.clip(((x - x[0]) / width).astype(np.int64), 0, BINS - 1)
    low, high = held.min(axis=1), held.max(axis=1)
    np.minimum.at(low, place, y)
    np.maximum.at(high, place, y)
    return Envelope(edges, low, np.median(held, axis=1), high)


def held_until(curve: Curve | None) -> Curve | None:
    """Return a curve whose values hold until the next as one whose values were in force since the one before."""
    return None if curve is None else (curve[0][1:], curve[1][:-1])


def dense_curves(row: Row, kind: Kind, end_s: float) -> list[Curve | None]:
    """Return for each curve of a row, in their order, all of its values if it must be drawn as an envelope, or None."""
    curves, trial = curves_of(row.median(), kind), row.median().evaluated.trial
    if kind == "goodput":
        return [None] * len(curves)
    if kind == "queue":
        full = [held_until(queue_curve(trial, row.median().flows[0].flow))]
        return [whole if is_dense(curve, end_s) else None for curve, whole in zip(curves, full, strict=False)]
    names = [flow.flow for flow in row.median().flows if flow.flow in row.median().evaluated.curves]
    return [
        traced(trial, name, kind) if is_dense(curve, end_s) else None for name, curve in zip(names, curves, strict=True)
    ]


def draw_envelope(axes: Axes, curve: Curve, scale: float, colour: str) -> None:
    """Draw the envelope of a curve whose values are divided by *scale*."""
    found = envelope(curve)
    middle = (found.edges[1:] + found.edges[:-1]) / 2
    axes.fill_between(middle, found.low / scale, found.high / scale, color=colour, alpha=0.22, linewidth=0, zorder=3)
    axes.plot(middle, found.middle / scale, color=colour, linewidth=1.0, zorder=4)
