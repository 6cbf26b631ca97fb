# SPDX-License-Identifier: Apache-2.0
"""Read the YAML files that students hand in: experiments, in which they may change certain fields, and answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lab.errors import SpecError
from lab.experiment.check.problems import Problem, path_text
from lab.experiment.read.document import parse_yaml
from lab.experiment.read.files import decoded
from lab.experiment.read.load import EXTENDS, Source
from lab.units import show

__all__ = ["answers_in", "overrides_in"]

_FREE = (EXTENDS, "name", "title", "description")
"""Fields that students may write and that have no effect on a scenario."""

_MOST_ANSWER = 20_000
"""The longest answer, in characters."""


def overrides_in(name: str, data: bytes, may_change: Sequence[str]) -> list[str]:
    """Return the fields that an experiment of a student sets, as overrides (``PATH=VALUE``) for the scenarios.

    Raises:
        SpecError: It is no mapping, or it sets a field that is not below one of *may_change*; the message has file,
        line,
            column and field.
    """
    source = _source(name, data)
    found = []
    for path, value in _set_fields(source.root, (), may_change):
        if ".".join(path) not in may_change:
            if path[0] not in _FREE:
                message = f"found a field that may not be changed; expected only {', '.join(may_change)}"
                source.lines.append((source.place(Problem(path, "", "key")), f"{path_text(path)}: {message}"))
            continue
        if (outside := _leads_out(value)) is not None:
            message = f"found {show(outside)}; expected no path that leads out of the submission"
            source.lines.append((source.place(Problem(path, "")), f"{path_text(path)}: {message}"))
            continue
        found.append(f"{'.'.join(path)}={json.dumps(value, ensure_ascii=False)}")
    source.stop_at_faults()
    return found


def _set_fields(part: Any, path: tuple[str, ...], allowed: Sequence[str]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the paths at which a document sets something: whole values where they may be set, and else single ones.

    The axes of a matrix are keys with dots.
    """
    if isinstance(part, dict) and part and ".".join(path) not in allowed:
        for name, value in part.items():
            yield from _set_fields(value, (*path, name), allowed)
    elif path:
        yield path, part


def _leads_out(value: Any) -> str | None:
    """Return a text in *value* that is a path to somewhere else; None if there is none.

    Experiments name files, whose lines end up in messages if they are not what they should be.
    """
    if isinstance(value, dict | list):
        inside = value.values() if isinstance(value, dict) else value
        return next((found for one in inside if (found := _leads_out(one)) is not None), None)
    is_path = isinstance(value, str) and (value.startswith(("/", "~")) or ".." in value.split("/"))
    return value if is_path else None


def answers_in(name: str, data: bytes) -> dict[str, str]:
    """Return the answers in a file of a student: name → text.

    Raises:
        SpecError: It is no mapping from names to single values; the message has file, line, column and field.
    """
    source = _source(name, data)
    found: dict[str, str] = {}
    for key, value in source.root.items():
        if value is None or value == "":
            continue
        if isinstance(value, dict | list):
            problem = Problem((key,), f"found {show(value)}; expected a single value, such as 120ms")
            source.lines.append((source.place(problem), str(problem)))
            continue
        text = {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)
        if len(text) > _MOST_ANSWER:
            problem = Problem((key,), f"found {len(text)} characters; expected at most {_MOST_ANSWER}")
            source.lines.append((source.place(problem), str(problem)))
        found[key] = text
    source.stop_at_faults()
    return found


def _source(name: str, data: bytes) -> Source:
    path = Path(name)
    source = Source(path, parse_yaml(decoded(path, data)))
    source.stop_at_faults()
    if not isinstance(source.root, dict):
        raise SpecError(f"{name}:1:1: found {show(source.root)}; expected a mapping from names to values")
    return source
