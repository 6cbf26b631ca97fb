# SPDX-License-Identifier: Apache-2.0
"""The figures that compare cells by default: goodput and queueing delay by cell or against a number, and the plane."""

from __future__ import annotations

from collections.abc import Iterator

from lab.report.figures.compare.against import against
from lab.report.figures.compare.axis import x_axis
from lab.report.figures.compare.by_cell import by_cell
from lab.report.figures.compare.plane import plane
from lab.report.figures.compare.quantities import goodput, metric
from lab.report.figures.compare.share import share
from lab.report.figures.drawn import Drawn
from lab.report.figures.look.settings import styled
from lab.report.model import Report


def comparison_figures(report: Report) -> Iterator[Drawn]:
    """Yield the figures that compare cells: none if there are no results."""
    if not report.rows:
        return
    metrics = [goodput(report), metric(report, "queueing_delay")]
    axis = x_axis(report.facet_axes)
    with styled():
        found = [by_cell(report, metrics)] if axis is None else [against(report, axis, one) for one in metrics]
        if any(axis.path.endswith(".count") for axis in report.facet_axes):
            found.append(share(report))
        drawn = [one for one in (*found, plane(report)) if one is not None]
    yield from drawn
