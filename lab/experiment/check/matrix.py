# SPDX-License-Identifier: Apache-2.0
"""Expand the matrix of an experiment document into its axes and the document of each cell.  No I/O."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lab.experiment.check.problems import Problem, unknown
from lab.experiment.schema.fields import MISSING, Path, fields_at, get, models_in, replaced, type_at, values_of_mapping
from lab.units import show

__all__ = [
    "MAX_TRIALS",
    "CellDocument",
    "MatrixAxis",
    "cells",
    "count",
    "lacks",
    "path_problem",
    "read_axes",
    "split_path",
]

MAX_TRIALS = 10_000

_NOT_AXES = ("name", "title", "description", "engine", "expect", "matrix", "repeat", "report", "seed")


@dataclass(frozen=True)
class MatrixAxis:
    """One key of the matrix, with the values that it takes in turn."""

    key: str
    """The key as it is written in the file, such as ``flows.bulk.cc``."""
    values: tuple[Any, ...]
    paths: tuple[Path, ...]
    """The fields that the axis sets, all to the same value; there may be several if the key contains a ``*``."""

    def set(self, document: Any, value: Any) -> dict[Any, Any]:
        """Return a copy of *document* in which all fields of the axis have the value *value*."""
        for path in self.paths:
            document = replaced(document, path, value)
        found: dict[Any, Any] = document
        return found

    def rest_of(self, path: Path) -> Path | None:
        """Return the rest of *path* behind one of the axis's fields; None if *path* is in none of them."""
        return next((path[len(field) :] for field in self.paths if path[: len(field)] == field), None)


@dataclass(frozen=True)
class CellDocument:
    """One combination of the matrix's values."""

    indices: tuple[int, ...]
    """The index of the value in each axis."""
    values: dict[str, Any]
    """Key of the axis → value, as written in the file."""
    document: dict[str, Any]
    """The experiment document with these values set, and without the matrix, the expectations and the report."""


def split_path(text: str) -> Path:
    """Return the path that ``a.b.c`` names; all that follows ``matrix.`` is one key, including its dots."""
    head, dot, rest = text.partition(".")
    return (head, rest) if head == "matrix" and dot else tuple(text.split("."))


def expanded(key: str, document: Any) -> tuple[Path, ...]:
    """Return the paths of the fields that a key names: ``flows.*.cc`` names the field ``cc`` of each flow."""
    found: list[Path] = [()]
    for part in split_path(key):
        if part == "*":
            parents = [(path, get(document, path)) for path in found]
            found = [(*path, name) for path, names in parents if isinstance(names, Mapping) for name in names]
        else:
            found = [(*path, part) for path in found]
    return tuple(found)


def read_axes(document: Any) -> tuple[list[MatrixAxis], list[Problem]]:
    """Return the valid axes in the order of the file, and the problems of the others.

    The schema, not this function, reports a matrix that is not a mapping of lists.
    """
    matrix = get(document, ("matrix",))
    axes: list[MatrixAxis] = []
    problems: list[Problem] = []
    for key, values in matrix.items() if isinstance(matrix, Mapping) else ():
        here: Path = ("matrix", key)
        message = _axis_problem(key, document, axes)
        if message:
            problems.append(Problem(here, message, "key"))
        elif isinstance(values, list) and values:
            doubles = list(_doubles(here, values))
            problems += doubles
            if not doubles:
                axes.append(MatrixAxis(key, tuple(values), expanded(key, document)))
    return axes, problems


def _axis_problem(key: str, document: Any, axes: list[MatrixAxis]) -> str | None:
    path = split_path(key)
    if path[0] in _NOT_AXES:
        return f"'{path[0]}' cannot be varied; expected the path of another field"
    paths = expanded(key, document)
    if not paths:
        return "found a '*' that matches no name; expected a part of the file that has names"
    for field in paths:
        if message := path_problem(field, document, new_names=False):
            return message
    for other in axes:
        if any(_overlap(field, other_field) for field in paths for other_field in other.paths):
            return f"found a path that overlaps {show(other.key)}; expected each field in only one axis"
    return None


def _overlap(first: Path, second: Path) -> bool:
    shorter = min(len(first), len(second))
    return first[:shorter] == second[:shorter]


def _doubles(here: Path, values: list[Any]) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, value in enumerate(values):
        # The values are compared as JSON, because 1, 1.0 and true are equal in Python.
        text = json.dumps(value, sort_keys=True)
        if text in seen:
            yield Problem((*here, index), f"found {show(value)} again; expected each value once")
        seen.add(text)


def path_problem(path: Path, document: Any, *, new_names: bool) -> str | None:
    """Return a message that says why ``path`` names no field, or None if it names one.

    With ``new_names``, the last part may also be a new name where the user chooses the names, such as that of a flow.
    """
    for depth, part in enumerate(path):
        above, name = path[:depth], str(part)
        prefix = ".".join(map(str, above))
        fields = fields_at(above, document)
        if fields is not None:
            if name not in fields:
                within = f" in {show(prefix)}" if prefix else ""
                return unknown("field", name, list(fields), plural="fields") + within
            continue
        item = values_of_mapping(type_at(above, document))
        if item is None and any(models_in(type_at(above, document))):
            # The part is of one of several kinds, and the document does not say which: the schema reports that.
            return None
        if item is None:
            return f"{show(prefix)} is a single value; it has no field {show(name)}"
        mapping = get(document, above)
        names = [str(key) for key in mapping] if isinstance(mapping, Mapping) else []
        last = depth == len(path) - 1
        # Any name is allowed in a mapping whose values are not models, such as the parameters of tc.
        if name not in names and any(models_in(item)) and not (new_names and last):
            return f"{unknown('name', name, names, plural='names')} in {show(prefix)}"
    return None


def count(axes: list[MatrixAxis]) -> int:
    """Return the number of cells of a matrix with these axes."""
    return math.prod(len(axis.values) for axis in axes)


def cells(document: Mapping[str, Any], axes: list[MatrixAxis]) -> Iterator[CellDocument]:
    """Yield each combination of values; the last axis varies fastest.

    Without axes there is one cell, which has no values.
    """
    # The expectations and the figures of the report belong to no cell.
    plain = {key: value for key, value in document.items() if key not in ("expect", "matrix", "report")}
    for indices in itertools.product(*(range(len(axis.values)) for axis in axes)):
        cell = plain
        for axis, index in zip(axes, indices, strict=True):
            cell = axis.set(cell, axis.values[index])
        values = {axis.key: axis.values[index] for axis, index in zip(axes, indices, strict=True)}
        yield CellDocument(indices, values, cell)


def lacks(document: Any, axis: MatrixAxis) -> bool:
    """Return whether at least one of the axis's fields is not written in the document itself."""
    return any(get(document, path) is MISSING for path in axis.paths)
