# SPDX-License-Identifier: Apache-2.0
"""Single figures as files, in the width and style of a paper."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lab.errors import InputError
from lab.evaluation.trial import evaluate_run
from lab.experiment.check.problems import Problem, nearest, problems_of
from lab.experiment.schema import report as schema
from lab.report.figures.asked import draw_figure
from lab.report.figures.draw import all_figures
from lab.report.figures.drawn import Drawn
from lab.report.figures.look.monochrome import make_monochrome
from lab.report.figures.look.settings import save_as, styled, with_style
from lab.report.figures.look.sizes import WIDTHS, sized
from lab.report.figures.picture import FORMATS
from lab.report.model import Report
from lab.store.files import writing
from lab.store.run import open_run
from lab.units import show
from lab.words import listed

STYLES = ("screen", "paper", "mono")
"""Names of the styles: that of the report, that of a paper, and that of a paper without colours."""


def report_of(run_dir: Path) -> Report:
    """Evaluate a run, and return the report of which figures are made.

    Raises:
        InputError: There is no such run, or it has no finished trial.
        StoreError: A trial is damaged.
    """
    run = open_run(run_dir)
    report = Report(run, evaluate_run(run))
    if not report.done:
        raise InputError(f"{run_dir} has no finished trial, so there is nothing to draw")
    return report


def figure_of(fields: Mapping[str, Any]) -> schema.Figure:
    """Return the figure that *fields* describe, as in the part ``report`` of an experiment file.

    Raises:
        InputError: There is no such figure; the message has a line for each problem, with the name of the field.
    """
    document = {"figures": [dict(fields)]}
    try:
        return schema.Report.model_validate(document).figures[0]
    except ValidationError as error:
        raise InputError("\n".join(map(_told, problems_of(error, document, schema.Report)))) from error


def _told(problem: Problem) -> str:
    inside = ".".join(str(part) for part in problem.path[2:])
    return f"--{inside}: {problem.message}" if inside else problem.message


def check_target(path: Path, style: str, width: str | None) -> None:
    """Check the name of a figure's file, its style and its width.

    Raises:
        InputError: One of them is not known.
    """
    suffix = path.suffix.removeprefix(".")
    if suffix not in FORMATS:
        expected = listed((f".{name}" for name in FORMATS), "or")
        raise InputError(f"--output: found {show(str(path))}; expected a name that ends in {expected}")
    for option, found, known in (("style", style, STYLES), ("width", width, tuple(WIDTHS))):
        if found is not None and found not in known:
            close = nearest(found, known)
            meant = f"; did you mean '{close}'?" if close else ""
            raise InputError(f"--{option}: found {show(found)}; expected {listed(known, 'or')}{meant}")


def write_figure(
    report: Report, what: schema.Figure | str, path: Path, *, style: str = "screen", width: str | None = None
) -> list[Path]:
    """Write a figure of a run, given by its kind or by its name in the report; return the paths of the files.

    If the figure has several pages, the second one is called NAME-2.  The same results give the same bytes.

    Raises:
        InputError: There is no such figure, the run has no data for it, or it cannot be in this width.
        StoreError: A file cannot be written.
    """
    check_target(path, style, width)
    paths = []
    with sized(width), with_style(style):
        for number, drawn in enumerate(_named(report, what) if isinstance(what, str) else _asked(report, what), 1):
            file = path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")
            if style == "mono":
                make_monochrome(drawn.figure, [series.look for series in report.series])
            with styled(), writing(file):
                file.parent.mkdir(parents=True, exist_ok=True)
                save_as(drawn.figure, file)
            paths.append(file)
    return paths


def _asked(report: Report, what: schema.Figure) -> list[Drawn]:
    drawn = draw_figure(report, what)
    if not drawn:
        raise InputError(
            f"{report.run.path} has nothing that a figure of the kind '{what.kind}' could show{_why(what)}"
        )
    return drawn


def _why(what: schema.Figure) -> str:
    of = getattr(what, "y", None)
    wanted = {"latency": "it needs probes", "completions": "it needs flows with 'arrivals'"}
    wanted |= {"time": "it needs the collector tcp_probe", "phase": "it needs the collector tcp_probe"}
    wanted |= {"share": "it needs flows of several groups or algorithms", "jain": "it needs flows that run together"}
    reason = wanted.get(of if isinstance(of, str) else "") or wanted.get(what.kind)
    return f"; {reason}" if reason else ""


def _named(report: Report, name: str) -> list[Drawn]:
    names = []
    for _section, drawn in all_figures(report):
        if drawn.name == name:
            return [drawn]
        names.append(drawn.name)
    close = nearest(name, names)
    meant = f"; did you mean '{close}'?" if close else ""
    raise InputError(f"--name: found {show(name)}; expected a figure of the report ({', '.join(names)}){meant}")
