# SPDX-License-Identifier: Apache-2.0
"""What the checks of a run's trials come to: one verdict, and the checks that some trials did not pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lab.analysis.checks.check import Verdict, worst
from lab.evaluation.trial import EvaluatedTrial
from lab.report.model import Report


@dataclass(frozen=True)
class Concern:
    """A check that some trials did not pass, with the verdict that they have in common."""

    title: str
    verdict: Verdict
    meaning: str
    """Why the check matters."""
    asked: str
    """What the check expects of the first of these trials."""
    found: str
    """What the check found in the first of these trials."""
    trials: tuple[str, ...]
    """Ids of the trials."""


def overall_verdict(report: Report) -> str:
    """Return the worst verdict on the run's trials; ``failed`` if no trial was carried out.

    If a trial failed or was not run, the verdict is ``warn`` at best.
    """
    if not report.done:
        return "failed"
    verdicts = [result.verdict or "ok" for result in report.done]
    return worst([*verdicts, *(["warn"] if report.failed or report.not_run else [])])  # type: ignore[list-item]


def concerns(report: Report) -> list[Concern]:
    """Return the checks that some trials did not pass: ``invalid`` before ``warn``, then by the number of trials."""
    found: dict[tuple[str, Verdict], list[tuple[EvaluatedTrial, Any]]] = {}
    for result in report.done:
        for check in result.checks:
            if check.verdict != "ok":
                found.setdefault((check.id, check.verdict), []).append((result, check))
    listed = [
        Concern(
            title=items[0][1].title,
            verdict=verdict,
            meaning=items[0][1].meaning,
            asked=items[0][1].asked,
            found=items[0][1].found,
            trials=tuple(result.trial.id for result, _ in items),
        )
        for (_, verdict), items in found.items()
    ]
    return sorted(listed, key=lambda concern: (concern.verdict != "invalid", -len(concern.trials)))
