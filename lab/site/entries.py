# SPDX-License-Identifier: Apache-2.0
"""What the front page of a site says of each run, read from the files of the run and of its report."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.api.summary import RunSummary, summary_of_folder
from lab.errors import InputError
from lab.store.run import open_run
from lab.words import listed

VERDICTS = ("failed", "not met", "invalid", "incomplete", "warning", "passed")
"""The verdicts on a run, the worst first."""

GOOD = frozenset({"warning", "passed"})
"""The verdicts of runs of which nothing has to be said at the top of the page."""


@dataclass(frozen=True)
class Entry:
    """A run with its report."""

    path: Path
    """The folder of the run."""
    experiment: str
    id: str
    title: str
    started: str
    """Date and time in UTC."""
    engine: str
    kernel: str
    verdict: str
    """One of :data:`VERDICTS`."""
    trials: str
    """How many trials there are, by their verdicts, in words."""
    expected: str
    """How many expectations are met, such as ``3 of 4``; empty if the experiment expects nothing."""
    failing: tuple[str, ...]
    """A sentence for each expectation that is not met."""
    sentences: tuple[str, ...]
    """The report's answer."""
    figures: tuple[str, ...]
    """The names of the report's figures, without their suffix."""
    digest: str
    """Digest of all raw records: runs with the same digest are equal to the byte."""

    @property
    def where(self) -> str:
        """The engine and the kernel."""
        return f"{self.engine}, {self.kernel}"

    @property
    def place(self) -> str:
        """The path of the run in the site."""
        return f"{self.experiment}/{self.id}"


def entry_of(folder: Path) -> Entry:
    """Return what there is to say of the run in *folder*.

    Raises:
        InputError: It is not a run, or it has no report.
        StoreError: A file of the run cannot be read.
    """
    run = open_run(folder)
    summary = summary_of_folder(run.path)
    if not (run.report_dir / "index.html").is_file():
        raise InputError(f"{run.path}: found no report; expected one, which `lab report {run.path}` writes")
    answer, expectations = (_document(run.report_dir / f"{name}.json") for name in ("answer", "expectations"))
    counts: dict[str, int] = expectations.get("counts", {})
    total = sum(counts.values())
    met = counts.get("met", 0)
    figures = run.report_dir / "figures"
    return Entry(
        path=run.path,
        experiment=run.experiment,
        id=run.id,
        title=str(run.plan.get("title") or run.experiment),
        started=summary.started,
        engine=summary.engine,
        kernel=str(run.provenance.get("kernel", "")),
        verdict=verdict_of(summary, met == total),
        trials=listed([f"{number} {name}" for name, number in summary.trials.items() if number]) or "none",
        expected=f"{met} of {total}" if total else "",
        failing=tuple(
            f"{one['name']}: {one['sentence']}"
            for one in expectations.get("expectations", [])
            if one["verdict"] != "met"
        ),
        sentences=tuple(answer.get("sentences", ())),
        figures=tuple(sorted(path.stem for path in figures.glob("*.svg"))) if figures.is_dir() else (),
        digest=str(run.provenance.get("results_digest", "")),
    )


def verdict_of(summary: RunSummary, is_as_expected: bool) -> str:
    """Return the worst of :data:`VERDICTS` that holds for a run; *is_as_expected*: all its expectations are met."""
    trials = summary.trials
    if trials.get("failed") or summary.state in ("failed", "broken"):
        return "failed"
    if not is_as_expected:
        return "not met"
    if trials.get("invalid"):
        return "invalid"
    if summary.state != "complete" or trials.get("missing") or trials.get("unjudged"):
        return "incomplete"
    return "warning" if trials.get("warn") else "passed"


def _document(path: Path) -> dict[str, Any]:
    """Return the content of a file of the report; a report of an experiment without expectations lacks one."""
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}; `lab report` writes it again") from error
    return found
