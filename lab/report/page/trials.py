# SPDX-License-Identifier: Apache-2.0
"""The trials of a run with their verdicts, and links to the files that they recorded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from lab.evaluation.trial import EvaluatedTrial
from lab.report.model import Report

MAX_FILES = 8
"""If a folder in a trial has more files than this, the page links to the folder instead of to each file."""


@dataclass(frozen=True)
class File:
    """A link to a file or a folder of a trial."""

    name: str
    href: str
    """Path from the folder of the page, as a URL."""


@dataclass(frozen=True)
class FileGroup:
    """Files of the same kind."""

    name: str
    files: tuple[File, ...]


@dataclass(frozen=True)
class TrialLine:
    """A row of the table of trials."""

    id: str
    verdict: str
    remark: str
    """The checks that it did not pass, or why it failed; empty if there is nothing to say."""
    has_checks: bool
    groups: tuple[FileGroup, ...]


def trial_lines(report: Report) -> list[TrialLine]:
    """Return the rows of the table of trials, in the order of the run."""
    return [
        TrialLine(
            id=result.trial.id,
            verdict=result.verdict or "failed",
            remark=_remark(result),
            has_checks=bool(result.checks),
            groups=_groups(result.trial.path, f"../trials/{quote(result.trial.id)}"),
        )
        for result in report.evaluated
    ]


def _remark(result: EvaluatedTrial) -> str:
    if result.trial.error:
        return result.trial.error
    return ", ".join(check.title for check in result.checks if check.verdict != "ok")


def _groups(folder: Path, href: str) -> tuple[FileGroup, ...]:
    tables = sorted(folder.glob("*.parquet"))
    own = [path for path in sorted(folder.iterdir()) if path.is_file() and path not in tables]
    groups = [FileGroup("", tuple(File(path.name, f"{href}/{quote(path.name)}") for path in own))]
    for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
        files = sorted(inner.iterdir())
        links = tuple(File(path.stem, f"{href}/{quote(inner.name)}/{quote(path.name)}") for path in files)
        if len(files) > MAX_FILES:
            links = (File(f"{len(files)} files", f"{href}/{quote(inner.name)}/"),)
        groups.append(FileGroup(f"{inner.name}:", links))
    groups.append(FileGroup("Parquet:", tuple(File(path.stem, f"{href}/{quote(path.name)}") for path in tables)))
    return tuple(group for group in groups if group.files)
