# SPDX-License-Identifier: Apache-2.0
"""Read the folder of an assignment, and the teacher's folder with its hidden part."""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TypeVar

from pydantic import ValidationError

from lab.errors import InputError, SpecError
from lab.experiment.check.problems import Problem, problems_of
from lab.experiment.read.document import Document, parse_yaml
from lab.experiment.read.files import MAX_NAMED_BYTES, decoded, read
from lab.experiment.read.load import Source
from lab.experiment.schema.base import Model
from lab.grade.assignment.schema import Assignment, Criterion, Hidden, Scenario
from lab.store.files import reason_of
from lab.units import show

__all__ = ["FILE", "HIDDEN_FILE", "TEACHER", "Loaded", "read_assignment"]

FILE = "assignment.yaml"
HIDDEN_FILE = "hidden.yaml"
TEACHER = "teacher"
"""The folder in that of an assignment, or in its place the one that ``--hidden`` names, with what students do not
get."""
REFERENCE = "reference"
"""The folder in the teacher's with the reference solution."""

_MOST_FILES = 2000
_M = TypeVar("_M", bound=Model)


@dataclass(frozen=True)
class Loaded:
    """An assignment with all of its files."""

    folder: Path
    assignment: Assignment
    scenarios: Mapping[str, Scenario]
    """All scenarios, hidden ones included; files are relative to the folder of the assignment."""
    rubric: Mapping[str, Criterion]
    """All criteria, hidden ones included."""
    hidden: frozenset[str]
    """The names of hidden scenarios and criteria."""
    files: Mapping[str, bytes]
    """Path in the folder of the assignment → content, for all files that trials may need; those of the teacher's folder
    are in ``teacher/``, wherever that folder is."""
    documents: tuple[tuple[Path, Document], ...] = field(repr=False, compare=False, default=())
    """The assignment file and the teacher's file with the places of their values, for messages."""

    @property
    def name(self) -> str:
        return self.assignment.name

    @property
    def starter(self) -> dict[str, bytes]:
        """The files that students begin with, by their names."""
        return {name: self.files[name] for name in self.assignment.submission if name in self.files}

    @property
    def most_points(self) -> float:
        return math.fsum(one.points for one in self.rubric.values())

    @property
    def digest(self) -> str:
        """The SHA-256 of everything in the assignment, in hexadecimal."""
        found = hashlib.sha256()
        for name, content in sorted(self.files.items()):
            found.update(f"{name}\0{len(content)}\0".encode() + content)
        rubric = {name: one.model_dump(mode="json", by_alias=True) for name, one in self.rubric.items()}
        found.update(json.dumps(rubric, sort_keys=True).encode())
        return found.hexdigest()


def read_assignment(path: Path, hidden: Path | None = None) -> Loaded:
    """Return the assignment in the folder *path*, or whose file is *path*, with the hidden part in the folder *hidden*.

    Without *hidden*, it is the folder ``teacher`` of the assignment, if there is one.  Nothing is known yet of the
    experiments, which :func:`lab.grade.assignment.check.check_assignment` looks at.

    Raises:
        SpecError: A file has problems; the message has one line for each, with file, line, column and field.
        InputError: There is no such folder, or it cannot be read.
    """
    folder = path if path.is_dir() else path.parent
    file = folder / FILE if path.is_dir() else path
    if not file.exists():
        raise InputError(f"{path}: found no {FILE}; expected the folder of an assignment, which has one")
    assignment, document = _parsed(file, Assignment)
    documents = [(file, document)]
    teacher = hidden or folder / TEACHER
    if hidden is not None and not (hidden / HIDDEN_FILE).is_file():
        raise InputError(f"{hidden}: found no {HIDDEN_FILE}; expected the folder with the hidden part of an assignment")
    files = _files(folder, "", frozenset({TEACHER}))
    scenarios, rubric, names = dict(assignment.scenarios), dict(assignment.rubric), frozenset[str]()
    if (teacher / HIDDEN_FILE).is_file():
        more, more_document = _parsed(teacher / HIDDEN_FILE, Hidden)
        _no_overlap(teacher / HIDDEN_FILE, more_document, more, assignment)
        documents.append((teacher / HIDDEN_FILE, more_document))
        files |= _files(teacher, f"{TEACHER}/", frozenset({REFERENCE}))
        scenarios |= {
            name: one.model_copy(update={"file": f"{TEACHER}/{one.file}"}) for name, one in more.scenarios.items()
        }
        rubric |= more.rubric
        names = frozenset([*more.scenarios, *more.rubric])
    return Loaded(folder, assignment, scenarios, rubric, names, files, tuple(documents))


def _parsed(path: Path, model: type[_M]) -> tuple[_M, Document]:
    """Return what the YAML file *path* contains, and the places in it."""
    document = parse_yaml(decoded(path, read(path)))
    source = Source(path, document)
    source.stop_at_faults()
    if not isinstance(source.root, dict):
        raise SpecError(f"{path}:1:1: found {show(source.root)}; expected a mapping, with 'scenarios:' and 'rubric:'")
    try:
        return model.model_validate(source.root), document
    except ValidationError as error:
        for problem in problems_of(error, source.root, model):
            source.lines.append((source.place(problem), str(problem)))
    source.stop_at_faults()
    raise AssertionError("an invalid document has at least one problem")


def _no_overlap(path: Path, document: Document, more: Hidden, assignment: Assignment) -> None:
    source = Source(path, document)
    for what in ("scenarios", "rubric"):
        for name in getattr(more, what):
            if name in getattr(assignment, what):
                problem = Problem(
                    (what, name), f"found {show(name)}, which {FILE} has, too; expected another name", "key"
                )
                source.lines.append((source.place(problem), str(problem)))
    source.stop_at_faults()


def _files(folder: Path, above: str, without: frozenset[str]) -> dict[str, bytes]:
    """Return the regular files below *folder*, except for those in the folders *without* at its top.

    Raises:
        InputError: They cannot be read, or there are too many.
    """
    found: dict[str, bytes] = {}
    for root, folders, names in os.walk(folder):
        here = Path(root).relative_to(folder)
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and not (here == Path(".") and name in without)
        )
        for name in sorted(names):
            path = Path(root, name)
            try:
                if not stat.S_ISREG(path.stat().st_mode) or name.startswith("."):
                    continue
                if len(found) >= _MOST_FILES:
                    raise InputError(f"{folder}: found more than {_MOST_FILES} files; expected those of an assignment")
                data = read(path, MAX_NAMED_BYTES)
            except OSError as error:
                raise InputError(f"{path}: cannot be read: {reason_of(error)}") from error
            found[f"{above}{PurePosixPath(here, name)}"] = data
    return found
