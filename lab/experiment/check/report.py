# SPDX-License-Identifier: Apache-2.0
"""Check that the figures of a report name axes of the matrix.  This module does no I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import get_args

from lab.experiment.check.problems import Problem, nearest
from lab.experiment.schema.fields import Path
from lab.experiment.schema.report import AgainstFigure, Figure, HeatmapFigure, MetricName, Report
from lab.units import show

__all__ = ["axis_named", "figure_problems", "report_problems"]


def report_problems(report: Report, axes: Sequence[str]) -> Iterator[Problem]:
    """Yield the problems of the figures of a report of an experiment whose matrix has *axes*, given by their paths."""
    for number, figure in enumerate(report.figures):
        yield from figure_problems(figure, axes, ("report", "figures", number))


def figure_problems(figure: Figure, axes: Sequence[str], here: Path) -> Iterator[Problem]:
    """Yield the problems of one figure, which is at the path *here*."""
    if isinstance(figure, AgainstFigure) and figure.x not in get_args(MetricName):
        yield from _unknown(figure.x, axes, (*here, "x"), get_args(MetricName))
    if isinstance(figure, HeatmapFigure):
        problems = [*_unknown(figure.x, axes, (*here, "x"), ()), *_unknown(figure.y, axes, (*here, "y"), ())]
        yield from problems
        if not problems and axis_named(figure.x, axes) == axis_named(figure.y, axes):
            yield Problem((*here, "y"), f"found {show(figure.y)}, which is the same axis as x; expected another one")


def axis_named(name: str, axes: Sequence[str]) -> str | None:
    """Return the path of the axis that has this name: its path, or the last parts of it; None if there is not one."""
    found = [axis for axis in axes if axis == name or axis.endswith(f".{name}")]
    exact = [axis for axis in found if axis == name]
    return exact[0] if exact else found[0] if len(found) == 1 else None


def _unknown(name: str, axes: Sequence[str], path: Path, metrics: Sequence[str]) -> Iterator[Problem]:
    if axis_named(name, axes) is not None:
        return
    several = [axis for axis in axes if axis.endswith(f".{name}")]
    if several:
        yield Problem(
            path, f"found {show(name)}, which is the end of {' and of '.join(several)}; expected a whole path"
        )
        return
    short = [axis.rpartition(".")[2] for axis in axes]
    close = nearest(name, [*short, *axes, *metrics])
    meant = f"; did you mean '{close}'?" if close else ""
    listed = ", ".join(axes) if axes else "none, because there is no matrix"
    more = f", or a metric ({', '.join(metrics)})" if metrics else ""
    yield Problem(path, f"found {show(name)}; expected an axis of the matrix ({listed}){more}{meant}")
