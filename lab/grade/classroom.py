# SPDX-License-Identifier: Apache-2.0
"""Grade a class, and write what a teacher needs: pages, files for gradebooks, and the answers that a person reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lab.cc.starter import STARTERS, algorithm_starter
from lab.engine.base import Step
from lab.errors import InputError
from lab.grade.assignment.read import Loaded
from lab.grade.assignment.schema import kind_of
from lab.grade.grading import Options, Student, grade_all
from lab.grade.result.class_pages import leaderboard_page, teacher_page
from lab.grade.result.grade import GradeDocument, Manual
from lab.grade.result.manual import questions, read_manual
from lab.grade.result.outputs import write_grade
from lab.grade.result.roster import Roster, canvas_csv, moodle_csv
from lab.grade.submission.intake import Submission
from lab.grade.submission.similar import Pair, similar_pairs
from lab.store.files import to_json, write_file

__all__ = ["QUESTIONS", "grade_submissions", "manual_points"]

QUESTIONS = "questions.csv"
"""The file with the answers that a person reads, in which the points are written."""


def manual_points(loaded: Loaded, output: Path, file: Path | None) -> dict[str, dict[str, Manual]]:
    """Return the points that a person has given, in *file* or else in the output of an earlier call.

    Raises:
        InputError: The file has problems.
    """
    own = output / QUESTIONS
    if file is None and not own.exists():
        return {}
    return read_manual(file or own, loaded)


def grade_submissions(
    loaded: Loaded,
    submissions: Sequence[Submission],
    options: Options,
    manual: Mapping[str, Mapping[str, Manual]],
    roster: Roster,
    graded: Callable[[GradeDocument], None],
    step: Step,
    *,
    tournament: bool = False,
) -> list[GradeDocument]:
    """Grade the submissions of a class, and write all pages and files to the output of *options*.

    *graded* is called with the grade of each as soon as it is known.

    Raises:
        InputError: The points of a person are for a submission that is not there; another process grades there.
        MachineryError: The results cannot be written.
    """
    names = {one.name for one in submissions}
    if unknown := sorted(manual.keys() - names):
        raise InputError(f"found points for {unknown[0]!r}, which is no submission; expected the name of one of them")
    places: dict[str, str] = {}

    def done(student: Student, grade: GradeDocument) -> None:
        places[student.submission.name] = student.place
        write_grade(options.output, student, grade)
        graded(grade)

    grades = grade_all(loaded, submissions, manual, options, done, step)
    pairs = _pairs(loaded, submissions)
    output = options.output
    page = teacher_page(loaded, grades, places, pairs, tournament=tournament)
    for name, text in {
        "index.html": page,
        "leaderboard.html": leaderboard_page(loaded, grades),
        "canvas.csv": canvas_csv(grades, roster),
        "moodle.csv": moodle_csv(grades, roster),
        **({QUESTIONS: questions(grades, manual)} if _asks(loaded) else {}),
    }.items():
        write_file(output / name, text.encode(errors="replace"))
    write_file(output / "grades.json", to_json({"format": 1, "grades": grades}))
    return grades


def _asks(loaded: Loaded) -> bool:
    return any(kind_of(one) == "question" for one in loaded.rubric.values())


def _pairs(loaded: Loaded, submissions: Sequence[Submission]) -> list[Pair] | None:
    """Return the similar sources of all files of a kind that can be compared; None if the assignment has none."""
    sources = [
        name for name, one in loaded.assignment.submission.items()
        if one.kind == "congestion control" and name.endswith(".c")
    ]  # fmt: skip
    if not sources:
        return None
    given = [data.decode(errors="replace") for name, data in loaded.files.items() if name.endswith((".c", ".h"))]
    # The starters of `lab new --cc` are there for everybody.
    published = {f"lab's starter {one!r}": algorithm_starter(one, one) for one in STARTERS}
    found: list[Pair] = []
    for name in sources:
        texts = {
            one.name.encode(errors="replace").decode(): one.files[name].decode(errors="replace")
            for one in submissions
            if name in one.files
        }
        found += similar_pairs(texts, given, published)
    return found
