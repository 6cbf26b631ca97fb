# SPDX-License-Identifier: Apache-2.0
"""Draw the figures that an experiment, a command or a program asks for, by their kinds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from lab.errors import InputError
from lab.evaluation.axes import RunAxis
from lab.experiment.check.problems import Problem, problems_of
from lab.experiment.check.report import axis_named, figure_problems, report_problems
from lab.experiment.schema import report as schema
from lab.report.figures.compare.against import against
from lab.report.figures.compare.axis import number_axis
from lab.report.figures.compare.by_cell import by_cell
from lab.report.figures.compare.heatmap import heatmap
from lab.report.figures.compare.plane import plane
from lab.report.figures.compare.quantities import metric, metric_names
from lab.report.figures.compare.scatter import scatter
from lab.report.figures.compare.share import share
from lab.report.figures.compare.spreads import boxes, cdf
from lab.report.figures.drawn import Drawn
from lab.report.figures.look.settings import styled
from lab.report.figures.over_time.jain import jain
from lab.report.figures.over_time.phase import phase
from lab.report.figures.over_time.timeseries import figures_over_time
from lab.report.model import Report

SECTIONS = {"time": "time", "phase": "time", "jain": "time"}
"""Kind of a figure → its section of the page; others are in ``comparison``."""


def asked_of(report: Report) -> schema.Report:
    """Return what the experiment of a run asks for in its report.

    Raises:
        InputError: The stored plan asks for something that does not exist.
    """
    stored = report.plan.get("report") or {}
    try:
        found = schema.Report.model_validate(stored)
    except ValidationError as error:
        problems = problems_of(error, stored, schema.Report)
        raise InputError(_told(report, problems)) from error
    problems = list(report_problems(found, _paths(report)))
    if problems:
        raise InputError(_told(report, problems))
    return found


def _told(report: Report, problems: list[Problem]) -> str:
    return "\n".join(f"{report.run.path / 'plan.json'}: {problem}" for problem in problems)


def asked_figures(report: Report, asked: schema.Report) -> Iterator[tuple[str, Drawn]]:
    """Yield the figures that an experiment asks for, each with its section of the page."""
    for number, figure in enumerate(asked.figures, 1):
        for place, drawn in enumerate(draw_figure(report, figure)):
            more = f"-{place + 1}" if place else ""
            yield SECTIONS.get(figure.kind, "comparison"), replace(drawn, name=f"asked-{number}-{drawn.name}{more}")


def draw_figure(report: Report, figure: schema.Figure) -> list[Drawn]:
    """Return the figures of one kind; several if there are more panels than a figure has; none without data.

    Raises:
        InputError: The experiment has no such axis.
    """
    problems = list(figure_problems(figure, _paths(report), ()))
    if problems:
        raise InputError("\n".join(map(str, problems)))
    with styled():
        drawn = [one for one in _drawn(report, figure) if one is not None]
        for one in drawn if figure.title else []:
            one.figure.suptitle(figure.title, x=0.01, ha="left", fontsize=9)
    return drawn


def _paths(report: Report) -> list[str]:
    return [axis.path for axis in report.axes]


def _axis(report: Report, name: str) -> RunAxis:
    path = axis_named(name, _paths(report))
    return next(axis for axis in report.axes if axis.path == path)


def _drawn(report: Report, figure: Any) -> Iterator[Drawn | None]:
    match figure:
        case schema.TimeFigure():
            yield from figures_over_time(report, figure.y)
        case schema.CdfFigure():
            yield cdf(report, figure.y)
        case schema.BoxFigure():
            yield boxes(report, figure.y, figure.kind)
        case schema.HeatmapFigure():
            yield heatmap(report, _axis(report, figure.x), _axis(report, figure.y), metric(report, figure.z))
        case schema.AgainstFigure():
            yield _against(report, figure)
        case schema.CellsFigure():
            yield by_cell(report, [metric(report, name) for name in figure.y])
        case schema.DelayFigure():
            yield plane(report)
        case schema.PhaseFigure():
            yield phase(report, figure.x, figure.y)
        case schema.JainFigure():
            yield jain(report)
        case schema.ShareFigure():
            yield share(report)


def _against(report: Report, figure: schema.AgainstFigure) -> Drawn | None:
    y = metric(report, figure.y)
    if axis_named(figure.x, _paths(report)) is None:
        assert figure.x in metric_names()
        return scatter(report, metric(report, figure.x), y)
    axis = _axis(report, figure.x)
    number = number_axis(axis) if axis.path in [one.path for one in report.facet_axes] else None
    # Disciplines and algorithms are no numbers: their cells are drawn side by side.
    return by_cell(report, [y]) if number is None else against(report, number, y)
