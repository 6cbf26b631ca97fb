# SPDX-License-Identifier: Apache-2.0
"""The command `lab handout`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lab.errors import InputError


def handout(
    assignment: Annotated[
        Path, typer.Argument(metavar="ASSIGNMENT", help="The folder of the assignment, with its assignment.yaml.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="The file to write, .html or .pdf [default: the assignment's name and .html, here].",
        ),
    ] = None,
    hidden: Annotated[
        Path | None,
        typer.Option(
            "--hidden",
            metavar="DIR",
            help="The folder with the hidden part of the assignment [default: its folder `teacher`, if there is one].",
        ),
    ] = None,
) -> None:
    """Write the handout of an assignment as a page (HTML) or a PDF, with what to hand in and what gives points.

    A PDF needs the program weasyprint (Debian's package of this name).
    """
    from lab.grade.assignment.read import read_assignment
    from lab.grade.result.handout import handout_html, write_pdf
    from lab.store.files import write_file

    loaded = read_assignment(assignment, hidden)
    path = output or Path(f"{loaded.name}.html")
    if path.suffix not in (".html", ".pdf"):
        raise InputError(f"--output: found {path.name!r}; expected a name that ends in .html or .pdf")
    if loaded.assignment.handout not in loaded.files:
        raise InputError(f"{loaded.folder}: found no {loaded.assignment.handout}; expected the handout")
    html = handout_html(loaded)
    if path.suffix == ".pdf":
        write_pdf(html, path)
    else:
        write_file(path, html.encode())
    print(path)
