# SPDX-License-Identifier: Apache-2.0
"""A figure with the same metrics of several runs on top of each other, cell by cell."""

from __future__ import annotations

import io
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lab.analysis.intervals import interval
from lab.compare.cells import Place, RunCells
from lab.compare.outcome import place_text
from lab.report.answer.best import direction
from lab.report.figures.look.scales import plain_logarithm, spans_decades
from lab.report.figures.look.settings import save_svg, styled
from lab.report.figures.look.sizes import page_inches
from lab.report.figures.look.style import MARKERS
from lab.report.tables.columns import Column

MAX_PLACES = 40
"""Largest number of cells that are drawn; the table has the others."""
_MOST_COLUMNS = 3
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")


def overlaid(runs: Sequence[RunCells]) -> bytes | None:
    """Return the figure as SVG: for up to three metrics, the mean of each run in each cell with its 95 % interval.

    None if the runs have no cell in common.
    """
    places = [place for place in runs[0].values if all(place in run.values for run in runs)][:MAX_PLACES]
    columns = _columns(runs, places)
    if not columns:
        return None
    with styled():
        width = page_inches()
        figure = Figure(figsize=(width, 0.9 + (0.12 + 0.11 * len(runs)) * len(places)), layout="constrained")
        all_axes: Sequence[Axes] = figure.subplots(1, len(columns), sharey=True, squeeze=False)[0]
        for axes, column in zip(all_axes, columns, strict=True):
            _draw(axes, runs, places, column)
        all_axes[0].set_yticks(range(len(places)), [place_text(_short(place)) for place in places])
        all_axes[0].set_ylim(len(places) - 0.4, -0.6)
        handles, labels = all_axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=min(3, len(labels)))
        buffer = io.BytesIO()
        save_svg(figure, buffer)
    return buffer.getvalue()


def _columns(runs: Sequence[RunCells], places: Sequence[Place]) -> list[Column]:
    """Return goodput, and the metrics in which less is better that come first in the table of results."""
    found = []
    for key, column in runs[0].columns.items():
        is_meant = key == "goodput_mbps" or direction(column) == "lower"
        has_all = all(key in run.values[place] for run in runs for place in places)
        if places and is_meant and column.shown == "yes" and has_all and not key.startswith("srtt_"):
            found.append(column)
    return found[:_MOST_COLUMNS]


def _draw(axes: Axes, runs: Sequence[RunCells], places: Sequence[Place], column: Column) -> None:
    seen: list[float] = []
    for number, run in enumerate(runs):
        offset = (number - (len(runs) - 1) / 2) * 0.6 / max(2, len(runs))
        for at, place in enumerate(places):
            values = [found.value for found in run.values[place][column.key].values()]
            estimate = interval(values, (0.0, None))
            assert estimate is not None
            limits = estimate.of_mean
            error = [[estimate.mean - limits.low], [limits.high - estimate.mean]] if limits else [[0.0], [0.0]]
            axes.errorbar(
                [estimate.mean],
                [at + offset],
                xerr=error,
                fmt=MARKERS[number % len(MARKERS)],
                color=_COLOURS[number % len(_COLOURS)],
                markersize=4,
                elinewidth=0.9,
                capsize=2,
                label=run.name if at == 0 else None,
            )
            seen.append(estimate.mean)
    axes.set_xlabel(f"{column.title} ({column.unit})" if column.unit else column.title)
    axes.grid(axis="y", visible=False)
    if direction(column) == "lower" and spans_decades(seen):
        axes.set_xscale("log")
        plain_logarithm(axes.xaxis)
    else:
        axes.set_xlim(left=0)


def _short(place: Place) -> Place:
    """Return the place without the algorithm if the flows have its name, or if the cell names it."""
    *cell, flow, algorithm = place
    named = {value for _name, value in (*cell, flow)}
    return (*cell, flow) if algorithm[1] in named else place
