# SPDX-License-Identifier: Apache-2.0
"""Turn YAML text into plain values, and record the line and column of each key and value.  No I/O.

The text must be a single document in YAML 1.2, whose keys are text and occur only once in their mapping.  Only the
composer of ruamel.yaml is used.  It builds nodes with their places but constructs no objects, so that a tag in the text
cannot create a Python object or run code.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Container
from dataclasses import dataclass, field, replace
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from lab.experiment.schema.fields import Path
from lab.units import show

__all__ = ["Document", "Fault", "Place", "parse_yaml"]

MAX_VALUES = 50_000
"""The largest number of values in a document, counted after its aliases are expanded.

A larger document is a mistake, or an attack that expands aliases exponentially ("billion laughs").
"""

MAX_CHARACTERS = 1_000_000
"""The largest number of characters in all values and keys together, also counted after aliases are expanded."""

_CORE = "tag:yaml.org,2002:"
_INT = re.compile(r"(?P<sign>[-+]?)(?:0o(?P<oct>[0-7]+)|0x(?P<hex>[0-9a-fA-F]+)|(?P<dec>[0-9]+))")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_DIRECTIVE = re.compile(r"(?:[ \t]*(?:#[^\n]*)?\r?\n)*(%[^\n]*)")
_MAX_DIGITS = 40
_MAX_DEPTH = 32


@dataclass(frozen=True, order=True)
class Place:
    """A line and a column in a text, both counted from 1."""

    line: int
    column: int
    file: str = ""
    """The file that contains the text; empty for the experiment file that is being loaded."""


@dataclass(frozen=True)
class Fault:
    """A part of a text that is not valid YAML, or that uses a feature of YAML which is not allowed here."""

    place: Place
    path: Path
    message: str


@dataclass
class Document:
    """The values of a YAML text, and the places of its keys and values."""

    root: Any = None
    keys: dict[Path, Place] = field(default_factory=dict)
    values: dict[Path, Place] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    is_merged: bool = False
    """Whether the document was merged from more than one file."""

    def of_file(self, name: str) -> Document:
        """Return a copy in which places without a file are places in the file *name*."""
        return Document(
            self.root,
            {path: replace(place, file=place.file or name) for path, place in self.keys.items()},
            {path: replace(place, file=place.file or name) for path, place in self.values.items()},
            [replace(fault, place=replace(fault.place, file=fault.place.file or name)) for fault in self.faults],
        )

    def over(self, base: Document, whole: Container[str]) -> Document:
        """Return *base* overridden by this document.

        Mappings are merged field by field; any other value replaces that of *base*.  The top-level fields named in
        ``whole`` are also replaced, although they are mappings.
        """
        merged = Document(None, dict(base.keys), dict(base.values), [*base.faults, *self.faults])
        merged.root = _merged(base.root, self.root, (), whole, merged)
        merged.keys |= self.keys
        merged.values |= self.values
        return merged


def _merged(base: Any, overriding: Any, path: Path, whole: Container[str], document: Document) -> Any:
    if not isinstance(base, dict) or not isinstance(overriding, dict) or (len(path) == 1 and path[0] in whole):
        # The value of the base is replaced, so that the places of its parts no longer apply.
        for places in (document.keys, document.values):
            for known in [known for known in places if len(known) > len(path) and known[: len(path)] == path]:
                del places[known]
        return overriding
    return {
        **base,
        **{
            key: _merged(base[key], value, (*path, key), whole, document) if key in base else value
            for key, value in overriding.items()
        },
    }


def parse_yaml(text: str) -> Document:
    """Parse ``text`` and return its document.

    The function raises no error for an invalid text: the document's ``faults`` list what is wrong with it.
    """
    document = Document()
    node = _compose(text, document)
    if node is not None:
        reader = _Reader(document)
        try:
            document.root = reader.read(node, ())
        except _TooMuchError as error:
            document.faults.append(Fault(Place(1, 1), (), str(error)))
    return document


def _compose(text: str, document: Document) -> Node | None:
    # The composer would obey a %YAML directive that asks for another version than 1.2, so no directive is allowed.
    directive = _DIRECTIVE.match(text)
    if directive:
        place = _place_of(text, directive.start(1))
        document.faults.append(Fault(place, (), f"found the directive {show(directive[1])}; leave it out"))
        return None
    try:
        with warnings.catch_warnings():
            # YAML allows an anchor to be defined again, but ruamel.yaml warns about it on standard error.
            warnings.simplefilter("ignore")
            node: Node | None = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        document.faults.append(Fault(_mark(error.problem_mark or error.context_mark), (), _reason(error)))
    except ReaderError as error:
        character = chr(error.character) if isinstance(error.character, int) else error.character
        message = f"found the character {character!r}, which YAML does not allow"
        document.faults.append(Fault(_place_of(text, error.position), (), message))
    except RecursionError:
        document.faults.append(Fault(Place(1, 1), (), "lists and mappings are nested too deeply"))
    except (
        YAMLError,
        ValueError,
        TypeError,
        AttributeError,
        LookupError,
        AssertionError,
        NotImplementedError,
    ) as error:
        # Fuzzing has shown that the scanner also fails with errors such as these on malformed text.
        document.faults.append(Fault(Place(1, 1), (), f"not readable as YAML: {show(str(error), 120)}"))
    else:
        if node is None:
            document.faults.append(Fault(Place(1, 1), (), "the document is empty"))
        return node
    return None


def _reason(error: MarkedYAMLError) -> str:
    if r"'\t' that cannot start" in str(error.problem):
        return "not valid YAML: found a tab; expected spaces, with which YAML indents"
    problem = " ".join(str(error.problem or error.context or error).split())
    context = " ".join(str(error.context).split()) if error.problem and error.context else ""
    opened = {"while parsing a flow mapping": ("{", "}"), "while parsing a flow sequence": ("[", "]")}.get(context)
    if opened and error.context_mark is not None:
        place = _mark(error.context_mark)
        return (
            f"not valid YAML: {problem}; the '{opened[0]}' in line {place.line}, column {place.column} needs a "
            f"'{opened[1]}' before this place"
        )
    return f"not valid YAML: {context + ': ' if context else ''}{problem}"


def _mark(mark: Any) -> Place:
    return Place(1, 1) if mark is None else Place(mark.line + 1, mark.column + 1)


def _place_of(text: str, offset: int) -> Place:
    before = text[:offset]
    return Place(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)


class _TooMuchError(Exception):
    pass


class _Reader:
    """Converts YAML nodes to plain values, and records their places and faults in a document."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._count = 0
        self._characters = 0
        self._open: set[int] = set()

    def read(self, node: Node, path: Path) -> Any:
        self._count += 1
        if self._count > MAX_VALUES:
            raise _TooMuchError(f"found more than {MAX_VALUES} values after expanding aliases")
        if len(path) > _MAX_DEPTH:
            raise _TooMuchError(f"lists and mappings are nested more than {_MAX_DEPTH} levels deep")
        # A missing value has the mark of the text that follows it.  No place is recorded for it, so that its problems
        # are reported at its key.
        if node.value != "":
            self._document.values[path] = _mark(node.start_mark)
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        if id(node) in self._open:
            raise _TooMuchError("found an alias inside the value that it stands for")
        self._open.add(id(node))
        try:
            if isinstance(node, MappingNode):
                return self._mapping(node, path)
            assert isinstance(node, SequenceNode), "the composer builds three kinds of nodes"
            return self._sequence(node, path)
        finally:
            self._open.discard(id(node))

    def _fault(self, node: Node, path: Path, message: str) -> None:
        self._document.faults.append(Fault(_mark(node.start_mark), path, message))

    def _tag(self, node: Node) -> str:
        return str(node.tag or "")

    def _mapping(self, node: MappingNode, path: Path) -> dict[str, Any]:
        self._check_collection(node, path, "map")
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node, path)
            if key is None:
                continue
            here = (*path, key)
            if key in values:
                first = self._document.keys[here]
                self._fault(key_node, here, f"found {show(key)} twice; it is already in line {first.line}")
                continue
            self._document.keys[here] = _mark(key_node.start_mark)
            values[key] = self.read(value_node, here)
        return values

    def _sequence(self, node: SequenceNode, path: Path) -> list[Any]:
        self._check_collection(node, path, "seq")
        return [self.read(child, (*path, index)) for index, child in enumerate(node.value)]

    def _check_collection(self, node: Node, path: Path, kind: str) -> None:
        if self._tag(node) != _CORE + kind:
            self._fault(node, path, f"found the tag {show(self._tag(node))}; expected no tags")

    def _key(self, node: Node, path: Path) -> str | None:
        if not isinstance(node, ScalarNode):
            self._fault(node, path, "found a list or mapping as a key; expected a name")
        elif self._tag(node) == _CORE + "merge":
            self._fault(
                node, path, "found the merge key '<<', which is not part of YAML 1.2; write the fields themselves"
            )
        elif isinstance(text := self._text(node, path), str):
            # A key is always text, as it is written: whether 1 or true is a valid name is checked later.
            return text
        return None

    def _text(self, node: ScalarNode, path: Path) -> str | None:
        text = str(node.value)
        self._characters += len(text)
        if self._characters > MAX_CHARACTERS:
            raise _TooMuchError(f"found more than {MAX_CHARACTERS} characters after expanding aliases")
        if any("\ud800" <= character <= "\udfff" for character in text):
            self._fault(node, path, "found half of a surrogate pair, which is not a valid character")
            return None
        return text

    def _scalar(self, node: ScalarNode, path: Path) -> Any:
        text = self._text(node, path)
        tag = self._tag(node)
        if text is None:
            return None
        match tag.removeprefix(_CORE):
            case "str" | "timestamp" | "value" | "merge":
                return text
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "int" | "float":
                return self._number(node, text, path)
        self._fault(node, path, f"found the tag {show(tag)}; expected no tags")
        return None

    def _number(self, node: ScalarNode, text: str, path: Path) -> int | float | str | None:
        if len(text) > _MAX_DIGITS:
            self._fault(node, path, f"found a number of {len(text)} characters; expected at most {_MAX_DIGITS}")
            return None
        if match := _INT.fullmatch(text):
            base = 8 if match["oct"] else 16 if match["hex"] else 10
            return int(match["sign"] + (match["oct"] or match["hex"] or match["dec"]), base)
        if _FLOAT.fullmatch(text):
            number = float(text)
            if math.isfinite(number):
                return number
            self._fault(node, path, f"found {show(text)}; expected a number that a double can hold")
            return None
        if text.lower().lstrip("+-") in (".inf", ".nan"):
            self._fault(node, path, f"found {show(text)}; expected a number")
            return None
        # ruamel.yaml also takes 1_000 for a number, as in YAML 1.1; in YAML 1.2 it is text.
        return text
