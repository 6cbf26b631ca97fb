# SPDX-License-Identifier: Apache-2.0
"""The command `lab site`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lab.cli.common import say
from lab.errors import EXIT_EXPECTATION_FAILED, EXIT_OK


def site(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN_DIR...", help="Folders of runs, such as results/*/latest, in any order."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="The new folder to write.")],
    title: Annotated[str, typer.Option("--title", metavar="TEXT", help="The title of the front page.")] = "Experiments",
    url: Annotated[
        str | None,
        typer.Option(
            "--url",
            metavar="URL",
            help="The address at which the folder will be published; the summary then has links and figures.",
        ),
    ] = None,
    also: Annotated[
        list[Path] | None,
        typer.Option("--also", metavar="FILE", help="Another file to show, such as a log; may be repeated."),
    ] = None,
) -> None:
    """Copy the reports of runs into a web site: index.html links all of them, summary.md is for the page of a CI job.

    The exit code is 1 if a run has failed or invalid trials, is not complete, or does not meet its expectations.
    """
    from lab.site.entries import GOOD
    from lab.site.pages import headline
    from lab.site.write import write_site

    entries = write_site(runs, output, title=title, url=url, others=also or ())
    say(headline(entries))
    print(output / "index.html")
    raise typer.Exit(EXIT_OK if all(entry.verdict in GOOD for entry in entries) else EXIT_EXPECTATION_FAILED)
