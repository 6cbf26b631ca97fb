# SPDX-License-Identifier: Apache-2.0
"""The command `lab init-ci`."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lab.cli.common import completing, say, write_new
from lab.errors import InputError

if TYPE_CHECKING:
    from lab.workflows.write import Nightly


def init_ci(
    service: Annotated[
        str,
        typer.Argument(
            metavar="SERVICE",
            help="github or gitlab.",
            autocompletion=completing("github", "gitlab"),
            show_default=False,
        ),
    ],
    experiments: Annotated[
        str, typer.Option("--experiments", metavar="DIR", help="The folder of the experiments that expect something.")
    ] = "experiments",
    shares: Annotated[
        int, typer.Option("--shares", min=1, max=256, help="The number of runners that divide the trials.")
    ] = 4,
    pages: Annotated[
        bool,
        typer.Option("--pages", help="Publish the reports as the pages of the repository (GitHub or GitLab Pages)."),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="The file to write [default: where the service looks]."),
    ] = None,
) -> None:
    """Write a nightly job for a CI service: it runs the experiments of a folder on several runners and reports.

    Run it at the root of the repository.  The job checks the expectations of the experiments with pytest, keeps a JUnit
    file and the reports, and shows a summary.
    """
    from lab.workflows.write import PLACES, badge

    nightly = _nightly(service, experiments, shares, pages)
    path = output or Path(PLACES[nightly.service])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise InputError(f"{path}: cannot be written: {exc.strerror}") from exc
    write_new(path, nightly.text(), "choose another name with -o")
    shown = badge(nightly.service, _remote())
    if shown is not None:
        say(f"a badge for the README: {shown}")
    if pages and nightly.service == "github":
        say("choose GitHub Actions as the source of the pages, in the repository's settings")
    print(path)


def _nightly(service: str, experiments: str, shares: int, pages: bool) -> Nightly:
    from lab.cli.packages import packages
    from lab.version import version
    from lab.workflows.write import SERVICES, Nightly

    chosen = next((name for name in SERVICES if name == service), None)
    if chosen is None:
        raise InputError(f"found the service {service!r}; expected github or gitlab")
    folder = experiments.strip("/")
    if not Path(folder).is_dir() or Path(experiments).is_absolute():
        raise InputError(
            f"--experiments: found {experiments!r}; expected a folder with experiments, relative to the root of the "
            "repository, in which the command has to run"
        )
    return Nightly(
        service=chosen,
        experiments=folder,
        shares=shares,
        pages=pages,
        requirements=(f"tcp-lab=={version()}", "pytest", "pytest-xdist"),
        packages=tuple(package.name for package in packages() if package.purpose == "virtual"),
    )


def _remote() -> str:
    """Return the address of the repository in the current folder; empty if it has none."""
    try:
        done = subprocess.run(
            ["git", "remote", "get-url", "origin"], capture_output=True, text=True, check=False, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
