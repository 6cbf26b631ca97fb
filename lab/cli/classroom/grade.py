# SPDX-License-Identifier: Apache-2.0
"""The command `lab grade`."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lab.cli.common import BundleOption, EngineName, Quiet, chosen_bundles, say
from lab.errors import EXIT_EXPECTATION_FAILED, EXIT_FAILED, EXIT_OK, InputError

if TYPE_CHECKING:
    from lab.grade.assignment.read import Loaded
    from lab.grade.grading import Options, Student
    from lab.grade.result.grade import GradeDocument
    from lab.grade.submission.intake import Submission

_AssignmentFolder = Annotated[
    Path, typer.Argument(metavar="ASSIGNMENT", help="The folder of the assignment, with its assignment.yaml.")
]
_Submission = Annotated[
    Path | None,
    typer.Argument(
        metavar="[SUBMISSION]",
        help="A file, folder or archive that was handed in, or a folder with one of these for each student; "
        "without it, the assignment itself is checked.",
        show_default=False,
    ),
]
_Output = Annotated[
    Path | None,
    typer.Option(
        "-o", "--output", metavar="DIR", help="The folder for the grades [default: grades/ and the assignment's name]."
    ),
]
_Hidden = Annotated[
    Path | None,
    typer.Option(
        "--hidden",
        metavar="DIR",
        help="The folder with the hidden part of the assignment [default: its folder `teacher`, if there is one].",
    ),
]
_Manual = Annotated[
    Path | None,
    typer.Option(
        "--manual",
        metavar="FILE",
        help="The points that a person has given for answers, a CSV file [default: questions.csv in the output].",
    ),
]
_Roster = Annotated[
    Path | None,
    typer.Option(
        "--roster",
        metavar="FILE",
        help="The students, a CSV file exported from the gradebook of Canvas or Moodle, whose columns the written CSV "
        "files then have.",
    ),
]
_MinPoints = Annotated[
    str | None,
    typer.Option(
        "--min-points", metavar="N", help="Exit with 1 if a submission has fewer points: a number, or a percentage."
    ),
]
_Jobs = Annotated[
    int | None,
    typer.Option("--jobs", min=1, help="Number of scenarios that run in parallel [default: one per processor]."),
]
_Tournament = Annotated[
    bool, typer.Option("--tournament", help="Also let all submissions of a class meet each other, two at a time.")
]
_Starter = Annotated[
    bool, typer.Option("--starter", help="Grade the assignment's own starter, to see what points it gets.")
]
_Reference = Annotated[bool, typer.Option("--reference", help="Grade the reference solution in the teacher's folder.")]
_NoCache = Annotated[
    bool, typer.Option("--no-cache", help="Run everything again, even what was graded or has run before.")
]
_Json = Annotated[bool, typer.Option("--json", help="Print the grade as JSON; for a class, a list of grades.")]
_Classroom = Annotated[
    Path | None,
    typer.Option(
        "--classroom",
        metavar="FILE",
        help="Append the result for GitHub Classroom's reporter to this file, such as $GITHUB_OUTPUT.",
    ),
]


def grade(
    assignment: _AssignmentFolder,
    submission: _Submission = None,
    output: _Output = None,
    hidden: _Hidden = None,
    manual: _Manual = None,
    roster: _Roster = None,
    min_points: _MinPoints = None,
    jobs: _Jobs = None,
    tournament: _Tournament = False,
    starter: _Starter = False,
    reference: _Reference = False,
    engine_: EngineName = None,
    bundle: BundleOption = None,
    no_cache: _NoCache = False,
    json_: _Json = False,
    classroom: _Classroom = None,
    quiet: Quiet = False,
) -> None:
    """Grade what students have handed in: run it in the scenarios of an assignment, and give points by its rubric.

    A submission that does not compile, hangs or crashes the guest gets no points where it does so, and a message; it is
    no error of the command.  The last line of the output is the page with the points.
    """
    from lab.grade.assignment.check import check_assignment
    from lab.grade.assignment.read import read_assignment
    from lab.grade.grading import Options, prepare

    chosen = [one for one in (submission is not None, starter, reference) if one]
    if len(chosen) > 1:
        raise InputError("found more than one of a submission, --starter and --reference; expected one of them")
    loaded = read_assignment(assignment, hidden)
    least = _least(min_points, loaded)
    with tempfile.TemporaryDirectory(prefix="lab-assignment-") as scratch:
        experiments = check_assignment(loaded, Path(scratch), engine_)
        if not chosen:
            _show_assignment(loaded)
            raise typer.Exit(EXIT_OK)
        submissions, is_class = _submissions(loaded, submission, hidden, starter=starter)
        if tournament and (loaded.assignment.tournament is None or not is_class):
            found = "one submission" if loaded.assignment.tournament else "an assignment without 'tournament:'"
            raise InputError(f"--tournament: found {found}; expected a class, and an assignment with a tournament")
        bundles = prepare(experiments, _stepper(quiet), chosen_bundles(bundle))
    options = Options(
        output=output or Path("grades", loaded.name),
        processors=_processors(jobs),
        read_cache=not no_cache,
        engine=engine_,
        bundles=bundles,
    )
    if is_class:
        from lab.cli.classroom.grade_class import grade_class

        grades, page = grade_class(
            loaded, submissions, options, manual=manual, roster=roster, tournament=tournament, quiet=quiet
        )
    else:
        grades, page = _grade_one(loaded, submissions[0], options, manual, quiet=quiet)
    _print(grades, page, is_class=is_class, as_json=json_, classroom=classroom)
    raise typer.Exit(_exit_code(grades, least))


def _print(grades: list[GradeDocument], page: Path, *, is_class: bool, as_json: bool, classroom: Path | None) -> None:
    if classroom is not None:
        from lab.grade.result.outputs import classroom_result

        with classroom.open("a", encoding="utf-8") as file:
            file.write(f"result={classroom_result(grades[0])}\n")
    if as_json:
        import json

        print(json.dumps(grades if is_class else grades[0], indent=1, ensure_ascii=False))
    else:
        print(page)


def _exit_code(grades: list[GradeDocument], least: float | None) -> int:
    if any(one["status"] == "incomplete" for one in grades):
        return EXIT_FAILED
    is_short = least is not None and any(one["points"] < least for one in grades)
    return EXIT_EXPECTATION_FAILED if is_short else EXIT_OK


def _least(text: str | None, loaded: Loaded) -> float | None:
    """Return the points below which the exit code is 1."""
    if text is None:
        return None
    try:
        number = float(text.removesuffix("%"))
    except ValueError:
        number = -1
    if not 0 <= number < float("inf"):
        raise InputError(f"--min-points: found {text!r}; expected a number of points such as 12.5, or a percentage")
    return number / 100 * loaded.most_points if text.endswith("%") else number


def _processors(jobs: int | None) -> tuple[int, ...]:
    available = sorted(os.sched_getaffinity(0))
    number = jobs or len(available)
    return tuple(available[place % len(available)] for place in range(number))


def _stepper(quiet: bool):  # type: ignore[no-untyped-def]
    return (lambda _line: None) if quiet else say


def _submissions(
    loaded: Loaded, path: Path | None, hidden: Path | None, *, starter: bool
) -> tuple[list[Submission], bool]:
    """Return what is graded, and whether it is a class."""
    from lab.grade.assignment.read import REFERENCE, TEACHER
    from lab.grade.submission.intake import Submission, is_submission, read_class, read_submission

    if starter:
        return [Submission("starter", loaded.starter)], False
    if path is None:
        folder = (hidden or loaded.folder / TEACHER) / REFERENCE
        if not folder.is_dir():
            raise InputError(f"{folder}: found no folder with a reference solution; expected one")
        return [read_submission(folder, loaded.assignment)], False
    if not path.exists() and not path.is_symlink():
        raise InputError(f"{path}: there is no such file or folder")
    if is_submission(path, loaded.assignment):
        return [read_submission(path, loaded.assignment)], False
    return read_class(path, loaded.assignment), True


def _grade_one(
    loaded: Loaded, submission: Submission, options: Options, manual: Path | None, *, quiet: bool
) -> tuple[list[GradeDocument], Path]:
    from lab.cli.classroom.grade_shown import show_grade
    from lab.grade.grading import grade_all
    from lab.grade.result.manual import read_manual
    from lab.grade.result.outputs import write_grade

    given = read_manual(manual, loaded) if manual is not None else {}
    pages: list[Path] = []

    def graded(student: Student, found: GradeDocument) -> None:
        pages.append(write_grade(options.output, student, found))

    grades = grade_all(loaded, [submission], given, options, graded, _stepper(quiet))
    if not quiet:
        show_grade(grades[0])
    return grades, pages[0]


def _show_assignment(loaded: Loaded) -> None:
    """Say what an assignment that has no problems consists of."""
    from lab.grade.result.student_page import number

    print(f"{loaded.name}: {loaded.assignment.title}")
    for name, handed in loaded.assignment.submission.items():
        print(f"  hand in   {name} ({handed.kind}{', optional' if handed.optional else ''})")
    for name, scenario in loaded.scenarios.items():
        hidden = ", hidden" if name in loaded.hidden else ""
        print(f"  scenario  {name}: {scenario.file}{hidden}")
    for name, criterion in loaded.rubric.items():
        hidden = ", hidden" if name in loaded.hidden else ""
        print(f"  points    {number(criterion.points):>5}  {criterion.title or name}{hidden}")
    print(f"  total     {number(loaded.most_points):>5}")
