# SPDX-License-Identifier: Apache-2.0
"""Word the problems of an experiment: the field's path, what was found, what is allowed, and the nearest valid name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from lab.errors import SpecError
from lab.experiment.schema.experiment import Experiment
from lab.experiment.schema.fields import Path, fields_at, tags_of, type_at
from lab.experiment.schema.types import PATTERN_MEANINGS
from lab.units import show

__all__ = ["InvalidExperimentError", "Problem", "nearest", "path_text", "problems_of", "unknown"]

_SHOWN_NAMES = 24

# Names that other tools and papers use → the name of our field.
_OTHER_WORDS = {
    "algorithm": "cc",
    "bandwidth": "rate",
    "buffer": "queue",
    "bw": "rate",
    "collectors": "collect",
    "congestion": "cc",
    "congestion_control": "cc",
    "destination": "to",
    "dst": "to",
    "latency": "delay",
    "packet_loss": "loss",
    "qdisc": "discipline",
    "repetitions": "repeat",
    "runs": "repeat",
    "size": "limit",
    "source": "from",
    "src": "from",
    "tcp_ecn": "ecn",
    "time": "duration",
    "type": "kind",
}


RENAMED = {"probe": "tcp_probe", "trace": "capacity"}
"""Names of fields and collectors in earlier versions → their present names."""


@dataclass(frozen=True)
class Problem:
    """One problem of an experiment document."""

    path: Path
    """The path of the field that has the problem; empty for the document itself."""
    message: str
    at: Literal["key", "value"] = "value"
    """Whether the reported line and column are those of the field's name (``key``) or of its value (``value``)."""
    child: str | None = None
    """If given, the reported line and column are those of this name in the mapping at ``path``."""

    def __str__(self) -> str:
        return f"{path_text(self.path)}: {self.message}" if self.path else self.message


class InvalidExperimentError(SpecError):
    """An experiment document is invalid; the message has one line for each problem, without file and line number."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


def path_text(path: Path) -> str:
    """Return a path as text, such as ``topology.bottleneck.rate`` or ``matrix.flows.bulk.cc[1]``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            name = part if part.isprintable() and len(part) <= 80 else show(part, 80)
            text += f".{name}" if text else name
    return text


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return the one of ``names`` that the user probably meant by ``name``; None if there is none."""
    candidates = {known: known for known in names}
    candidates |= {other: known for other, known in _OTHER_WORDS.items() if known in candidates}
    # The comparison is quadratic in the length of the text, and a longer text is hardly a typing error.
    written = _bare(name[:80])
    close = [
        (edits, number, one) for number, one in enumerate(candidates) if (edits := _apart(written, _bare(one))) >= 0
    ]
    return candidates[min(close)[2]] if close else None


def _apart(written: str, known: str) -> int:
    """Return by how many letters two names differ; -1 if they are too different to be meant for each other.

    A name with more than a third of its letters wrong is another name: police is no duplicate, and dscp no src.
    """
    edits, shorter = _edits(written, known), min(len(written), len(known))
    is_part = shorter >= 4 and (written in known or known in written)
    most = max(shorter // 3, 1 if written[:1] == known[:1] else 0)
    return edits if is_part or edits <= most else -1


def _bare(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "").replace(" ", "")


def _edits(first: str, second: str) -> int:
    """Return how many letters must be inserted, removed, replaced or exchanged with the next one to get from one text
    to the other: the distance of Damerau and Levenshtein, in its restricted form (optimal string alignment)."""
    before: list[int] = []
    row = list(range(len(second) + 1))
    for at, letter in enumerate(first, 1):
        older, before, row = before, row, [at]
        for to, other in enumerate(second, 1):
            edits = min(before[to] + 1, row[to - 1] + 1, before[to - 1] + (letter != other))
            if at > 1 and to > 1 and letter == second[to - 2] and first[at - 2] == other:
                edits = min(edits, older[to - 2] + 1)
            row.append(edits)
    return row[-1]


def unknown(what: str, name: str, names: Sequence[str], *, plural: str) -> str:
    """Return a message such as ``unknown field 'x'; did you mean 'y'? (fields: …)``."""
    if (present := RENAMED.get(name)) in names:
        return f"{what} {show(name)} has been renamed: write '{present}'"
    close = nearest(name, names)
    meant = f"; did you mean '{close}'?" if close else ""
    listed = ", ".join(names[:_SHOWN_NAMES]) + (", …" if len(names) > _SHOWN_NAMES else "")
    return f"unknown {what} {show(name)}{meant} ({plural}: {listed or 'none'})"


def problems_of(error: ValidationError, document: Any, root: type[BaseModel] = Experiment) -> list[Problem]:
    """Return the problems that pydantic found in ``document``, which is of the model *root*, worded for users."""
    found: dict[Problem, None] = {}
    for details in error.errors(include_url=False):
        found.setdefault(_problem(details, document, root))
    return list(found)


def _problem(details: ErrorDetails, document: Any, root: type[BaseModel]) -> Problem:
    path = _existing(details["loc"], document, root)
    match details["type"]:
        case "missing":
            name = str(path[-1])
            return Problem(path[:-1], f"'{name}' is missing ({_described(path, document, root)})", "key")
        case "extra_forbidden":
            fields = fields_at(path[:-1], document, root) or {}
            name = str(path[-1])
            elsewhere = [below for below in fields if name in (fields_at((*path[:-1], below), document, root) or {})]
            if elsewhere:
                homes = " or ".join(path_text((*path[:-1], below)) for below in reversed(elsewhere))
                message = f"unknown field {show(name)}; it is a field of {homes}: write it there"
                return Problem(path[:-1], message, child=name)
            message = unknown("field", name, list(fields), plural="fields")
            if path[0] == "expect" and any(sign in name for sign in "()=<>"):
                # YAML has cut a condition at one of its commas.
                message += "; put the condition in quotes, because a comma ends a value between { and }"
            return Problem(path[:-1], message, child=name)
        case "union_tag_not_found":
            name = details["ctx"]["discriminator"].strip("'")
            if not isinstance(details["input"], Mapping):
                return Problem(path, f"found {show(details['input'])}; expected a mapping with '{name}:'")
            tags = sorted(tags_of(type_at(path, document, root)))
            return Problem(path, f"'{name}' is missing (one of {', '.join(tags)})", "key")
        case "union_tag_invalid":
            name, tag = details["ctx"]["discriminator"].strip("'"), details["ctx"]["tag"]
            tags = _quoted(details["ctx"]["expected_tags"])
            close = nearest(str(tag), tags)
            meant = f"; did you mean '{close}'?" if close else ""
            return Problem((*path, name), f"found {show(tag)}; expected one of {', '.join(tags)}{meant}")
        case "value_error":
            # The text comes from one of our own parsers and already says what was found and what is allowed.
            return Problem(path, str(details["ctx"]["error"]) + _instead(path, details))
    if details["loc"][-1:] == ("[key]",):
        return Problem(path, f"{show(path[-1])} is not a usable name; {_expected(details)}", "key")
    return Problem(path, f"found {show(details['input'])}; {_expected(details)}{_instead(path, details)}")


_LISTS = {
    ("flows",): "'flows: {bulk: {from: s1, to: d1}}', in which bulk is the name of a flow",
    ("probes",): "'probes: {ping: {from: s1, to: d1}}', in which ping is the name of a probe",
    ("collect",): "'collect: {tcp_probe: {}, queue: {}}'",
}
"""Path of a field → what to write instead of a list."""
_MAPPINGS = ("dict_type", "model_type", "model_attributes_type")


def _instead(path: Path, details: ErrorDetails) -> str:
    """Return what to write instead of a list of values, if that is what was found."""
    if not isinstance(details["input"], list) or details["type"] in ("too_short", "too_long"):
        return ""
    if details["type"] in _MAPPINGS:
        return f", such as {_LISTS[path]}" if path in _LISTS else ""
    values = details["input"]
    if path[:1] == ("matrix",) or not values or not all(isinstance(value, str | int | float) for value in values):
        return ""
    shown = ", ".join(map(str, values[:3])) + (", …" if len(values) > 3 else "")
    return f"; to compare several values, write 'matrix: {{{path_text(path)}: [{shown}]}}'"[:200]


def _existing(loc: tuple[int | str, ...], document: Any, root: type[BaseModel]) -> Path:
    """Return ``loc`` without the parts that pydantic adds to it (``[key]`` and the members of a union)."""
    path: list[int | str] = []
    value = document
    for part in loc:
        if isinstance(value, Mapping) and part not in value and part in tags_of(type_at(tuple(path), document, root)):
            continue
        if isinstance(value, Mapping) and (part in value or part != "[key]"):
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            break
        path.append(part)
    return tuple(path)


def _described(path: Path, document: Any, root: type[BaseModel]) -> str:
    field = (fields_at(path[:-1], document, root) or {}).get(str(path[-1]))
    if field is None or not field.description:
        return "a value"
    return field.description.rstrip(".") + _example(field)


def _example(field: FieldInfo) -> str:
    for extra in field.metadata:
        schema = getattr(extra, "json_schema", None)
        if isinstance(schema, dict) and schema.get("examples"):
            return f", such as {schema['examples'][0]}"
    return ""


_KINDS = {
    "string_type": "text",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "float_type": "a number",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "list_type": "a list, such as [a, b]",
    "int_from_float": "a whole number",
}


def _expected(details: ErrorDetails) -> str:
    kind, context = details["type"], details.get("ctx", {})
    if kind in _KINDS:
        hint = "; quote it" if kind == "string_type" and type(details["input"]) in (int, float, bool) else ""
        return f"expected {_KINDS[kind]}{hint}"
    match kind:
        case "literal_error":
            close = nearest(details["input"], _quoted(context["expected"])) if _is_text(details["input"]) else None
            close = close if len(_quoted(context["expected"])) > 1 else None
            return f"expected {context['expected']}" + (f"; did you mean '{close}'?" if close else "")
        case "string_pattern_mismatch":
            return f"expected {PATTERN_MEANINGS[context['pattern']]}"
        case "greater_than_equal":
            return f"expected at least {context['ge']}"
        case "greater_than":
            return f"expected more than {context['gt']:g}"
        case "less_than_equal":
            return f"expected at most {context['le']}"
        case "too_short":
            return f"expected at least {context['min_length']}"
    return f"expected another value: {details['msg']}"


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _quoted(expected: str) -> list[str]:
    return expected.split("'")[1::2]
