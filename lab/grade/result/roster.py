# SPDX-License-Identifier: Apache-2.0
"""Who has handed in a submission, and the CSV files that the gradebooks of Canvas and Moodle import.

Both platforms name what teachers download after the student: Canvas ``doejane_12345_67890_my_cc.bpf.c`` (name, number
of the user, number of the submission), Moodle ``Jane Doe_12345_assignsubmission_file`` (name, number in the
assignment). With a roster, which is the file that the gradebook exports, students are found in it, and its columns are
kept.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab.errors import InputError
from lab.grade.result.grade import GradeDocument, in_short
from lab.grade.result.manual import plain_cell
from lab.grade.result.student_page import number, sentence
from lab.store.files import reason_of
from lab.units import show

__all__ = ["Roster", "canvas_csv", "moodle_csv", "read_roster"]

CANVAS = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")
"""The columns that Canvas requires in front of those of assignments."""
MOODLE = ("Identifier", "Full name", "Email address", "Status", "Grade", "Maximum Grade", "Grade can be changed",
          "Last modified (grade)", "Feedback comments")  # fmt: skip
"""The columns of Moodle's worksheet for grading outside of it."""

_KEYS = ("SIS Login ID", "ID", "SIS User ID", "Email address", "ID number", "Username", "Identifier", "Student",
         "Full name")  # fmt: skip
"""The columns of a roster that can say whose a submission is, the surest first."""
_POINTS_POSSIBLE = "    Points Possible"
_CANVAS_NAME = re.compile(r"(?P<name>[^_]+)_(?:LATE_)?(?P<id>\d+)_\d+_.*", re.DOTALL)
_MOODLE_NAME = re.compile(r"(?P<name>.+)_(?P<id>\d+)_assignsubmission_\w+", re.DOTALL)
_MOST_BYTES = 16 << 20


@dataclass(frozen=True)
class Roster:
    """The students of a class, as the gradebook exports them."""

    columns: tuple[str, ...] = ()
    rows: tuple[Mapping[str, str], ...] = field(default=())

    def row_of(self, submission: str) -> Mapping[str, str] | None:
        """Return the line of the student whose submission has this name; None if there is none, or more than one."""
        known = _identity(submission)
        for column in _KEYS:
            if column not in self.columns:
                continue
            wanted = {_plain(value) for value in known if value}
            found = [row for row in self.rows if _values(row, column) & wanted]
            if len(found) == 1:
                return found[0]
        return None


def read_roster(path: Path) -> Roster:
    """Return the students in a CSV file that Canvas or Moodle has exported.

    Raises:
        InputError: It cannot be read, or has no column that says who a student is.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = reason_of(error) if isinstance(error, OSError) else "expected text in UTF-8"
        raise InputError(f"{path}: cannot be read: {reason}") from error
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    columns = tuple(reader.fieldnames or ())
    if not set(columns) & set(_KEYS):
        found = f"found the columns {show(', '.join(columns), 120)}"
        raise InputError(f"{path}:1: {found}; expected one of {', '.join(_KEYS)}, as Canvas and Moodle export them")
    try:
        rows = [{key: value or "" for key, value in row.items() if isinstance(key, str)} for row in reader]
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num}: not readable as CSV: {error}") from None
    return Roster(columns, tuple(row for row in rows if not _is_no_student(row)))


def _is_no_student(row: Mapping[str, str]) -> bool:
    return "points possible" in row.get("Student", "").casefold()


def _identity(submission: str) -> tuple[str, ...]:
    """Return the texts in the name of a submission that may be a student's number, login or name."""
    for pattern in (_MOODLE_NAME, _CANVAS_NAME):
        if (found := pattern.fullmatch(submission)) is not None:
            return found["id"], found["name"], f"Participant {found['id']}"
    # GitHub Classroom puts the name of the assignment in front: aimd-jdoe.
    return submission, submission.partition("-")[2]


def _values(row: Mapping[str, str], column: str) -> set[str]:
    value = row.get(column, "")
    found = {_plain(value)}
    if column == "Email address":
        found.add(_plain(value.partition("@")[0]))
    if column in ("Student", "Full name"):
        # Canvas writes "Doe, Jane", and names files doejane.
        last, comma, first = value.partition(",")
        found |= {_plain(first + last), _plain(last + first)} if comma else set()
    return {one for one in found if one}


def _plain(text: str) -> str:
    return re.sub(r"[\W_]+", "", text).casefold()


def canvas_csv(grades: Sequence[GradeDocument], roster: Roster) -> str:
    """Return the grades as Canvas imports them: its five columns, one with the points, and the points possible."""
    if not grades:
        return ""
    column = grades[0]["assignment"]["title"]
    lines = [[*CANVAS, column], [_POINTS_POSSIBLE, "", "", "", "", number(grades[0]["most"])]]
    for grade in grades:
        name = grade["submission"]["name"]
        row = roster.row_of(name) or {}
        found = _CANVAS_NAME.fullmatch(name)
        own = {"Student": name if found is None else found["name"], "ID": "" if found is None else found["id"]}
        own |= {"SIS Login ID": "" if found is not None else _identity(name)[-1] or name}
        lines.append([*(row.get(one, "") if row else own.get(one, "") for one in CANVAS), number(grade["points"])])
    return _csv(lines)


def moodle_csv(grades: Sequence[GradeDocument], roster: Roster) -> str:
    """Return the grades as Moodle imports them: the columns of its worksheet, with the points and a comment."""
    lines: list[list[str]] = [list(MOODLE)]
    for grade in grades:
        name = grade["submission"]["name"]
        row = roster.row_of(name) or {}
        found = _MOODLE_NAME.fullmatch(name)
        own = {"Full name": name if found is None else found["name"], "Grade can be changed": "Yes"}
        own |= {"Identifier": "" if found is None else f"Participant {found['id']}"}
        values = {**own, **{key: value for key, value in row.items() if value and key in MOODLE}}
        values |= {"Grade": number(grade["points"]), "Maximum Grade": number(grade["most"])}
        values |= {"Feedback comments": _comment(grade)}
        lines.append([values.get(column, "") for column in MOODLE])
    return _csv(lines)


def _comment(grade: GradeDocument) -> str:
    """Return where points are missing, a line for each criterion."""
    texts = [in_short(message["text"]) for message in grade["messages"] if message["text"]]
    texts += [
        f"{one['title']} ({number(one['points'])} of {number(one['most'])}): {sentence(one)}"
        for one in grade["criteria"]
        if one["verdict"] != "full"
    ]
    return "\n".join(texts)


def _csv(lines: Iterable[Sequence[str]]) -> str:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\r\n")
    for line in lines:
        writer.writerow([plain_cell(cell) for cell in line])
    return buffer.getvalue()
