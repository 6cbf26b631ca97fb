# SPDX-License-Identifier: Apache-2.0
"""The commands for single figures: figure and paper."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lab.cli.common import Jobs, Quiet, RunFolder, completing, planned, say
from lab.errors import EXIT_EXPECTATION_FAILED, EXIT_FAILED, EXIT_OK, InputError, LabError
from lab.words import listed

if TYPE_CHECKING:
    from lab.experiment.schema.paper import Paper, PaperRun
    from lab.report.model import Report

KINDS = (
    "time", "cdf", "box", "violin", "heatmap", "against", "cells", "goodput-vs-delay", "phase", "jain", "share",
)  # fmt: skip

_NAMED = 3
"""The number of invalid trials of a run that are named."""

Kind = Annotated[
    str | None,
    typer.Option(
        "--kind",
        metavar="KIND",
        autocompletion=completing(*KINDS),
        help=f"The kind of figure: {listed(KINDS, 'or')}.",
    ),
]
OfReport = Annotated[
    str | None,
    typer.Option("--name", metavar="NAME", help="Instead of --kind: a figure of the report, e.g. cwnd."),
]
Across = Annotated[
    str | None,
    typer.Option("--x", metavar="FIELD", help="The x-axis: an axis of the matrix, a metric or a quantity."),
]
Up = Annotated[
    list[str] | None,
    typer.Option("--y", metavar="FIELD", help="The y-axis; may be repeated with --kind cells."),
]
Colour = Annotated[
    str | None, typer.Option("--z", metavar="METRIC", help="The metric that the colours of a heat map show.")
]
Style = Annotated[
    str,
    typer.Option(
        "--style",
        metavar="STYLE",
        autocompletion=completing("screen", "paper", "mono"),
        help="screen: as in the report; paper: smaller fonts; mono: without colours.",
    ),
]
Width = Annotated[
    str | None,
    typer.Option(
        "--width",
        metavar="WIDTH",
        autocompletion=completing("acm", "acm-double", "ieee", "ieee-double", "slide"),
        help="acm: 3.33 in; acm-double: 7 in; ieee: 3.5 in; ieee-double: 7.16 in; slide: 6 in [default: that of the "
        "report].",
    ),
]
Target = Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The file to write: .pdf, .svg or .png.")]


def figure(
    run_dir: RunFolder,
    kind: Kind = None,
    name: OfReport = None,
    x: Across = None,
    y: Up = None,
    z: Colour = None,
    title: Annotated[str | None, typer.Option("--title", metavar="TEXT", help="Title above the figure.")] = None,
    style: Style = "screen",
    width: Width = None,
    output: Target = Path("figure.pdf"),
) -> None:
    """Draw one figure of a run in a file; prints the path of the file."""
    from lab.report.figures.file import check_target, figure_of, report_of, write_figure

    check_target(output, style, width)
    if (kind is None) == (name is None):
        found = "neither --kind nor --name" if kind is None else "both --kind and --name"
        raise InputError(f"found {found}; expected one of them")
    fields: dict[str, Any] = {"kind": kind, "x": x, "y": _values(kind, y), "z": z, "title": title}
    given = {field: value for field, value in fields.items() if value is not None}
    if name is not None and given:
        raise InputError(f"found --{next(iter(given))} with --name; expected it with --kind only")
    what = figure_of(given) if name is None else name
    for path in write_figure(report_of(run_dir), what, output, style=style, width=width):
        print(path)


def _values(kind: str | None, y: list[str] | None) -> Any:
    if not y or kind == "cells":
        return y or None
    if len(y) > 1:
        raise InputError(f"found --y {len(y)} times; expected it once, or --kind cells")
    return y[0]


def paper(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The list of figures, a YAML file.")],
    results: Annotated[
        Path, typer.Option("--results", metavar="DIR", help="The folder in which runs are stored.")
    ] = Path("results"),
    jobs: Jobs = None,
    quiet: Quiet = False,
) -> None:
    """Draw all figures of a paper; experiments that have not been run are run first.  Prints the paths of the files.

    Exits with 1 if a run has invalid trials, which are named, and with 3 if trials failed; figures of a run in which
    trials failed are not drawn, but all others are.
    """
    from lab.experiment.read.paper import load_paper
    from lab.report.figures.file import report_of, write_figure

    asked = load_paper(file)
    runs = {name: _found(file, name, run, results, jobs, quiet=quiet) for name, run in asked.runs.items()}
    reports: dict[str, Report] = {}
    left_out: dict[str, list[str]] = {}
    for name, one in asked.figures.items():
        if runs[one.run].has_failed:
            left_out.setdefault(one.run, []).append(name)
            continue
        report = reports.get(one.run) or reports.setdefault(one.run, report_of(runs[one.run].folder))
        what = one.figure if one.figure is not None else one.name
        assert what is not None
        for path in _targets(file, asked, name):
            try:
                written = write_figure(
                    report, what, path, style=one.style or asked.style, width=one.width or asked.width
                )
            except InputError as error:
                raise InputError(f"{file}: figures.{name}: {error}") from error
            for done in written:
                print(done)
    raise typer.Exit(max(_say_failed(left_out, runs), _say_invalid(reports)))


def _say_failed(left_out: Mapping[str, Sequence[str]], runs: Mapping[str, _Run]) -> int:
    """Name the figures that are not drawn because trials of their run failed; return the exit code."""
    for run, figures in left_out.items():
        what = f"the figure{'s' if len(figures) > 1 else ''} {listed(figures)} {'are' if len(figures) > 1 else 'is'}"
        say(f"lab: {what} not drawn: trials of the run {run} failed; see {runs[run].folder}")
    failed = any(run.has_failed for run in runs.values())
    return EXIT_FAILED if failed else EXIT_OK


def _say_invalid(reports: Mapping[str, Report]) -> int:
    """Name the invalid trials of each run; return the exit code."""
    code = EXIT_OK
    for name, report in reports.items():
        invalid = [result.trial.id for result in report.done if result.verdict == "invalid"]
        if invalid:
            more = [f"{len(invalid) - _NAMED} more"] if len(invalid) > _NAMED else []
            say(
                f"lab: run {name}: {len(invalid)} of {len(report.done)} trials {'are' if len(invalid) > 1 else 'is'} "
                f"invalid and did not measure what the experiment asks for: {listed([*invalid[:_NAMED], *more])}; see "
                f"{report.run.report_dir / 'index.html'}"
            )
            code = EXIT_EXPECTATION_FAILED
    return code


def _targets(file: Path, asked: Paper, name: str) -> list[Path]:
    return [file.parent / asked.output / f"{name}.{suffix}" for suffix in asked.formats]


@dataclass(frozen=True)
class _Run:
    """A run of the paper."""

    folder: Path
    has_failed: bool = False
    """Whether trials failed when its experiment was run just now."""


def _found(file: Path, name: str, run: PaperRun, results: Path, jobs: int | None, *, quiet: bool) -> _Run:
    """Return a run of the paper; run its experiment if that has not been done."""
    if run.folder is not None:
        return _Run(file.parent / run.folder)
    assert run.experiment is not None
    experiment = file.parent / run.experiment
    try:
        loaded, plan = planned(experiment, run.overrides)
    except LabError as error:
        raise type(error)(f"{file}: runs.{name}: {error}") from error
    found = _run_of(results / plan.name, plan.to_json())
    if found is not None:
        return _Run(found)
    if not quiet:
        say(f"{name}: {loaded.path} has not been run like this; running it")
    code = _run(experiment, results, jobs, run.overrides, quiet=quiet)
    return _Run((results / plan.name / "latest").resolve(), code == EXIT_FAILED)


def _run_of(folder: Path, plan: str) -> Path | None:
    """Return the latest finished run in *folder* that has exactly this plan."""
    from lab.store.run import open_run

    for path in sorted((path for path in folder.glob("2*") if (path / "plan.json").is_file()), reverse=True):
        if (path / "plan.json").read_text(encoding="utf-8") == plan:
            run = open_run(path)
            if {trial.id for trial in run.trials() if trial.ok} == set(run.planned_ids()):
                return path
    return None


def _run(experiment: Path, results: Path, jobs: int | None, overrides: list[str], *, quiet: bool) -> int:
    """Run an experiment and return the exit code of ``lab run``; invalid and failed trials do not end the command."""
    from lab.cli.running.run import run

    try:
        # What this command prints on standard output are the paths of the figures.
        with contextlib.redirect_stdout(sys.stderr):
            run(experiment, output=results, jobs=jobs, set_=overrides, quiet=quiet)
    except typer.Exit as done:
        if done.exit_code not in (EXIT_OK, EXIT_EXPECTATION_FAILED, EXIT_FAILED):
            raise
        return done.exit_code
    return EXIT_OK
