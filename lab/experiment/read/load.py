# SPDX-License-Identifier: Apache-2.0
"""Read an experiment file, and say of every mistake in it where it stands and what is allowed there."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from ruamel.yaml import YAML

from lab.errors import SpecError
from lab.experiment.check.matrix import path_problem, split_path
from lab.experiment.check.problems import Problem, path_text
from lab.experiment.check.validate import CheckedExperiment, examine
from lab.experiment.read.document import Document, Fault, Place, parse_yaml
from lab.experiment.read.files import MAX_FILE_BYTES, decoded, moved, named_files, read
from lab.experiment.schema.contents import Contents
from lab.experiment.schema.experiment import Experiment
from lab.experiment.schema.fields import Path, blocked, get, replaced
from lab.experiment.schema.kernel import KernelPackage
from lab.units import show

__all__ = ["MAX_FILE_BYTES", "LoadedExperiment", "load_experiment"]

EXTENDS = "extends"

_MAX_PROBLEMS = 40
_MAX_BASES = 8
_TAKEN_WHOLE = frozenset({"matrix", "collect"})
"""What a file says of these stands for itself: a base's axes would multiply its own."""


@dataclass(frozen=True)
class LoadedExperiment:
    """An experiment file that was read and checked."""

    path: FilePath
    text: bytes
    """The file as it is, without overrides; what it extends is written out in it."""
    raw: dict[str, Any]
    """Its plain values, overrides applied."""
    checked: CheckedExperiment
    """What :func:`lab.plan.plan.make_plan` takes."""
    overrides: tuple[str, ...] = ()
    """As given: ``PATH=VALUE``."""
    contents: Contents = field(default_factory=dict)
    """Of the files that it names."""
    files: dict[str, bytes] = field(default_factory=dict)
    """Path as written → the bytes, of all of them but kernels."""

    @property
    def experiment(self) -> Experiment:
        return self.checked.experiment

    @property
    def packages(self) -> dict[str, FilePath]:
        """Kernel's name → the package that it is in."""
        return {one.name: one.path for one in self.contents.values() if isinstance(one, KernelPackage)}


def load_experiment(path: FilePath, overrides: Sequence[str] = ()) -> LoadedExperiment:
    """Read, override and check an experiment file.

    ``overrides`` are ``PATH=VALUE`` with the value in YAML, such as ``duration=5s`` or
    ``matrix.flows.bulk.cc=[cubic]``; they replace what the file says, or add to it.

    Raises :class:`SpecError` with one line for each problem: file, line and column (or the override), field path, what
    was found, what is allowed.
    """
    data = read(path)
    document = _with_bases(path, parse_yaml(decoded(path, data)), (path.resolve(),))
    source = _Source(path, document)
    source.stop_at_faults()
    for override in overrides:
        source.apply(override)
    source.stop_at_faults()
    contents, files = named_files(path.parent, source.root)
    checked = examine(source.root, contents)
    if not isinstance(checked, CheckedExperiment):
        source.lines += [(source.place(problem), str(problem)) for problem in checked]
        source.stop_at_faults()
        raise AssertionError("examine() returns a checked experiment or at least one problem")
    text = data if document.root is None or not document.is_merged else _written_out(path, document)
    return LoadedExperiment(path, text, source.root, checked, tuple(overrides), contents, files)


def _with_bases(path: FilePath, document: Document, chain: tuple[FilePath, ...]) -> Document:
    """Return the document with those that it extends below it."""
    if not isinstance(document.root, dict) or EXTENDS not in document.root or document.faults:
        return document
    name = document.root.pop(EXTENDS)
    place = document.values.get((EXTENDS,), Place(1, 1))
    if not isinstance(name, str) or not name:
        return _faulty(document, place, f"found {show(name)}; expected the path of another experiment file")
    base = path.parent / name
    if base.resolve() in chain:
        return _faulty(document, place, f"found {show(name)}, which extends this file; expected no circle")
    if len(chain) > _MAX_BASES:
        return _faulty(document, place, f"found more than {_MAX_BASES} files that extend each other")
    try:
        text = decoded(base, read(base))
    except SpecError as error:
        return _faulty(document, place, f"found {show(name)}: {error}")
    below = _with_bases(base, parse_yaml(text), (*chain, base.resolve())).of_file(str(base))
    if base.parent != path.parent:
        below.root = moved(below.root, base.parent, path.parent)
    merged = document.over(below, _TAKEN_WHOLE)
    merged.is_merged = True
    return merged


def _faulty(document: Document, place: Place, message: str) -> Document:
    document.faults.append(Fault(place, (EXTENDS,), message))
    return document


def _written_out(path: FilePath, document: Document) -> bytes:
    """What the file and those that it extends come to, as one file that stands alone."""
    buffer = io.BytesIO()
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = None
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    writer.dump(document.root, buffer)
    return f"# {path.name} and what it extends, written out by lab\n".encode() + buffer.getvalue()


@dataclass
class _Source:
    """The document under construction: the file's values, then overrides, and where each comes from."""

    path: FilePath
    document: Document
    overridden: dict[Path, str] = field(default_factory=dict)
    """Path → the override that set it."""
    lines: list[tuple[Place | str, str]] = field(default_factory=list)
    """Problems: place in the file or override, and text."""

    def __post_init__(self) -> None:
        self.root: Any = self.document.root
        for fault in self.document.faults:
            self.lines.append((fault.place, str(Problem(fault.path, fault.message))))

    def stop_at_faults(self) -> None:
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
        """Return where the problem's field, or the nearest part around it that is written, stands."""
        document = self.document
        if problem.child is not None:
            problem = Problem((*problem.path, problem.child), problem.message, "key")
        for depth in range(len(problem.path), -1, -1):
            path = problem.path[:depth]
            if path in self.overridden:
                return self.overridden[path]
            exact = depth == len(problem.path)
            # Of a part around it, the name is the better place: its value begins with some other field.
            first, second = (
                (document.values, document.keys)
                if exact and problem.at == "value"
                else (document.keys, document.values)
            )
            if found := first.get(path) or second.get(path):
                return found
        return Place(1, 1)

    def apply(self, override: str) -> None:
        """Set what ``PATH=VALUE`` says, or note why not."""
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
            # The axis itself is checked with the matrix.
            return None
        if message := path_problem(path, self.root, new_names=True):
            return message
        if blocked(self.root, path):
            return "the file holds a single value on the way there; expected a mapping"
        matrix = get(self.root, ("matrix",))
        for key in matrix if isinstance(matrix, Mapping) else ():
            axis = split_path(key)
            if path[: len(axis)] == axis:
                return f"the matrix sets it, so that this would change nothing; set matrix.{key}=[…] instead"
        return None
