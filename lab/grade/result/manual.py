# SPDX-License-Identifier: Apache-2.0
"""The points that a person gives for answers: a CSV file with a line for each answer."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from lab.errors import InputError
from lab.experiment.check.problems import unknown
from lab.grade.assignment.read import Loaded
from lab.grade.assignment.schema import kind_of
from lab.grade.result.grade import GradeDocument, Manual
from lab.store.files import reason_of
from lab.units import show

__all__ = ["COLUMNS", "plain_cell", "questions", "read_manual"]

COLUMNS = ("submission", "criterion", "most", "points", "comment", "question", "answer")
_NEEDED = ("submission", "criterion", "points")
_MOST_BYTES = 64 << 20


def read_manual(path: Path, loaded: Loaded) -> dict[str, dict[str, Manual]]:
    """Return the points in a file: name of a submission → name of a criterion → points.  Lines without points are
    waiting.

    Raises:
        InputError: The file has problems; the message has a line for each, with file, line and column.
    """
    rows = _rows(path)
    problems: list[str] = []
    found: dict[str, dict[str, Manual]] = {}
    questions = [name for name, one in loaded.rubric.items() if kind_of(one) == "question"]
    for line, row in rows:
        name, criterion, text = (row[column].strip() for column in _NEEDED)
        if not text:
            continue
        if criterion not in questions:
            problems.append(
                f"{path}:{line}: criterion: {unknown('question', criterion, questions, plural='questions')}"
            )
            continue
        most = loaded.rubric[criterion].points
        points = _number(text)
        if points is None or not 0 <= points <= most:
            problems.append(f"{path}:{line}: points: found {show(text)}; expected a number from 0 to {most:g}")
            continue
        own = found.setdefault(_written(name), {})
        if criterion in own:
            problems.append(f"{path}:{line}: found points for {criterion} of {show(name)} twice; expected them once")
        own[criterion] = Manual(points, _written(row.get("comment", "") or ""))
    if problems:
        raise InputError("\n".join(problems[:40]))
    return found


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Return the lines of a CSV file, each with its number."""
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason_of(error)}") from error
    if len(data) > _MOST_BYTES:
        raise InputError(
            f"{path}: found more than {_MOST_BYTES >> 20} MiB; expected a file with the points for answers"
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: found byte 0x{data[error.start]:02x}; expected text in UTF-8") from None
    # In some countries, spreadsheets write a semicolon between the columns.
    first = text.partition("\n")[0]
    reader = csv.DictReader(
        io.StringIO(text, newline=""), delimiter=";" if first.count(";") > first.count(",") else ","
    )
    lacking = [name for name in _NEEDED if name not in (reader.fieldnames or ())]
    if lacking:
        raise InputError(f"{path}:1: found no column {lacking[0]!r}; expected the columns {', '.join(_NEEDED)}")
    found = []
    try:
        for row in reader:
            found.append((reader.line_num, {key: value or "" for key, value in row.items() if isinstance(key, str)}))
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num}: not readable as CSV: {error}") from None
    return found


def _number(text: str) -> float | None:
    try:
        found = float(text.replace(",", "."))
    except ValueError:
        return None
    return found if found == found else None


def questions(grades: Iterable[GradeDocument], known: Mapping[str, Mapping[str, Manual]]) -> str:
    """Return the file in which a person gives points, with all answers, and with the points that are *known*."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for grade in grades:
        name = grade["submission"]["name"]
        for one in grade["criteria"]:
            if one["kind"] != "question":
                continue
            given = known.get(name, {}).get(one["name"])
            points = "" if given is None else f"{given.points:g}"
            comment = "" if given is None else given.comment
            row = (name, one["name"], f"{one['most']:g}", points, comment, one["question"], one["answer"])
            writer.writerow(plain_cells(row))
    return buffer.getvalue()


def plain_cells(row: Sequence[str]) -> list[str]:
    """Return cells of which a spreadsheet takes none for a formula, whatever students have written."""
    return [plain_cell(cell) for cell in row]


def plain_cell(text: str) -> str:
    """Return a text so that a spreadsheet does not take it for a formula (OWASP, CSV injection)."""
    text = text.encode(errors="replace").decode()
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _written(text: str) -> str:
    """Return the text of which :func:`plain_cell` has made *text*."""
    return text[1:] if text[:1] == "'" and text[1:2] in ("=", "+", "-", "@", "\t", "\r") else text
