# SPDX-License-Identifier: Apache-2.0
"""Jain's fairness index of the goodput of all flows that run at a time, over time."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lab.analysis.statistics import jain_index
from lab.evaluation.trial import Curve, EvaluatedTrial
from lab.report.cells import where as where_of
from lab.report.figures.compare.cell_looks import cell_looks, compared_algorithm
from lab.report.figures.compare.reference import add_legend
from lab.report.figures.drawn import Drawn
from lab.report.figures.look.labels import where_label, wrapped
from lab.report.figures.look.sizes import page_inches, panel_columns
from lab.report.figures.over_time.marks import last_moment
from lab.report.model import Report

WINDOW_S = 1.0
"""Width of the windows of time over which goodput is averaged, unless ten base RTTs are longer."""
ROUND_TRIPS = 10
MAX_PANELS = 6


def jain(report: Report) -> Drawn | None:
    """Draw Jain's index over time, for the first repetition of each cell; None if no two flows run together."""
    found: dict[tuple[str, ...], tuple[EvaluatedTrial, Curve]] = {}
    for result in sorted(report.done, key=lambda one: one.trial.identity.repetition):
        place = where_of(report, result.trial)
        if place not in found and (curve := jain_curve(result)) is not None:
            found[place] = (result, curve)
    if not found:
        return None
    cells = {place: [result.trial] for place, (result, _curve) in found.items()}
    styles = dict(zip(cells, cell_looks(report, cells), strict=True))
    panels = _panels(report, list(found))
    columns = panel_columns(len(panels))
    lines = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(page_inches(), 2.2 * lines + 0.25), layout="constrained")
    grid = [axes for line in figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True) for axes in line]
    for number, axes in enumerate(grid):
        axes.set_visible(number < len(panels))
    handles: dict[str, Line2D] = {}
    for axes, (title, places) in zip(grid, panels.items(), strict=False):
        for place, label in places:
            times, values = found[place][1]
            axes.plot(times, values, drawstyle="steps-post", linewidth=1.0, **styles[place])
            handles.setdefault(label, Line2D([], [], label=label, **styles[place]))
        axes.set_title(wrapped(title, page_inches() / columns), loc="left")
        axes.set_xlabel("Time (s)")
        axes.tick_params(labelbottom=True)
    grid[0].set_ylim(0, 1.04)
    grid[0].set_xlim(0, last_moment(report) * 1.01)
    for axes in grid[::columns]:
        axes.set_ylabel("Jain's index")
    add_legend(figure, list(handles.values()) if any(handles) else [])
    caption = (
        "Jain's fairness index of the goodput of all TCP flows that run at a time, short flows left out, in windows of "
        f"{WINDOW_S:g} s or {ROUND_TRIPS} base RTTs, whichever is longer; first repetition of each cell. With n flows, "
        "the lowest index is 1/n. A line ends where only one flow runs."
    )
    ranges = [
        f"{where_label(report, place) or 'all'}: {np.nanmin(y):.2f} to {np.nanmax(y):.2f}"
        for place, (_r, (_x, y)) in found.items()
    ]
    return Drawn("jain", figure, caption, f"Jain's index over time. {'; '.join(ranges)}.")


def _panels(report: Report, places: list[tuple[str, ...]]) -> dict[str, list[tuple[tuple[str, ...], str]]]:
    """Return title of a panel → its cells with their labels: cells that differ in the algorithm are in one panel."""
    axis = compared_algorithm(report)
    number = report.axes.index(axis) if axis is not None else None
    panels: dict[str, list[tuple[tuple[str, ...], str]]] = {}
    for place in places:
        title = ", ".join(
            f"{one.label} {text}" for n, (one, text) in enumerate(zip(report.axes, place, strict=True)) if n != number
        )
        panels.setdefault(title, []).append((place, place[number] if number is not None else ""))
    return dict(list(panels.items())[:MAX_PANELS])


def jain_curve(result: EvaluatedTrial) -> Curve | None:
    """Return Jain's index in windows of time; each value holds until the next, and is NaN while fewer than two run."""
    names = [flow["name"] for flow in result.trial.job["flows"] if flow["arrivals"] is None]
    curves = [result.curves[name].goodput for name in names if name in result.curves]
    if len(curves) < 2:
        return None
    rtts = [float(c.base_rtt[1].max()) / 1e3 for c in result.curves.values() if c.base_rtt is not None]
    width = max([WINDOW_S, *(ROUND_TRIPS * rtt for rtt in rtts)])
    end = max(float(x[-1]) for x, _y in curves)
    edges = np.arange(0.0, end + width / 2, width)
    if len(edges) < 2:
        return None
    values = []
    for start, stop in pairwise(edges):
        rates = [
            _mean(curve, start, stop) for curve in curves if curve[0][0] <= start and curve[0][-1] >= stop - 0.5 * width
        ]
        index = jain_index(rates) if len(rates) > 1 else None
        values.append(math.nan if index is None else index)
    if np.isnan(values).all():
        return None
    return edges, np.array([*values, values[-1]])


def _mean(curve: Curve, start: float, stop: float) -> float:
    """Return the mean of a curve, each of whose values holds until the next, between two times."""
    x, y = curve
    carried = np.concatenate([[0.0], np.cumsum(y[:-1] * np.diff(x))])
    first, last = np.interp([start, stop], x, carried)
    return float(last - first) / (stop - start)
