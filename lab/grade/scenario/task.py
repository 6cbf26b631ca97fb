# SPDX-License-Identifier: Apache-2.0
"""One scenario of one submission: what a process of its own is told to do, and what it tells when it has ended."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from lab.errors import StoreError
from lab.store.files import read_json, to_json, write_file

__all__ = ["RESULT", "Report", "Task", "read_report"]

RESULT = "result.json"
"""The file with the report, in the folder of the scenario."""
FIGURES = "figures"
"""The folder with the figures, in the folder of the scenario."""
RUNS = "run"
"""The folder with the run, in the folder of the scenario."""

FORMAT = 1

Status = Literal["run", "refused", "ended", "machine"]
"""The trials have run (and maybe failed); what was handed in cannot be run; it did not come to an end; this machine is
at fault, so that nothing is known of the submission."""


@dataclass(frozen=True)
class Task:
    """What a process has to do.  It is written to a file, which the process reads."""

    name: str
    """Name of the scenario."""
    stage: str
    """The folder with the files of assignment and submission (:func:`lab.grade.submission.stage.lay_out`)."""
    experiment: str
    """The experiment, relative to *stage*."""
    overrides: list[str]
    rubric: dict[str, dict[str, Any]]
    """Name of a criterion of this scenario → its fields."""
    answers: dict[str, str]
    """The student's answers."""
    output: str
    """The folder of the scenario, which is there and empty."""
    processors: list[int]
    """The processors to use, a trial at a time on each."""
    wall_s: float
    read_cache: bool
    key: str
    """A digest of everything that the report depends on."""
    engine: str | None = None
    bundles: list[str] = field(default_factory=list)
    """The digests of the bundles in which the trials run; without any, they run in the default ones."""
    modules: bool = False
    """Whether the submission may contain kernel modules."""
    may_not_use: list[str] = field(default_factory=list)
    """Names of functions of the kernel that no algorithm of the scenario may call."""

    def write(self, path: Path) -> None:
        write_file(path, to_json(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> Task:
        return cls(**read_json(path))


@dataclass(frozen=True)
class Report:
    """What became of a scenario."""

    name: str
    status: Status
    message: str = ""
    """Why it could not be run, in the words of the one who has found out."""
    given: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Name of a criterion → the fields of :class:`lab.grade.scenario.points.Given`."""
    figures: dict[str, dict[str, str]] = field(default_factory=dict)
    """Name of a criterion → ``name``, ``caption`` and ``alt`` of its figure."""
    failures: dict[str, dict[str, str]] = field(default_factory=dict)
    """Id of a failed trial → ``reason``, ``kind`` and ``log`` (its end)."""
    trials: int = 0
    digest: str = ""
    """Digest of all raw records."""
    bundles: dict[str, str] = field(default_factory=dict)
    """Kernel → the digest of the bundle in which its trials ran."""
    wall_s: float = 0.0
    key: str = ""
    format: int = FORMAT

    @property
    def is_final(self) -> bool:
        """Whether the same would come out again: nothing of this machine, such as its speed, has a part in it."""
        return self.status in ("run", "refused") and all(
            one["kind"] in ("GuestError", "LostVMError") for one in self.failures.values()
        )

    def write(self, folder: Path) -> None:
        write_file(folder / RESULT, to_json(asdict(self)))


def read_report(folder: Path) -> Report | None:
    """Return the report in the folder of a scenario; None if there is none that this version has written completely."""
    try:
        found = read_json(folder / RESULT)
        return Report(**found) if found.get("format") == FORMAT else None
    except (StoreError, TypeError, AttributeError, json.JSONDecodeError):
        return None
