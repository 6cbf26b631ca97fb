# SPDX-License-Identifier: Apache-2.0
"""Grade a class from the command line, and show how it went."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lab.cli.common import console, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.grade.assignment.read import Loaded
    from lab.grade.grading import Options
    from lab.grade.result.grade import GradeDocument
    from lab.grade.submission.intake import Submission

_MOST_SHOWN = 60
_MOST_LETTERS = 100
"""The number of submissions that the terminal shows; the page has them all."""


def grade_class(
    loaded: Loaded,
    submissions: Sequence[Submission],
    options: Options,
    *,
    manual: Path | None,
    roster: Path | None,
    tournament: bool,
    quiet: bool,
) -> tuple[list[GradeDocument], Path]:
    """Grade all submissions; return their grades and the teacher's page."""
    from lab.grade.classroom import grade_submissions, manual_points
    from lab.grade.result.class_pages import shown_name
    from lab.grade.result.roster import Roster, read_roster
    from lab.grade.result.student_page import number

    done = 0

    def graded(grade: GradeDocument) -> None:
        nonlocal done
        done += 1
        if not quiet:
            points = f"{number(grade['points'])} of {number(grade['most'])} points"
            trouble = f" ({_beginning(grade['messages'][0]['text'])})" if grade["messages"] else ""
            say(f"{done}/{len(submissions)} {shown_name(grade)}: {points}{trouble}")

    students = read_roster(roster) if roster is not None else Roster()
    given = manual_points(loaded, options.output, manual)
    step = (lambda _line: None) if quiet else say
    grades = grade_submissions(loaded, submissions, options, given, students, graded, step, tournament=tournament)
    if tournament:
        from lab.grade.tournament import play

        table = play(loaded, submissions, options, step)
        if not quiet:
            _show_tournament(table)
    if not quiet:
        _show(grades)
        for grade in grades:
            if roster is not None and students.row_of(grade["submission"]["name"]) is None:
                say(f"lab: {shown_name(grade)} is not in {roster}, or is there more than once")
    return grades, options.output / "index.html"


def _beginning(message: str) -> str:
    """Return a message in short, cut off if it is long all the same."""
    from lab.grade.result.grade import in_short

    line = in_short(message)
    return line if len(line) <= _MOST_LETTERS else f"{line[:_MOST_LETTERS]}…"


def _show(grades: Sequence[GradeDocument]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from lab.grade.result.class_pages import headline, shown_name
    from lab.grade.result.overview import ranked
    from lab.grade.result.student_page import number

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("rank", justify="right")
    table.add_column("submission")
    table.add_column("points", justify="right")
    table.add_column("")
    remarks = {"graded": "", "waiting": "answers to be read", "incomplete": "could not be run on this machine"}
    places = ranked(grades)
    for place in places[:_MOST_SHOWN]:
        table.add_row(
            str(place.rank),
            Text(shown_name(place.grade)),
            number(place.grade["points"]),
            remarks[place.grade["status"]],
        )
    out = console()
    out.print(table)
    if len(places) > _MOST_SHOWN:
        out.print(f"and {len(places) - _MOST_SHOWN} more, which the page has")
    out.print(Text(headline(grades)))


def _show_tournament(table: object) -> None:
    from rich.text import Text

    from lab.grade.result.duels import as_text

    console().print(Text(as_text(table)), soft_wrap=True)  # type: ignore[arg-type]
