# SPDX-License-Identifier: Apache-2.0
"""The page for a student: points, what was found, and the figures that show why.  It needs no other files.

It says nothing of other students.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.grade.result.grade import CriterionDocument, GradeDocument
from lab.report.figures.picture import Picture
from lab.report.page.pictures import shown_pictures
from lab.report.page.render import render_other
from lab.words import listed

__all__ = ["CLASSES", "WORDS", "number", "sentence", "student_page"]

WORDS = {
    "full": "all points", "part": "some points", "none": "no points", "failed": "not measured", "waiting": "to be read",
}  # fmt: skip
"""Verdict → what pages and tables call it."""
CLASSES = {"full": "ok", "part": "warn", "none": "invalid", "failed": "invalid", "waiting": "soft"}
"""Verdict → the class of the page's style that it has."""

_MOST_FIGURE = 8 << 20
"""The largest figure that a page contains, in bytes."""


def student_page(grade: GradeDocument, figures: Callable[[str], Path]) -> str:
    """Return the page of a grade; *figures* returns the folder with the figures of a scenario."""
    seen: dict[tuple[str, str], int] = {}
    return render_other(
        "grade.html.j2",
        {
            "title": grade["assignment"]["title"],
            "who": grade["submission"]["name"].encode(errors="replace").decode(),
            "points": number(grade["points"]),
            "most": number(grade["most"]),
            "remarks": remarks(grade),
            "messages": [
                {"about": _about(grade, one["about"]), "text": one["text"], "log": one["log"]}
                for one in grade["messages"]
            ],
            "criteria": [_criterion(grade, one, figures, seen) for one in grade["criteria"]],
            "files": sorted(grade["submission"]["files"].items()),
            "ignored": listed(grade["submission"]["ignored"][:20]),
            "version": grade["lab_version"],
            "assignment": grade["assignment"]["digest"],
            "bundles": sorted({item for one in grade["scenarios"] for item in one["bundles"].items()}),
        },
    )


def remarks(grade: GradeDocument) -> list[str]:
    """Return what has to be said of the points as a whole."""
    found = []
    waiting = [one for one in grade["criteria"] if one["verdict"] == "waiting"]
    if waiting:
        points = number(math.fsum(one["most"] for one in waiting))
        be = "answer has" if len(waiting) == 1 else "answers have"
        found.append(f"{len(waiting)} {be} still to be read by a person, for up to {points} points.")
    if grade["status"] == "incomplete":
        found.append("A scenario could not be run on this machine, so that points are missing: grade it again.")
    return found


def number(points: float) -> str:
    """Return points as text, with no more digits than needed."""
    return f"{points:.2f}".rstrip("0").rstrip(".")


def sentence(one: CriterionDocument) -> str:
    """Return in one sentence why a criterion gives its points."""
    where = f", at {one['where']}" if one["where"] else ""
    match one["verdict"]:
        case "failed":
            return f"Nothing could be looked at{where}: {one['reason']}."
        case "waiting":
            return "A person has still to read the answer." if one["answer"] else "There is no answer to read."
    if one["kind"] == "question":
        return f"Read by a person: {one['reason']}" if one["reason"] else "Read by a person."
    if not one["observed"]:
        return f"{one['reason'][:1].upper()}{one['reason'][1:]}{where}."
    ends = f"all points are given for {one['full']}"
    if one["none"]:
        ends += f", none for {one['none']}"
    margin = f" (margin {one['margin']})" if one["margin"] else ""
    return f"Found {one['observed']}{margin}{where}; {ends}."


def _about(grade: GradeDocument, names: list[str]) -> str:
    titles = {one["name"]: one["title"] for one in grade["scenarios"]}
    if len(names) == len(titles) and len(names) > 1:
        return "In all scenarios"
    return f"In {listed([titles[name] for name in names])}" if names else ""


def _criterion(
    grade: GradeDocument,
    one: CriterionDocument,
    figures: Callable[[str], Path],
    seen: dict[tuple[str, str], int],
) -> dict[str, Any]:
    titles = {scenario["name"]: scenario["title"] for scenario in grade["scenarios"]}
    return {
        **one,
        "points": number(one["points"]),
        "most": number(one["most"]),
        "word": WORDS[one["verdict"]],
        "class": CLASSES[one["verdict"]],
        "sentence": sentence(one),
        "scenario": titles.get(one["scenario"] or "", ""),
        "condition": "" if one["kind"] in ("choice", "question") else one["condition"],
        "answer": one["answer"] if one["kind"] == "question" else "",
        "cases": [_case(case) for case in one["cases"]],
        "figure": _figure(one, figures, seen),
    }


def _case(case: dict[str, Any]) -> dict[str, str]:
    where = [f"{label} {text}" for label, text in case["cell"].items()]
    return {
        "where": ", ".join([*where, f"flow {case['flow']}"]),
        "observed": case["observed"],
        "share": f"{case['share']:.0%}",
        "reason": case["reason"],
    }


def _figure(
    one: CriterionDocument, figures: Callable[[str], Path], seen: dict[tuple[str, str], int]
) -> dict[str, Any] | None:
    """Return the figure of a criterion for the template; one that the page has already is only linked."""
    figure, scenario = one["figure"], one["scenario"]
    if figure is None or scenario is None:
        return None
    key = (scenario, figure["name"])
    if key in seen:
        return {"seen": True, "id": seen[key]}
    folder = figures(scenario)
    try:
        if (folder / f"{figure['name']}.svg").stat().st_size > _MOST_FIGURE:
            return None
        (shown,) = shown_pictures([Picture("time", figure["name"], figure["caption"], figure["alt"])], folder)
    except OSError:
        return None
    seen[key] = len(seen) + 1
    return {**shown, "seen": False, "id": seen[key]}
