# SPDX-License-Identifier: Apache-2.0
"""The looks of lines that stand for cells: the colour of the cell's algorithm, and dashes or shades for the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lab.evaluation.axes import RunAxis
from lab.report.figures.compare.axis import number_axis
from lab.report.figures.look.style import DASHES, GREY, Look, looks, shades, tinted
from lab.report.model import Report
from lab.store.trial import TrialResult

Where = tuple[str, ...]

SEVERAL = ""
"""Stands for the algorithms of a cell whose flows have different ones; it has no colour of an algorithm."""


def cell_looks(report: Report, cells: Mapping[Where, Sequence[TrialResult]]) -> list[dict[str, Any]]:
    """Return the colour and line style of the line of each cell, in the order of *cells*.

    The colour is that of the algorithm that the cell compares.  Cells of the same algorithm have dashes in the order of
    the values of the other axes, so that the same value has the same dashes for each algorithm; if there are more
    values than dashes, or if they are numbers, they have shades from dark to light instead.
    """
    axis = compared_algorithm(report)
    place = report.axes.index(axis) if axis is not None else None
    algorithms = [where[place] if place is not None else _of(trials) for where, trials in cells.items()]
    rests = [where if place is None else where[:place] + where[place + 1 :] for where in cells]
    kinds = list(dict.fromkeys(rests))
    others = [one for one in report.axes if one is not axis]
    ordered = len(kinds) > 2 and len(others) == 1 and number_axis(others[0]) is not None
    found = []
    known = looks(algorithms) | {SEVERAL: Look(GREY, "solid", "o")}
    for algorithm, rest in zip(algorithms, rests, strict=True):
        look, number = known[algorithm], kinds.index(rest)
        if ordered or len(kinds) > len(DASHES):
            found.append(
                {"color": shades(look.colour, len(kinds))[number], "linestyle": DASHES[0 if ordered else number % 3]}
            )
        elif len(set(algorithms)) == 1:
            found.append({"color": tinted(look.colour, number), "linestyle": DASHES[number]})
        else:
            found.append({"color": look.colour, "linestyle": DASHES[number]})
    return found


def compared_algorithm(report: Report) -> RunAxis | None:
    """Return the axis that varies a congestion control algorithm: that of all flows, or else the first of some flow."""
    if report.algorithm_axis is not None:
        return report.algorithm_axis
    return next((axis for axis in report.axes if axis.path.startswith("flows.") and axis.path.endswith(".cc")), None)


def _of(trials: Sequence[TrialResult]) -> str:
    flows = trials[0].job["flows"]
    bulk = [flow for flow in flows if flow["arrivals"] is None and flow["protocol"] == "tcp"]
    names = {flow["congestion_control"] for flow in bulk or flows}
    return names.pop() if len(names) == 1 else SEVERAL
