# SPDX-License-Identifier: Apache-2.0
"""The command `lab init-ci`."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lab.cli.common import completing, say, write_new
from lab.errors import InputError

if TYPE_CHECKING:
    from lab.workflows.write import Classroom, Nightly


_From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="OWNER/NAME",
        help="With classroom: the teacher's repository that has the assignment [default: the student's own, "
        "in which a student could change it].",
    ),
]
_Install = Annotated[
    str | None,
    typer.Option(
        "--install",
        metavar="REQUIREMENT",
        help="What pip installs as lab, such as git+https://HOST/OWNER/lab@TAG [default: this version of tcp-lab "
        "from the package index].",
    ),
]


def init_ci(
    service: Annotated[
        str,
        typer.Argument(
            metavar="SERVICE",
            help="github or gitlab, for a nightly job; classroom, for repositories of students.",
            autocompletion=completing("github", "gitlab", "classroom"),
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
    assignment: Annotated[
        str,
        typer.Option("--assignment", metavar="DIR", help="With classroom: the folder of the assignment."),
    ] = ".",
    repository: _From = None,
    install: _Install = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="The file to write [default: where the service looks]."),
    ] = None,
) -> None:
    """Write a job for a CI service: one that runs experiments every night, or one that grades what students push.

    Run it at the root of the repository.  The nightly job runs the experiments of a folder on several runners, checks
    their expectations with pytest, keeps a JUnit file and the reports, and shows a summary.  The job for GitHub
    Classroom runs `lab grade` and reports the points.
    """
    from lab.workflows.write import CLASSROOM_PLACE, PLACES, badge

    if service == "classroom":
        _write(output or Path(CLASSROOM_PLACE), _classroom(assignment, repository, install).text())
        return
    if repository is not None or assignment != ".":
        raise InputError(f"found --assignment or --from with {service}; expected them with classroom only")
    nightly = _nightly(service, experiments, shares, pages, install)
    path = output or Path(PLACES[nightly.service])
    _write(path, nightly.text())
    shown = badge(nightly.service, _remote())
    if shown is not None:
        say(f"a badge for the README: {shown}")
    if pages and nightly.service == "github":
        say("choose GitHub Actions as the source of the pages, in the repository's settings")


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise InputError(f"{path}: cannot be written: {exc.strerror}") from exc
    write_new(path, text, "choose another name with -o")
    print(path)


def _classroom(assignment: str, repository: str | None, install: str | None) -> Classroom:
    from lab.workflows.write import Classroom

    folder = assignment.rstrip("/") or "."
    if repository is None and not Path(folder, "assignment.yaml").is_file():
        raise InputError(
            f"--assignment: found {assignment!r}; expected the folder of an assignment, which has an assignment.yaml, "
            "relative to the root of the repository"
        )
    if Path(folder).is_absolute() or ".." in Path(folder).parts:
        raise InputError(f"--assignment: found {assignment!r}; expected a folder below the root of the repository")
    if repository is not None and not re.fullmatch(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+", repository):
        raise InputError(f"--from: found {repository!r}; expected the owner and the name of a repository, owner/name")
    return Classroom(
        assignment=folder,
        repository=repository,
        requirements=(_requirement(install),),
        packages=_packages(),
    )


def _nightly(service: str, experiments: str, shares: int, pages: bool, install: str | None) -> Nightly:
    from lab.workflows.write import SERVICES, Nightly

    chosen = next((name for name in SERVICES if name == service), None)
    if chosen is None:
        raise InputError(f"found the service {service!r}; expected github, gitlab or classroom")
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
        requirements=(_requirement(install), "pytest", "pytest-xdist"),
        packages=_packages(),
    )


def _packages() -> tuple[str, ...]:
    """Return the Debian packages that trials in virtual time need, those with algorithms of the user's own included."""
    from lab.cli.machine.packages import packages

    return tuple(package.name for package in packages() if package.purpose in ("virtual", "own"))


def _requirement(install: str | None) -> str:
    from lab.version import DISTRIBUTION, version

    if install is None:
        return f"{DISTRIBUTION}=={version()}"
    if not re.fullmatch(r"[A-Za-z0-9_.+:/@=~<>!%-]+", install) or install.startswith("-"):
        raise InputError(
            f"--install: found {install!r}; expected one requirement of pip without blanks and quotes, such as "
            "git+https://HOST/OWNER/lab@TAG"
        )
    return install


def _remote() -> str:
    """Return the address of the repository in the current folder; empty if it has none."""
    try:
        done = subprocess.run(
            ["git", "remote", "get-url", "origin"], capture_output=True, text=True, check=False, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
