# SPDX-License-Identifier: Apache-2.0
"""What differs between two runs beside their results: kernel, image, agent, versions, and fields of the experiment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lab.compare.cells import RunCells

_NOT_INPUTS = frozenset({
    "command", "overrides", "notes", "started", "status", "wall_seconds", "jobs", "trials", "files", "results_digest",
})  # fmt: skip
"""Keys of ``provenance.json`` that say how the run went, and not what its results depend on."""
_NOT_COMPARED = frozenset({"name", "title", "description", "expect", "report"})
"""Fields of an experiment on which results do not depend."""


@dataclass(frozen=True)
class InputDifference:
    """A property or field that has another value in the second run."""

    name: str
    first: str
    second: str
    """Empty, as ``first`` is, if the run does not have it."""


def input_differences(first: RunCells, second: RunCells) -> tuple[list[InputDifference], list[str]]:
    """Return what differs, and the names of the properties that are the same in both runs."""
    one, other = (
        {key: str(value) for key, value in run.provenance.items() if key not in _NOT_INPUTS} for run in (first, second)
    )
    names = dict.fromkeys([*one, *other])
    differing = [
        InputDifference(name, one.get(name, ""), other.get(name, ""))
        for name in names
        if one.get(name) != other.get(name)
    ]
    same = [name for name in names if one.get(name) == other.get(name)]
    fields = [_fields(run.plan) for run in (first, second)]
    differing += [
        InputDifference(name, ", ".join(fields[0].get(name, {})), ", ".join(fields[1].get(name, {})))
        for name in dict.fromkeys([*fields[0], *fields[1]])
        if fields[0].get(name, {}).keys() != fields[1].get(name, {}).keys()
    ]
    return differing, same


def _fields(plan: Mapping[str, Any]) -> dict[str, dict[str, None]]:
    """Return path of a field → the values that it has in the cells, in their order."""
    found: dict[str, dict[str, None]] = {}
    for cell in plan.get("cells", []):
        for path, value in _flat(cell.get("experiment", {})):
            if path.partition(".")[0] not in _NOT_COMPARED:
                found.setdefault(path, {})[value] = None
    return found


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value:
        for number, item in enumerate(value):
            yield from _flat(item, f"{path}[{number}]")
    else:
        yield path, str(value)
