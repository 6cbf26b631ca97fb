# SPDX-License-Identifier: Apache-2.0
"""Distributions of many cells: a panel for each algorithm, since one panel with all lines could not be read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lab.report.figures.compare.cell_looks import compared_algorithm
from lab.report.figures.compare.distributions import MAX_PANELS, Panel
from lab.report.figures.look.labels import cell_label
from lab.report.model import Report

CROWDED = 8
"""More lines than this in a panel are divided among several."""


def by_algorithm(
    report: Report, cells: Sequence[tuple[str, ...]], panels: Sequence[Panel], styles: Sequence[dict[str, Any]]
) -> list[Panel]:
    """Return *panels*, each divided into one for each algorithm if it has too many lines.

    *cells* are the values on all axes, and *styles* the looks, of the lines of each panel.  Panels stay whole if the
    experiment compares no algorithms, or if there would be too many.
    """
    axis = compared_algorithm(report)
    if axis is None or len(cells) <= CROWDED:
        return list(panels)
    place = report.axes.index(axis)
    algorithms = list(dict.fromkeys(cell[place] for cell in cells))
    if not 1 < len(algorithms) * len(panels) <= MAX_PANELS or len(algorithms) == 1:
        return list(panels)
    return [
        Panel(
            f"{panel.title}, {algorithm}",
            [
                (cell_label(report, cell, without=axis), values)
                for cell, (_label, values) in zip(cells, panel.lines, strict=True)
                if cell[place] == algorithm
            ],
            [style for cell, style in zip(cells, styles, strict=True) if cell[place] == algorithm],
        )
        for panel in panels
        for algorithm in algorithms
    ]
