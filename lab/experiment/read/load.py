# SPDX-License-Identifier: Apache-2.0
"""Read an experiment file; report each mistake with its line and column and with what is allowed there."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from lab.errors import SpecError
from lab.experiment.check.known import Lookup
from lab.experiment.check.matrix import path_problem, split_path
from lab.experiment.check.problems import Problem, path_text
from lab.experiment.check.validate import CheckedExperiment, examine
from lab.experiment.read.document import Document, Fault, Place, parse_yaml
from lab.experiment.read.files import MAX_FILE_BYTES, decoded, moved, named_files, read
from lab.experiment.read.write import to_yaml
from lab.experiment.schema.contents import Contents
from lab.experiment.schema.experiment import Experiment
from lab.experiment.schema.fields import Path, blocked, get, replaced
from lab.experiment.schema.kernel import KernelPackage
from lab.units import show

__all__ = ["MAX_FILE_BYTES", "LoadedExperiment", "Source", "load_experiment", "load_text"]

EXTENDS = "extends"

_MAX_PROBLEMS = 40
_MAX_BASES = 8
_TAKEN_WHOLE = frozenset({"matrix", "collect"})
"""Top-level fields that a file replaces as a whole when it extends another file.

If the matrices were merged, for example, the axes of the base would multiply those of the file.
"""


@dataclass(frozen=True)
class LoadedExperiment:
    """An experiment file that was read and checked."""

    path: FilePath
    text: bytes
    """The text of the file without overrides; if it extends other files, all of them merged into one text."""
    raw: dict[str, Any]
    """The plain values of the file, after the overrides."""
    checked: CheckedExperiment
    """The checked experiment, from which :func:`lab.plan.plan.make_plan` makes a plan."""
    overrides: tuple[str, ...] = ()
    """The overrides as the user gave them: ``PATH=VALUE``."""
    contents: Contents = field(default_factory=dict)
    """The parsed contents of the files that the experiment names."""
    files: dict[str, bytes] = field(default_factory=dict)
    """Path as written in the experiment → the bytes of that file; kernels are not included.

    If the file extends others, it and they are here too, by their paths relative to the file.
    """

    @property
    def experiment(self) -> Experiment:
        return self.checked.experiment

    @property
    def packages(self) -> dict[str, FilePath]:
        """Name of a kernel → the path of the package that contains it."""
        return {package.name: package.path for package in self.contents.values() if isinstance(package, KernelPackage)}


def load_experiment(path: FilePath, overrides: Sequence[str] = (), lookup: Lookup | None = None) -> LoadedExperiment:
    """Read an experiment file, apply overrides, and check the result.

    ``overrides`` have the form ``PATH=VALUE`` with the value in YAML, such as ``duration=5s`` or
    ``matrix.flows.bulk.cc=[cubic]``.  They replace values of the file or add new ones.

    *lookup* says which algorithms a kernel has, and which parameters ``tc``; without it they are not checked.

    Raises:
        SpecError: The experiment has problems.  The message has one line for each: file, line and column (or the
            override), path of the field, what was found, and what is allowed.
    """
    return load_text(path, read(path), overrides, lookup)


def load_text(
    path: FilePath, data: bytes, overrides: Sequence[str] = (), lookup: Lookup | None = None
) -> LoadedExperiment:
    """Do what :func:`load_experiment` does with the content *data* of an experiment file, which need not exist.

    The files that the experiment names are looked for in the folder of *path*, which messages name.
    """
    bases: dict[FilePath, bytes] = {}
    document = _with_bases(path, parse_yaml(decoded(path, data)), (path.resolve(),), bases)
    source = Source(path, document)
    source.stop_at_faults()
    for override in overrides:
        source.apply(override)
    source.stop_at_faults()
    contents, files = named_files(path, source.root)
    checked = examine(source.root, contents, lookup)
    if not isinstance(checked, CheckedExperiment):
        source.lines += [(source.place(problem), str(problem)) for problem in checked]
        source.stop_at_faults()
        raise AssertionError("examine() returns a checked experiment or at least one problem")
    text = data
    if document.is_merged:
        text = _written_out(path, document)
        files[path.name] = data
        files |= {os.path.relpath(base, path.parent): below for base, below in bases.items()}
    return LoadedExperiment(path, text, source.root, checked, tuple(overrides), contents, files)


def _with_bases(
    path: FilePath, document: Document, chain: tuple[FilePath, ...], bases: dict[FilePath, bytes]
) -> Document:
    """Return the document merged over the documents that it extends, and add these files to *bases*."""
    if not isinstance(document.root, dict) or EXTENDS not in document.root or document.faults:
        return document
    name = document.root.pop(EXTENDS)
    place = document.values.get((EXTENDS,), Place(1, 1))
    if not isinstance(name, str) or not name or "\0" in name:
        return _faulty(document, place, f"found {show(name)}; expected the path of another experiment file")
    base = path.parent / name
    try:
        data = read(base)
    except SpecError as error:
        return _faulty(document, place, f"found {show(name)}: {error}")
    if base.resolve() in chain:
        message = f"found {show(name)}, which is this file or extends it; expected another file"
        return _faulty(document, place, message)
    if len(chain) > _MAX_BASES:
        message = f"found a chain of more than {_MAX_BASES} files that extend one another; expected fewer"
        return _faulty(document, place, message)
    try:
        text = decoded(base, data)
    except SpecError as error:
        return _faulty(document, place, f"found {show(name)}: {error}")
    bases[base] = data
    below = _with_bases(base, parse_yaml(text), (*chain, base.resolve()), bases).of_file(str(base))
    if not isinstance(below.root, dict) and not below.faults:
        message = f"found {show(name)}, which contains {show(below.root)}; expected a file that contains a mapping"
        return _faulty(document, place, message)
    if base.parent != path.parent:
        below.root = moved(below.root, base.parent, path.parent)
    merged = document.over(below, _TAKEN_WHOLE)
    merged.is_merged = True
    return merged


def _faulty(document: Document, place: Place, message: str) -> Document:
    document.faults.append(Fault(place, (EXTENDS,), message))
    return document


def _written_out(path: FilePath, document: Document) -> bytes:
    """Return the file, merged with the files that it extends, as one text that extends nothing."""
    header = f"# {path.name} merged with the files that it extends, written by lab\n"
    return header.encode() + to_yaml(document.root)


@dataclass
class Source:
    """The document while it is being built from the file's values and the overrides, and the source of each value."""

    path: FilePath
    document: Document
    overridden: dict[Path, str] = field(default_factory=dict)
    """Path of a field → the override that set it."""
    lines: list[tuple[Place | str, str]] = field(default_factory=list)
    """The problems that were found: the place in the file, or the override, and the message."""

    def __post_init__(self) -> None:
        self.root: Any = self.document.root
        for fault in self.document.faults:
            self.lines.append((fault.place, str(Problem(fault.path, fault.message))))

    def stop_at_faults(self) -> None:
        """Raise a :class:`SpecError` with all problems found so far, if there are any."""
        if not self.lines:
            return
        in_file = sorted((line for line in self.lines if isinstance(line[0], Place)), key=lambda line: line[0])
        lines = [*in_file, *(line for line in self.lines if isinstance(line[0], str))]
        texts = [f"{self._shown(place)}: {text}" for place, text in lines]
        unique = list(dict.fromkeys(texts))
        if len(unique) > _MAX_PROBLEMS:
            unique[_MAX_PROBLEMS:] = [f"{self.path}: and {len(unique) - _MAX_PROBLEMS} more problems"]
        raise SpecError("\n".join(unique))

    def _shown(self, place: Place | str) -> str:
        return place if isinstance(place, str) else f"{place.file or self.path}:{place.line}:{place.column}"

    def place(self, problem: Problem) -> Place | str:
        """Return the place of the problem's field, or of the innermost part around it that the file contains.

        The place is a line and column of the file, or the override that set the field.
        """
        document = self.document
        if problem.child is not None:
            problem = Problem((*problem.path, problem.child), problem.message, "key")
        for depth in range(len(problem.path), -1, -1):
            path = problem.path[:depth]
            if path in self.overridden:
                return self.overridden[path]
            exact = depth == len(problem.path)
            # For a surrounding part, the place of its name is preferred, because its value begins with another field.
            first, second = (
                (document.values, document.keys)
                if exact and problem.at == "value"
                else (document.keys, document.values)
            )
            if found := first.get(path) or second.get(path):
                return found
        return Place(1, 1)

    def apply(self, override: str) -> None:
        """Apply an override ``PATH=VALUE``, or record the problem that prevents it."""
        where = f"--set {override if override.isprintable() and len(override) <= 200 else show(override, 200)}"
        name, equals, text = override.partition("=")
        path = split_path(name.strip())
        if not equals or not name.strip():
            self.lines.append((where, "expected PATH=VALUE, such as duration=5s"))
            return
        value = parse_yaml(text)
        if value.faults:
            self.lines += [(where, f"{path_text(path)}: {fault.message}") for fault in value.faults]
            return
        if message := self._refusal(path):
            self.lines.append((where, f"{path_text(path)}: {message}"))
            return
        self.root = replaced(self.root, path, value.root)
        self.overridden = {known: by for known, by in self.overridden.items() if known[: len(path)] != path}
        self.overridden[path] = where

    def _refusal(self, path: Path) -> str | None:
        if not isinstance(self.root, Mapping):
            return None
        if path[0] == "matrix":
            # The axes are checked later, together with the whole matrix.
            return None
        if message := path_problem(path, self.root, new_names=True):
            return message
        if blocked(self.root, path):
            return "found a single value on this path in the file; expected a mapping"
        matrix = get(self.root, ("matrix",))
        for key in matrix if isinstance(matrix, Mapping) else ():
            axis = split_path(key)
            if path[: len(axis)] == axis:
                return f"the matrix sets this field, so the override would have no effect; set matrix.{key}=[…] instead"
        return None
