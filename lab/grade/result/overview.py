# SPDX-License-Identifier: Apache-2.0
"""What the grades of a class say together: ranks, the distribution of points, and outliers.  This module does no
I/O."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from lab.grade.result.grade import GradeDocument, in_short

__all__ = ["Distribution", "Place", "distributions", "outliers", "ranked"]

BINS = 10
"""The number of bins of a distribution."""
_FENCE = 1.5
"""Tukey's fences: values further than this many interquartile ranges from the quartiles are outliers."""
_LEAST_CLASS = 5
"""With fewer grades, nobody is an outlier."""


@dataclass(frozen=True)
class Place:
    """A place in the ranking."""

    rank: int
    grade: GradeDocument


@dataclass(frozen=True)
class Distribution:
    """How the points of a criterion, or all points, are distributed over a class."""

    title: str
    name: str
    most: float
    mean: float
    median: float
    bins: tuple[int, ...]
    """The number of submissions with 0 to 10 %, 10 to 20 % and so on of the points; all points are in the last bin."""
    full: int
    """The number of submissions with all points."""
    nothing: int
    """The number of submissions without any."""
    failed: int
    """The number of submissions that could not be looked at."""
    hidden: bool = False

    @property
    def remark(self) -> str:
        """What a teacher may want to look at; empty if there is nothing."""
        total = sum(self.bins)
        if total >= _LEAST_CLASS and self.full == 0 and self.mean < 0.2 * self.most:
            return "nearly nobody gets points for it: is it too hard, or not clear?"
        if total >= _LEAST_CLASS and self.full == total:
            return "everybody gets all points for it"
        return ""


def ranked(grades: Sequence[GradeDocument]) -> list[Place]:
    """Return the grades with the most points first; equal points have the same rank."""
    ordered = sorted(grades, key=lambda grade: (-grade["points"], grade["submission"]["name"]))
    found: list[Place] = []
    for number, grade in enumerate(ordered, 1):
        is_tied = bool(found) and found[-1].grade["points"] == grade["points"]
        found.append(Place(found[-1].rank if is_tied else number, grade))
    return found


def distributions(grades: Sequence[GradeDocument]) -> list[Distribution]:
    """Return the distribution of all points, and then that of the points of each criterion."""
    if not grades:
        return []
    total = _distribution("All points", "", grades[0]["most"], [grade["points"] for grade in grades])
    found = [total]
    for place, criterion in enumerate(grades[0]["criteria"]):
        own = [grade["criteria"][place] for grade in grades]
        failed = sum(one["verdict"] == "failed" for one in own)
        given = [one["points"] for one in own if one["verdict"] != "waiting"]
        found.append(
            _distribution(
                criterion["title"],
                criterion["name"],
                criterion["most"],
                given,
                failed=failed,
                hidden=criterion["hidden"],
            )
        )
    return found


def _distribution(
    title: str, name: str, most: float, values: Sequence[float], *, failed: int = 0, hidden: bool = False
) -> Distribution:
    bins = [0] * BINS
    for value in values:
        bins[min(BINS - 1, max(0, math.floor(value / most * BINS + 1e-9)))] += 1
    return Distribution(
        title,
        name,
        most,
        math.fsum(values) / len(values) if values else 0.0,
        statistics.median(values) if values else 0.0,
        tuple(bins),
        sum(value >= most for value in values),
        sum(value <= 0 for value in values),
        failed,
        hidden,
    )


def outliers(grades: Sequence[GradeDocument]) -> list[tuple[GradeDocument, str]]:
    """Return the submissions that a teacher may want to look at, each with the reason."""
    found: list[tuple[GradeDocument, str]] = []
    points = [grade["points"] for grade in grades]
    if len(points) >= _LEAST_CLASS:
        low, _middle, high = statistics.quantiles(points, n=4, method="inclusive")
        for grade in grades:
            if grade["points"] < low - _FENCE * (high - low):
                found.append((grade, "far fewer points than the others"))
            elif grade["points"] > high + _FENCE * (high - low):
                found.append((grade, "far more points than the others"))
    for grade in grades:
        public = [one for one in grade["criteria"] if not one["hidden"] and one["scenario"]]
        hidden = [one for one in grade["criteria"] if one["hidden"] and one["scenario"]]
        if public and hidden and _share(public) >= 0.9 and _share(hidden) <= 0.4:
            found.append((grade, "good in the scenarios that were known, bad in the hidden ones"))
        if grade["status"] == "incomplete":
            found.append((grade, "this machine could not run a scenario: grade it again"))
        # What does not compile has the same message in each scenario.
        found += [(grade, text) for text in dict.fromkeys(in_short(one["text"]) for one in grade["messages"])]
    return found


def _share(criteria: Sequence[object]) -> float:
    most = math.fsum(one["most"] for one in criteria)  # type: ignore[index]
    return math.fsum(one["points"] for one in criteria) / most  # type: ignore[index]
