# SPDX-License-Identifier: Apache-2.0
"""The command `lab compare`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lab.cli.common import completing
from lab.errors import EXIT_EXPECTATION_FAILED, EXIT_OK, InputError
from lab.units import parse_probability

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.compare.cells import RunCells

FORMATS = ("text", "markdown", "json", "html")
_FIGURES = (".svg", ".pdf", ".png")
_WIDTH = 120
"""The number of columns if the output does not go to a terminal."""

FigureFile = Annotated[
    Path | None,
    typer.Option("--figure", metavar="FILE", help="Also draw all runs in one figure: an SVG, PDF or PNG file."),
]


def compare(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN…", help="Folders of runs; the others are compared with the first.")
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
    tolerance: Annotated[
        str, typer.Option("--tolerance", metavar="SHARE", help="The change that is still none, such as 2%.")
    ] = "5%",
    figure: FigureFile = None,
    everything: Annotated[
        bool,
        typer.Option("--all", help="Compare all metrics of results.csv, and show unchanged ones, too."),
    ] = False,
) -> None:
    """Compare every metric of runs; exits with 1 if one of them is worse than in the first run."""
    from lab.compare.cells import run_cells
    from lab.compare.differences import differences
    from lab.compare.render import as_json, as_markdown, as_text
    from lab.store.files import write_file

    if format_ not in FORMATS:
        raise InputError(f"--format: found {format_!r}; expected one of {', '.join(FORMATS)}")
    _check_figure(figure)
    if len(runs) < 2:
        raise InputError("expected two runs or more: the others are compared with the first one")
    try:
        share = parse_probability(tolerance)
    except ValueError as error:
        raise InputError(f"--tolerance: {error}") from error
    first, *others = cells = [run_cells(path) for path in runs]
    comparisons = [differences(first, other, share, everything=everything) for other in others]
    if format_ == "json":
        text = as_json(comparisons, share)
    elif format_ == "markdown":
        text = as_markdown(comparisons, everything=everything)
    elif format_ == "html":
        from lab.compare.page import as_html

        text = as_html(cells, comparisons, everything=everything)
    else:
        is_terminal = output is None and sys.stdout.isatty()
        width = shutil.get_terminal_size().columns if is_terminal else _WIDTH
        text = as_text(comparisons, width, everything=everything, colour=is_terminal)
    _draw(cells, figure)
    if output is None:
        print(text, end="")
    else:
        write_file(output, text.encode())
        print(output)
    is_worse = any(comparison.count("worse") for comparison in comparisons)
    raise typer.Exit(EXIT_EXPECTATION_FAILED if is_worse else EXIT_OK)


def _check_figure(path: Path | None) -> None:
    if path is not None and path.suffix not in _FIGURES:
        raise InputError(f"--figure: found {str(path)!r}; expected a name that ends with {', '.join(_FIGURES)}")


def _draw(cells: Sequence[RunCells], path: Path | None) -> None:
    if path is None:
        return
    from lab.compare.figure import save_overlaid

    if not save_overlaid(cells, path):
        raise InputError("--figure: the runs have no cell with the same metrics in common, so there is nothing to draw")
