# SPDX-License-Identifier: Apache-2.0
"""The pages of a class: the teacher's, and the leaderboard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lab.grade.assignment.read import Loaded
from lab.grade.result.grade import GradeDocument
from lab.grade.result.overview import Distribution, distributions, outliers, ranked
from lab.grade.result.student_page import CLASSES, WORDS, number, sentence
from lab.grade.submission.similar import Pair
from lab.report.page.render import render_other

__all__ = ["headline", "leaderboard_page", "shown_name", "teacher_page"]

_STATES = {
    "graded": "", "waiting": "answers to be read", "incomplete": "could not be run on this machine",
}  # fmt: skip
_MOST_LINES = 6


def headline(grades: Sequence[GradeDocument]) -> str:
    """Return in one sentence what a class has achieved."""
    total = distributions(grades)[0]
    be = "submission has" if len(grades) == 1 else "submissions have"
    average = f"{number(total.mean)} of {number(total.most)} points on average (median {number(total.median)})"
    return f"{len(grades)} {be} {average}."


def shown_name(grade: GradeDocument) -> str:
    """Return the name of a submission so that it can be written in UTF-8."""
    name: str = grade["submission"]["name"]
    return name.encode(errors="replace").decode()


def teacher_page(
    loaded: Loaded,
    grades: Sequence[GradeDocument],
    places: Mapping[str, str],
    pairs: Sequence[Pair] | None,
    *,
    tournament: bool,
) -> str:
    """Return the teacher's page.

    *places* has the folder of each submission, by its name; *pairs* are similar sources, or None if there are no
    sources to compare.
    """
    return render_other(
        "grade_class.html.j2",
        {
            "title": loaded.assignment.title,
            "headline": headline(grades),
            "most": number(loaded.most_points),
            "columns": [
                {"name": name, "title": one.title or name, "most": number(one.points)}
                for name, one in loaded.rubric.items()
            ],
            "rows": [
                {
                    "rank": place.rank,
                    "who": shown_name(place.grade),
                    "place": places[place.grade["submission"]["name"]],
                    "points": number(place.grade["points"]),
                    "cells": [
                        {
                            "points": number(one["points"]) if one["verdict"] != "waiting" else "?",
                            "class": CLASSES[one["verdict"]],
                            "title": f"{one['title']}: {WORDS[one['verdict']]}. {sentence(one)}",
                        }
                        for one in place.grade["criteria"]
                    ],
                    "state": _STATES[place.grade["status"]] or _trouble(place.grade),
                }
                for place in ranked(grades)
            ],
            "distributions": [_distribution(one) for one in distributions(grades)],
            "outliers": [
                {"who": shown_name(grade), "place": places[grade["submission"]["name"]], "why": why}
                for grade, why in outliers(grades)
            ],
            "pairs": [_pair(pair) for pair in pairs or ()],
            "no_pairs": "This assignment asks for no source code."
            if pairs is None
            else "No two sources are nearly the same.",
            "tournament": tournament,
        },
    )


def _trouble(grade: GradeDocument) -> str:
    if not grade["messages"]:
        return ""
    return "could not be used" if not any(one["about"] for one in grade["messages"]) else "with problems"


def _distribution(one: Distribution) -> dict[str, Any]:
    highest = max(one.bins, default=0) or 1
    counts = ", ".join(f"{place * 10} to {place * 10 + 10} %: {count}" for place, count in enumerate(one.bins) if count)
    return {
        "title": one.title,
        "hidden": one.hidden,
        "heights": [round(100 * count / highest) for count in one.bins],
        "alt": f"Number of submissions by share of the points: {counts or 'none'}",
        "mean": number(one.mean),
        "median": number(one.median),
        "most": number(one.most),
        "full": one.full,
        "nothing": one.nothing,
        "failed": one.failed,
        "remark": one.remark,
    }


def _pair(pair: Pair) -> dict[str, str]:
    places = [f"{_lines(first)} and {_lines(second)}" for first, second in pair.places[:_MOST_LINES]]
    more = len(pair.places) - len(places)
    return {
        "first": pair.first,
        "second": pair.second,
        "shared": f"{pair.shared:.0%}",
        "lines": "; ".join([*places, *([f"and {more} more"] if more > 0 else [])]),
    }


def _lines(lines: tuple[int, int]) -> str:
    return f"{lines[0]}" if lines[0] == lines[1] else f"{lines[0]}–{lines[1]}"


def leaderboard_page(loaded: Loaded, grades: Sequence[GradeDocument]) -> str:
    """Return the page with ranks, names and points."""
    return render_other(
        "leaderboard.html.j2",
        {
            "title": loaded.assignment.title,
            "headline": headline(grades),
            "most": number(loaded.most_points),
            "rows": [
                {"rank": place.rank, "who": shown_name(place.grade), "points": number(place.grade["points"])}
                for place in ranked(grades)
            ],
        },
    )
