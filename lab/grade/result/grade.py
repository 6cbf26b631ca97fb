# SPDX-License-Identifier: Apache-2.0
"""The grade of one submission, put together from the reports of its scenarios.  This module does no I/O.

Nothing in a grade depends on when or on which machine it was given, unless a scenario could not be run there.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

from lab.grade.assignment.read import Loaded
from lab.grade.assignment.schema import kind_of
from lab.grade.scenario import points
from lab.grade.scenario.points import Given, Verdict
from lab.grade.scenario.task import Report
from lab.grade.submission.intake import Submission
from lab.version import version

__all__ = [
    "FORMAT",
    "CriterionDocument",
    "GradeDocument",
    "Manual",
    "MessageDocument",
    "ScenarioDocument",
    "grade_of",
    "in_short",
]

FORMAT = 1

Status = Literal["graded", "waiting", "incomplete"]
"""All points are given; a person has to give some; this machine could not run a scenario, so that points are
missing."""


@dataclass(frozen=True)
class Manual:
    """The points that a person has given for an answer."""

    points: float
    comment: str = ""


class CriterionDocument(TypedDict):
    """A criterion and its points."""

    name: str
    title: str
    kind: str
    scenario: str | None
    hidden: bool
    most: float
    points: float
    verdict: Verdict
    observed: str
    full: str
    none: str
    margin: str
    where: str
    reason: str
    answer: str
    question: str
    because: str
    condition: str
    figure: dict[str, str] | None
    cases: list[dict[str, Any]]


class ScenarioDocument(TypedDict):
    """A scenario and what became of it."""

    name: str
    title: str
    hidden: bool
    status: str
    trials: int
    failed: int
    digest: str
    bundles: dict[str, str]


class MessageDocument(TypedDict):
    """What a student has to know about a submission that could not be run, or only partly."""

    about: list[str]
    """The scenarios; empty if it is the submission as a whole."""
    text: str
    log: str


class GradeDocument(TypedDict):
    """The content of ``grade.json``."""

    format: int
    lab_version: str
    assignment: dict[str, str]
    submission: dict[str, Any]
    status: Status
    points: float
    most: float
    messages: list[MessageDocument]
    criteria: list[CriterionDocument]
    scenarios: list[ScenarioDocument]


def grade_of(
    loaded: Loaded,
    submission: Submission,
    reports: Mapping[str, Report],
    answers: Mapping[str, str],
    manual: Mapping[str, Manual],
    problems: Sequence[str] = (),
) -> GradeDocument:
    """Return the grade of a submission.

    *reports* has a report for each scenario, or none at all if the submission cannot be used; *problems* says why, in
    addition to what the submission itself says.  *manual* has the points that a person has given, by criterion.
    """
    why = [*submission.problems, *problems]
    criteria = [_criterion(loaded, name, reports, answers, manual, why) for name in loaded.rubric]
    status: Status = "graded"
    if any(one["verdict"] == "waiting" for one in criteria):
        status = "waiting"
    if any(report.status == "machine" for report in reports.values()):
        status = "incomplete"
    return {
        "format": FORMAT,
        "lab_version": version(),
        "assignment": {"name": loaded.name, "title": loaded.assignment.title, "digest": loaded.digest},
        "submission": {
            "name": submission.name,
            "digest": submission.digest,
            "files": {name: hashlib.sha256(data).hexdigest() for name, data in sorted(submission.files.items())},
            "ignored": list(submission.ignored),
        },
        "status": status,
        "points": points.rounded(math.fsum(one["points"] for one in criteria)),
        "most": points.rounded(loaded.most_points),
        "messages": _messages(reports, why),
        "criteria": criteria,
        "scenarios": [_scenario(loaded, name, reports.get(name)) for name in loaded.scenarios],
    }


def _criterion(
    loaded: Loaded,
    name: str,
    reports: Mapping[str, Report],
    answers: Mapping[str, str],
    manual: Mapping[str, Manual],
    problems: Sequence[str],
) -> CriterionDocument:
    criterion = loaded.rubric[name]
    report = reports.get(criterion.scenario) if criterion.scenario is not None else None
    given = _given(loaded, name, report, answers, manual, problems)
    return {
        "name": name,
        "title": criterion.title or name.replace("_", " ").capitalize(),
        "kind": kind_of(criterion),
        "scenario": criterion.scenario,
        "hidden": name in loaded.hidden,
        "most": criterion.points,
        "question": criterion.question or "",
        "because": criterion.because,
        "condition": criterion.that or criterion.value or "",
        "figure": report.figures.get(name) if report is not None else None,
        **given.document(),  # type: ignore[typeddict-item]
    }


def _given(
    loaded: Loaded,
    name: str,
    report: Report | None,
    answers: Mapping[str, str],
    manual: Mapping[str, Manual],
    problems: Sequence[str],
) -> Given:
    """Return the points for one criterion."""
    criterion = loaded.rubric[name]
    kind = kind_of(criterion)
    answer = answers.get(criterion.answer or name, "")
    if kind == "question":
        if name in manual:
            found = manual[name]
            verdict: Verdict = "full" if found.points >= criterion.points else "part" if found.points > 0 else "none"
            return Given(found.points, verdict, reason=found.comment, answer=answer)
        # Who has handed in nothing that can be read has no answer that a person could read, either.
        return points.nothing(problems[0]) if problems and not answer else points.waiting(answer)
    if kind == "choice":
        return points.nothing(problems[0]) if problems and not answers else points.chosen(criterion, answer)
    if report is None:
        return points.nothing(problems[0] if problems else "the scenario was not run")
    if name not in report.given:
        return points.nothing(in_short(report.message) or "the scenario could not be run")
    return Given(**{**report.given[name], "cases": tuple(report.given[name]["cases"])})


def in_short(message: str) -> str:
    """Return the line of a message that says most: the second one, if the first one only announces it."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    if len(lines) > 1 and lines[0].endswith(":"):
        return lines[1]
    return lines[0] if lines else ""


def _messages(reports: Mapping[str, Report], problems: Sequence[str]) -> list[MessageDocument]:
    """Return what went wrong, each message once with the scenarios that it is about."""
    found: dict[tuple[str, str], list[str]] = {(text, ""): [] for text in problems}
    for name, report in reports.items():
        if report.message:
            found.setdefault((report.message, ""), []).append(name)
        logs: dict[str, str] = {}
        for failure in report.failures.values():
            logs.setdefault(failure["reason"], failure["log"])
        for reason, log in logs.items():
            same = next((key for key in found if key[0] == reason), (reason, log))
            found.setdefault(same, []).append(name)
    return [{"about": about, "text": text, "log": log} for (text, log), about in found.items()]


def _scenario(loaded: Loaded, name: str, report: Report | None) -> ScenarioDocument:
    return {
        "name": name,
        "title": loaded.scenarios[name].title or name.replace("_", " ").capitalize(),
        "hidden": name in loaded.hidden,
        "status": "not run" if report is None else report.status,
        "trials": 0 if report is None else report.trials,
        "failed": 0 if report is None else len(report.failures),
        "digest": "" if report is None else report.digest,
        "bundles": {} if report is None else report.bundles,
    }
