# SPDX-License-Identifier: Apache-2.0
"""Compare two files of a stored trial, and say in one line where they differ first."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_LONGEST = 60
"""The number of characters of a value that a message shows."""
_ABSENT = object()


@dataclass(frozen=True)
class FileDifference:
    """A file that is not what it should be."""

    file: str
    """The path of the file, relative to the folder that was compared."""
    what: str
    """How the file differs."""

    def __str__(self) -> str:
        return f"{self.file}: {self.what}"


def file_difference(stored: Path, again: Path) -> str | None:
    """Return how the content of the file *stored* differs from that of *again*; None if it does not.

    Two Parquet files are equal if their columns, their rows and the units of their columns are: their bytes also depend
    on the version of the library that wrote them.  All other files are compared byte by byte.

    Raises:
        OSError: A file cannot be read.
    """
    first, second = stored.read_bytes(), again.read_bytes()
    if first == second:
        return None
    if stored.suffix == ".parquet":
        try:
            return table_difference(pq.read_table(stored), pq.read_table(again))
        except (OSError, pa.ArrowException) as error:
            return f"cannot be read as a table: {_short(' '.join(str(error).split()))}"
    if stored.suffix == ".json":
        try:
            found = json_difference(json.loads(first), json.loads(second))
        except ValueError as error:
            return f"cannot be read as JSON: {error}"
        return found or "has the same values, but not the same bytes"
    return _line_difference(first, second)


def table_difference(stored: pa.Table, again: pa.Table) -> str | None:
    """Return how the table *stored* differs from *again*; None if they are equal.  Rows are counted from 0."""
    if stored.column_names != again.column_names:
        return f"has the columns {', '.join(stored.column_names)}; expected {', '.join(again.column_names)}"
    for one, other in zip(stored.schema, again.schema, strict=True):
        if not one.equals(other, check_metadata=True):
            return f"column {one.name} has the type {_field_text(one)}; expected {_field_text(other)}"
    for name in stored.column_names:
        one, other = stored.column(name), again.column(name)
        if one.equals(other):
            continue
        for row, (value, expected) in enumerate(zip(one.to_pylist(), other.to_pylist(), strict=False)):
            if not _same(value, expected):
                return f"column {name} differs first in row {row}: found {_shown(value)}, expected {_shown(expected)}"
    if stored.num_rows != again.num_rows:
        return f"has {stored.num_rows} rows; expected {again.num_rows}"
    return None


def json_difference(stored: Any, again: Any) -> str | None:
    """Return the first place where two JSON values differ, with both values; None if they are equal."""
    for place, value, expected in _places(stored, again, ()):
        where = ".".join(map(str, place)) or "the whole document"
        if value is _ABSENT:
            return f"{where} is missing; expected {_shown(expected)}"
        if expected is _ABSENT:
            return f"{where} should not be there; found {_shown(value)}"
        return f"{where}: found {_shown(value)}, expected {_shown(expected)}"
    return None


def _places(stored: Any, again: Any, place: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], Any, Any]]:
    if isinstance(stored, dict) and isinstance(again, dict):
        for key in dict.fromkeys((*again, *stored)):
            yield from _places(stored.get(key, _ABSENT), again.get(key, _ABSENT), (*place, key))
    elif isinstance(stored, list) and isinstance(again, list):
        for index, (value, expected) in enumerate(itertools.zip_longest(stored, again, fillvalue=_ABSENT)):
            yield from _places(value, expected, (*place, index))
    elif type(stored) is not type(again) or not _same(stored, again):
        yield place, stored, again


def _line_difference(first: bytes, second: bytes) -> str:
    lines = itertools.zip_longest(*(text.decode(errors="replace").splitlines() for text in (first, second)))
    for number, (line, expected) in enumerate(lines, start=1):
        if line is None:
            return f"ends before line {number}; expected {_shown(expected)}"
        if expected is None:
            return f"should end before line {number}; found {_shown(line)}"
        if line != expected:
            return f"line {number}: found {_shown(line)}, expected {_shown(expected)}"
    return "has the same lines, but not the same bytes"


def _same(one: Any, other: Any) -> bool:
    """Return whether two values are equal; NaN is equal to NaN."""
    return bool(one == other or (one != one and other != other))


def _field_text(field: pa.Field) -> str:
    unit = (field.metadata or {}).get(b"unit")
    return f"{field.type} in {unit.decode()}" if unit else str(field.type)


def _shown(value: Any) -> str:
    return _short(json.dumps(value, ensure_ascii=False, default=str))


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
