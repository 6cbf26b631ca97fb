# SPDX-License-Identifier: Apache-2.0
"""The matrix of an experiment document: its axes, and the document of every cell.  Pure."""

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

_NOT_AXES = ("name", "title", "description", "matrix", "repeat", "seed")


@dataclass(frozen=True)
class MatrixAxis:
    """One key of the matrix."""

    key: str
    """As written: ``flows.bulk.cc``."""
    values: tuple[Any, ...]
    paths: tuple[Path, ...]
    """Of the fields that it sets, all to the same value: several where the key has a ``*``."""

    def set(self, document: Any, value: Any) -> dict[Any, Any]:
        """Return *document* with *value* in all of them."""
        for path in self.paths:
            document = replaced(document, path, value)
        found: dict[Any, Any] = document
        return found

    def rest_of(self, path: Path) -> Path | None:
        """Return what follows one of the axis's fields in *path*; None if *path* is elsewhere."""
        return next((path[len(own) :] for own in self.paths if path[: len(own)] == own), None)


@dataclass(frozen=True)
class CellDocument:
    """One combination of values."""

    indices: tuple[int, ...]
    """Which value of each axis."""
    values: dict[str, Any]
    """MatrixAxis → value, as written."""
    document: dict[str, Any]
    """The experiment with these values in place, and no matrix."""


def split_path(text: str) -> Path:
    """Return the path that ``a.b.c`` names; what follows ``matrix.`` is one key, dots and all."""
    head, dot, rest = text.partition(".")
    return (head, rest) if head == "matrix" and dot else tuple(text.split("."))


def expanded(key: str, document: Any) -> tuple[Path, ...]:
    """Return the fields that a key names: ``flows.*.cc`` those of all flows."""
    found: list[Path] = [()]
    for part in split_path(key):
        if part == "*":
            here = [(path, get(document, path)) for path in found]
            found = [(*path, name) for path, names in here if isinstance(names, Mapping) for name in names]
        else:
            found = [(*path, part) for path in found]
    return tuple(found)


def read_axes(document: Any) -> tuple[list[MatrixAxis], list[Problem]]:
    """Return the usable axes in the order written, and what is wrong with the others.

    What is not even a mapping of lists is left to the schema to report.
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
        return "found a '*' that stands for nothing; expected names where it is"
    for one in paths:
        if message := path_problem(one, document, new_names=False):
            return message
    for other in axes:
        if any(_overlap(one, theirs) for one in paths for theirs in other.paths):
            return f"found a path that overlaps {show(other.key)}; expected each field in one axis"
    return None


def _overlap(first: Path, second: Path) -> bool:
    shorter = min(len(first), len(second))
    return first[:shorter] == second[:shorter]


def _doubles(here: Path, values: list[Any]) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, value in enumerate(values):
        # As JSON, in which 1, 1.0 and true differ.
        text = json.dumps(value, sort_keys=True)
        if text in seen:
            yield Problem((*here, index), f"found {show(value)} again; expected values that differ")
        seen.add(text)


def path_problem(path: Path, document: Any, *, new_names: bool) -> str | None:
    """Return why ``path`` names no field, or None if it does.

    ``new_names``: the last part may be a new name where names are the user's, such as a flow's.
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
            # One of several kinds, and the document does not say which: that is for the schema to report.
            return None
        if item is None:
            return f"{show(prefix)} is one value; it has no field {show(name)}"
        there = get(document, above)
        names = [str(key) for key in there] if isinstance(there, Mapping) else []
        last = depth == len(path) - 1
        # Where the values are not models (tc's parameters), any name may be given.
        if name not in names and any(models_in(item)) and not (new_names and last):
            return f"{unknown('name', name, names, plural='names')} in {show(prefix)}"
    return None


def count(axes: list[MatrixAxis]) -> int:
    """Return the number of cells."""
    return math.prod(len(axis.values) for axis in axes)


def cells(document: Mapping[str, Any], axes: list[MatrixAxis]) -> Iterator[CellDocument]:
    """Yield every combination, the last axis varying fastest; one with no values if there are no axes."""
    plain = {key: value for key, value in document.items() if key != "matrix"}
    for indices in itertools.product(*(range(len(axis.values)) for axis in axes)):
        here = plain
        for axis, index in zip(axes, indices, strict=True):
            here = axis.set(here, axis.values[index])
        values = {axis.key: axis.values[index] for axis, index in zip(axes, indices, strict=True)}
        yield CellDocument(indices, values, here)


def lacks(document: Any, axis: MatrixAxis) -> bool:
    """Return whether the document itself says nothing at one of the axis's fields."""
    return any(get(document, path) is MISSING for path in axis.paths)
