# SPDX-License-Identifier: Apache-2.0
"""A figure with the same metrics of any number of runs on top of each other, cell by cell."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lab.analysis.intervals import interval
from lab.compare.cells import Place, RunCells
from lab.compare.outcome import place_text
from lab.report.answer.best import direction
from lab.report.figures.compare.quantities import error_bar
from lab.report.figures.look.scales import plain_logarithm, spans_decades
from lab.report.figures.look.settings import save_as, save_svg, styled
from lab.report.figures.look.sizes import page_inches
from lab.report.figures.look.style import GREY, MARKERS, looks
from lab.report.tables.columns import Column
from lab.store.files import writing

MAX_PLACES = 40
"""Largest number of cells that are drawn; the table has the others."""
MAX_MARKS = 240
"""Largest number of means of one metric: with more runs, fewer cells are drawn, so that the figure fits a screen."""
_MOST_COLUMNS = 3


def overlaid(runs: Sequence[RunCells]) -> bytes | None:
    """Return the figure as SVG; None if the runs have no cell in common."""
    with styled():
        figure = overlay(runs)
        if figure is None:
            return None
        buffer = io.BytesIO()
        save_svg(figure, buffer)
    return buffer.getvalue()


def save_overlaid(runs: Sequence[RunCells], path: Path) -> bool:
    """Write the figure to a file, in the format of its suffix; return whether the runs have a cell in common.

    Raises:
        StoreError: The file cannot be written.
    """
    with styled():
        figure = overlay(runs)
        if figure is not None:
            with writing(path):
                save_as(figure, path)
    return figure is not None


def overlay(runs: Sequence[RunCells]) -> Figure | None:
    """Draw, for up to three metrics, the mean of each run in each cell with its 95 % interval.

    As in a report, colours are those of the algorithms.  Markers tell the runs apart; those of the first one, which the
    others are compared with, are hollow.  The result is None if the runs have no cell in common.  Call it within
    :func:`lab.report.figures.look.settings.styled`.
    """
    most = max(1, min(MAX_PLACES, MAX_MARKS // len(runs)))
    places = [place for place in runs[0].values if all(place in run.values for run in runs)][:most]
    columns = _columns(runs, places)
    if not columns:
        return None
    names = [run.name for run in runs]
    lines = -(-len(names) // _names_side_by_side(names))
    height = 0.7 + 0.16 * lines + (0.12 + 0.11 * len(runs)) * len(places)
    figure = Figure(figsize=(page_inches(), height), layout="constrained")
    all_axes: Sequence[Axes] = figure.subplots(1, len(columns), sharey=True, squeeze=False)[0]
    for axes, column in zip(all_axes, columns, strict=True):
        _draw(axes, runs, places, column)
    all_axes[0].set_yticks(range(len(places)), [place_text(_short(place)) for place in places])
    all_axes[0].set_ylim(len(places) - 0.4, -0.6)
    handles = [Line2D([], [], linestyle="none", label=name, **_style(place, GREY)) for place, name in enumerate(names)]
    figure.legend(handles=handles, loc="outside upper center", ncols=_names_side_by_side(names))
    return figure


def _names_side_by_side(names: Sequence[str]) -> int:
    return max(1, min(3, len(names), int(page_inches() * 11 // (max(map(len, names)) + 7))))


def _columns(runs: Sequence[RunCells], places: Sequence[Place]) -> list[Column]:
    """Return goodput, and the metrics in which less is better that come first in the table of results."""
    found = []
    for key, column in runs[0].columns.items():
        is_meant = key == "goodput_mbps" or direction(column) == "lower"
        has_all = all(key in run.values[place] for run in runs for place in places)
        if places and is_meant and column.shown == "yes" and has_all and not key.startswith("srtt_"):
            found.append(column)
    return found[:_MOST_COLUMNS]


def _style(number: int, colour: str) -> dict[str, Any]:
    """Return how the means of a run are marked."""
    # After twelve runs, the markers begin again, with a white edge.
    turn, shape = divmod(number, len(MARKERS))
    face = {"mfc": "white", "mec": colour} if number == 0 else {"mfc": colour, "mec": "white" if turn else colour}
    return {"marker": MARKERS[shape], "color": colour, "markersize": 4.5 if turn else 4, "mew": 0.8, **face}


def _draw(axes: Axes, runs: Sequence[RunCells], places: Sequence[Place], column: Column) -> None:
    colours = looks(place[-1][1] for place in places)
    seen: list[float] = []
    for number, run in enumerate(runs):
        offset = (number - (len(runs) - 1) / 2) * 0.6 / max(2, len(runs))
        for at, place in enumerate(places):
            estimate = interval([found.value for found in run.values[place][column.key].values()], (0.0, None))
            assert estimate is not None
            below, above = error_bar(estimate)
            axes.errorbar(
                [estimate.mean],
                [at + offset],
                xerr=[[below], [above]],
                linestyle="none",
                elinewidth=0.9,
                capsize=2,
                **_style(number, colours[place[-1][1]].colour),
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
