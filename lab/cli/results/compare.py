# SPDX-License-Identifier: Apache-2.0
"""The commands `lab compare` and `lab baseline`, and the comparison at the end of `lab run --baseline`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lab.cli.common import RunFolder, completing, say
from lab.errors import EXIT_EXPECTATION_FAILED, EXIT_OK, InputError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from lab.compare.cells import RunCells
    from lab.compare.differences import Comparison
    from lab.compare.tolerances import Tolerances
    from lab.compare.verdicts import CellOutcome
    from lab.store.run import Run

FORMATS = ("text", "markdown", "json", "html")
_FIGURES = (".svg", ".pdf", ".png")
_WIDTH = 120
"""The number of columns if the output does not go to a terminal."""

TolerancesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--tolerance",
        metavar="[METRIC=]SHARE",
        help="The relative change that is still none, such as 2%, or goodput_mbps=1% for one column of results.csv; "
        "may be repeated [default: what the baseline declares, or else 5%].",
    ),
]
CommonCells = Annotated[
    bool,
    typer.Option("--common-cells", help="Do not count cells that only one of the runs has as a failure."),
]
FigureFile = Annotated[
    Path | None,
    typer.Option("--figure", metavar="FILE", help="Also draw all runs in one figure: an SVG, PDF or PNG file."),
]


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN…",
            help="Folders of runs, and baselines (*.json); the others are compared with the first baseline, or "
            "else with the first run.",
        ),
    ],
    format_: Annotated[
        str,
        typer.Option(
            "--format", metavar="FORMAT", autocompletion=completing(*FORMATS), help="text, markdown, json or html."
        ),
    ] = "text",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="The file to write [default: print].")
    ] = None,
    tolerance: TolerancesOption = None,
    common_cells: CommonCells = False,
    figure: FigureFile = None,
    everything: Annotated[
        bool,
        typer.Option("--all", help="Compare all metrics of results.csv, and show unchanged ones, too."),
    ] = False,
) -> None:
    """Compare every cell and metric of runs and baselines.

    Exits with 1 if a metric is worse, or if a cell is missing, new, or has invalid trials.
    """
    from lab.compare.baseline import cells_of, reference_first
    from lab.compare.differences import differences
    from lab.store.files import write_file

    if format_ not in FORMATS:
        raise InputError(f"--format: found {format_!r}; expected one of {', '.join(FORMATS)}")
    _check_figure(figure)
    if len(runs) < 2:
        raise InputError("expected two runs or more: the others are compared with the first one")
    first, *others = cells = reference_first([cells_of(path) for path in runs])
    tolerances = tolerances_for(first, cells, tolerance)
    comparisons = [differences(first, other, tolerances, everything=everything) for other in others]
    is_terminal = output is None and sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if is_terminal else _WIDTH
    text = _rendered(format_, cells, comparisons, tolerances, width, everything=everything, colour=is_terminal)
    _draw(cells, figure)
    if output is None:
        print(text, end="")
    else:
        write_file(output, text.encode())
        print(output)
    is_failing = any(_failing(comparison, common_only=common_cells) for comparison in comparisons)
    raise typer.Exit(EXIT_EXPECTATION_FAILED if is_failing else EXIT_OK)


def baseline(
    run_dir: RunFolder,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="The file to write, such as baselines/NAME.json.")
    ],
    tolerance: Annotated[
        list[str] | None,
        typer.Option(
            "--tolerance",
            metavar="[METRIC=]SHARE",
            help="The relative change that later comparisons take for none, such as 2%, or goodput_mbps=1% for one "
            "column of results.csv; may be repeated [default: 5%].",
        ),
    ] = None,
    allow_invalid: Annotated[
        bool, typer.Option("--allow-invalid", help="Also write the baseline of a run with invalid or missing trials.")
    ] = False,
) -> None:
    """Keep the results of a run in a small file that can be committed, for later runs to be compared with.

    `lab run --baseline FILE` and `lab compare RUN FILE` compare runs with it.
    """
    from lab.compare.baseline import SUFFIX, write_baseline
    from lab.compare.cells import run_cells

    if output.suffix != SUFFIX:
        raise InputError(f"--output: found {str(output)!r}; expected a name that ends with {SUFFIX}")
    run = run_cells(run_dir)
    bad = [trial.verdict for trials in run.cells().values() for trial in trials.values() if trial.verdict != "valid"]
    if bad and not allow_invalid:
        told = ", ".join(f"{bad.count(verdict)} {verdict}" for verdict in dict.fromkeys(bad))
        raise InputError(
            f"{run_dir} has trials that measured nothing ({told}); later runs cannot be compared with them.  Run them "
            "again, or give --allow-invalid"
        )
    write_baseline(run, output, tolerances_for(run, [run], tolerance))
    print(output)


def tolerances_for(first: RunCells, runs: Sequence[RunCells], texts: Sequence[str] | None) -> Tolerances:
    """Return the tolerances that the command line asks for, or else those that the baseline *first* declares.

    Raises:
        InputError: The command line asks for something else than tolerances.
    """
    return parsed_tolerances(texts, {key for run in runs for key in run.columns}, first.tolerances or {})


def parsed_tolerances(
    texts: Sequence[str] | None, metrics: Collection[str], declared: Mapping[str, float]
) -> Tolerances:
    """Return the tolerances that the command line asks for in *texts*; what it does not mention is as *declared*.

    Raises:
        InputError: The texts are no tolerances of *metrics*.
    """
    from lab.compare.tolerances import parse_tolerances, tolerances_of

    try:
        return parse_tolerances(texts or (), metrics, tolerances_of(declared))
    except ValueError as error:
        raise InputError(f"--tolerance: {error}") from error


def compare_with_baseline(folder: Run, reference: RunCells, tolerances: Tolerances, *, quiet: bool) -> int:
    """Compare a run that has just ended with a baseline, and return the exit code.

    The comparison is printed, and written into the folder of the report as ``comparison.html``, ``.md`` and ``.json``.
    """
    from lab.compare.cells import run_cells
    from lab.compare.differences import differences
    from lab.compare.outcome import cell_line
    from lab.report.build import COMPARISON, COMPARISON_SUFFIXES
    from lab.store.files import write_file

    found = run_cells(folder.path)
    cells, comparison = [reference, found], differences(reference, found, tolerances)
    for suffix, format_ in zip(COMPARISON_SUFFIXES, ("html", "markdown", "json"), strict=True):
        text = _rendered(format_, cells, [comparison], tolerances, _WIDTH, everything=False, colour=False)
        write_file(folder.report_dir / f"{COMPARISON}{suffix}", text.encode())
    if not quiet:
        is_terminal = sys.stderr.isatty()
        width = shutil.get_terminal_size().columns if is_terminal else _WIDTH
        say(_rendered("text", cells, [comparison], tolerances, width, everything=False, colour=is_terminal).rstrip())
        say(f"comparison: {folder.report_dir / f'{COMPARISON}.html'}")
    failing = _failing(comparison)
    for line in map(cell_line, failing):
        why = line.why if line.verdict == "worse" else f"{line.verdict}: {line.why}"
        say(f"lab: not as the baseline: {line.cell}: {why}")
    return EXIT_EXPECTATION_FAILED if failing else EXIT_OK


def _failing(comparison: Comparison, *, common_only: bool = False) -> list[CellOutcome]:
    from lab.compare.verdicts import cell_outcomes, failing

    return failing(cell_outcomes(comparison), common_only=common_only)


def _rendered(
    format_: str,
    cells: Sequence[RunCells],
    comparisons: Sequence[Comparison],
    tolerances: Tolerances,
    width: int,
    *,
    everything: bool,
    colour: bool,
) -> str:
    """Return the comparisons in one of :data:`FORMATS`."""
    from lab.compare.render import as_json, as_markdown, as_text

    if format_ == "json":
        return as_json(comparisons, tolerances)
    if format_ == "markdown":
        return as_markdown(comparisons, everything=everything)
    if format_ == "html":
        from lab.compare.page import as_html

        return as_html(cells, comparisons, everything=everything)
    return as_text(comparisons, width, everything=everything, colour=colour)


def _check_figure(path: Path | None) -> None:
    if path is not None and path.suffix not in _FIGURES:
        raise InputError(f"--figure: found {str(path)!r}; expected a name that ends with {', '.join(_FIGURES)}")


def _draw(cells: Sequence[RunCells], path: Path | None) -> None:
    if path is None:
        return
    from lab.compare.figure import save_overlaid

    if not save_overlaid(cells, path):
        raise InputError("--figure: the runs have no cell with the same metrics in common, so there is nothing to draw")
