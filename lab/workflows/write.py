# SPDX-License-Identifier: Apache-2.0
"""Write the files that make a CI service run experiments every night, or grade submissions when they are pushed."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from importlib import resources
from pathlib import PurePosixPath
from typing import Literal

Service = Literal["github", "gitlab"]

SERVICES: tuple[Service, ...] = ("github", "gitlab")

PLACES = {"github": ".github/workflows/lab-nightly.yml", "gitlab": ".gitlab-ci.yml"}
"""Service → the path of its file in a repository."""

CLASSROOM_PLACE = ".github/workflows/classroom.yml"
"""The path of the file that grades a submission, in a repository of GitHub Classroom."""

_URL = {"github": "https://$GITHUB_REPOSITORY_OWNER.github.io/${GITHUB_REPOSITORY#*/}", "gitlab": "$CI_PAGES_URL"}
"""Service → the address of the published pages, as a shell on its runners has it."""

_BASE_PACKAGES = ("ca-certificates", "git", "python3-venv")
"""The Debian packages that a runner needs besides those of lab."""

_REMOTE = re.compile(r"(?:git@|https?://(?:[^@/]*@)?|ssh://git@)(?P<host>[^/:]+)(?::\d+)?[/:](?P<path>.+?)(?:\.git)?/?")


@dataclass(frozen=True)
class Nightly:
    """What the nightly job does."""

    service: Service
    experiments: str
    """The folder of the experiments, relative to the root of the repository."""
    shares: int
    """The number of runners that divide the trials among themselves."""
    pages: bool
    """Whether the reports are published as the pages of the repository."""
    requirements: tuple[str, ...]
    """What pip installs."""
    packages: tuple[str, ...]
    """The Debian packages that lab needs."""

    def text(self) -> str:
        """Return the content of the file."""
        pages = _resource(f"{self.service}-pages.yml") if self.pages else ""
        url = f' --url "{_URL[self.service]}"' if self.pages else ""
        values = {
            "EXPERIMENTS": shlex.quote(self.experiments),
            "PACKAGES": " ".join(sorted({*_BASE_PACKAGES, *self.packages})),
            "REQUIREMENTS": shlex.join(self.requirements),
            "SHARES": ", ".join(f'"{number}/{self.shares}"' for number in range(1, self.shares + 1)),
            "NUMBER": str(self.shares),
            "URL_OPTION": url,
        }
        text = _resource(f"{self.service}.yml").replace("@PAGES@\n", pages)
        return re.sub(r"@([A-Z_]+)@", lambda found: values[found[1]], text)


@dataclass(frozen=True)
class Classroom:
    """What the job does that grades a student's repository."""

    assignment: str
    """The folder of the assignment, relative to the root of the repository that has it."""
    repository: str | None
    """The repository (owner/name) that has the assignment, if it is not the student's own."""
    requirements: tuple[str, ...]
    packages: tuple[str, ...]

    def text(self) -> str:
        """Return the content of the file."""
        folder = self.assignment if self.repository is None else f".assignment/{self.assignment}".removesuffix("/.")
        checkout = (
            ""
            if self.repository is None
            else f"      - uses: actions/checkout@v4\n        with:\n          repository: {self.repository}\n"
            "          path: .assignment\n"
        )
        values = {
            "ASSIGNMENT": shlex.quote(folder),
            "PACKAGES": " ".join(sorted({*_BASE_PACKAGES, *self.packages})),
            "REQUIREMENTS": shlex.join(self.requirements),
        }
        text = _resource("classroom.yml").replace("@CHECKOUT@\n", checkout)
        return re.sub(r"@([A-Z_]+)@", lambda found: values[found[1]], text)


def badge(service: Service, remote: str) -> str | None:
    """Return the badge of the nightly job in Markdown; None if *remote* is not the address of a repository.

    *remote* is the address from which the repository is cloned, as ``git remote get-url origin`` prints it.
    """
    found = _REMOTE.fullmatch(remote.strip())
    if found is None:
        return None
    home = f"https://{found['host']}/{found['path']}"
    if service == "github":
        job = f"{home}/actions/workflows/{PurePosixPath(PLACES[service]).name}"
        return f"[![lab nightly]({job}/badge.svg)]({job})"
    return f"[![pipeline]({home}/badges/HEAD/pipeline.svg)]({home}/-/pipelines)"


def _resource(name: str) -> str:
    return resources.files("lab.workflows").joinpath(name).read_text(encoding="utf-8")
