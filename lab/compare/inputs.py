# SPDX-License-Identifier: Apache-2.0
"""What differs between two runs beside their results: kernel, image, agent, versions, and fields of the experiment."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lab.compare.cells import RunCells
from lab.job import kernels
from lab.names import KERNEL_VERSION, kernel_and_version

_NOT_INPUTS = frozenset({
    "command", "overrides", "notes", "started", "status", "wall_seconds", "jobs", "trials", "files", "results_digest",
    # Its parts are compared one by one.
    "bundles", "bundle_digest",
})  # fmt: skip
"""Keys of ``provenance.json`` that say how the run went, and not what its results depend on."""
_NOT_COMPARED = frozenset({"name", "title", "description", "expect", "report"})
"""Fields of an experiment on which results do not depend."""
_WORDS = {
    "agent_digest": "agent", "bpf_digest": "BPF programs", "emulator_digest": "files of QEMU", "image_digest": "image",
    "lab_version": "version of lab",
    "lockstep_digest": "library for QEMU", "machine_digest": "settings of the machine", "python": "Python",
    "qemu_version": "QEMU", "uml_kernel_digest": "kernel of User-mode Linux",
}  # fmt: skip
"""Key of ``provenance.json`` → what people call it."""


@dataclass(frozen=True)
class InputDifference:
    """A property or field that has another value in the second run."""

    name: str
    first: str
    second: str
    """Empty, as ``first`` is, if the run does not have it."""
    is_field: bool = False
    """Whether it is a field of the experiment."""


def input_differences(first: RunCells, second: RunCells) -> tuple[list[InputDifference], list[str]]:
    """Return what differs, and the names of the properties that are the same in both runs."""
    one, other = (environment(run.provenance) for run in (first, second))
    names = dict.fromkeys([*one, *other])
    differing = [
        InputDifference(name, one.get(name, ""), other.get(name, ""))
        for name in names
        if one.get(name) != other.get(name)
    ]
    same = [name for name in names if one.get(name) == other.get(name)]
    fields = [fields_of(run) for run in (first, second)]
    differing += [
        InputDifference(name, ", ".join(fields[0].get(name, ())), ", ".join(fields[1].get(name, ())), is_field=True)
        for name in dict.fromkeys([*fields[0], *fields[1]])
        if set(fields[0].get(name, ())) != set(fields[1].get(name, ()))
    ]
    return differing, same


def environment(provenance: Mapping[str, Any]) -> dict[str, str]:
    """Return the part of the provenance on which results depend, as texts."""
    return {key: str(value) for key, value in provenance.items() if key not in _NOT_INPUTS}


def fields_of(run: RunCells) -> Mapping[str, Sequence[str]]:
    """Return path of a field of the experiment → the values that it has in the cells, in their order."""
    if run.fields is not None:
        return run.fields
    found: dict[str, dict[str, None]] = {}
    for cell in run.plan.get("cells", []):
        for path, value in _flat(cell.get("experiment", {})):
            if path.partition(".")[0] not in _NOT_COMPARED:
                found.setdefault(path, {})[value] = None
    return {path: list(values) for path, values in found.items()}


def old_kernel(first: RunCells, second: RunCells) -> str | None:
    """Return how an experiment asks for the kernel of the first run, if the second ran on another one of Debian.

    None if the runs have the same kernel, or several, or if it is no kernel of Debian in a virtual machine.
    """
    old, new = (str(run.provenance.get("kernel", "")) for run in (first, second))
    if old == new or not re.fullmatch(KERNEL_VERSION, old) or second.provenance.get("engine") != "vm":
        return None
    asked = list(fields_of(first).get("kernel", [kernels.DEFAULT]))
    name, _version = kernel_and_version(asked[0])
    return f"{name}={old}" if len(asked) == 1 and name in kernels.DEBIAN else None


def causes(first: RunCells, second: RunCells) -> tuple[list[str], list[str]]:
    """Return in words what has changed of that on which results depend, and what has not."""
    differing, same = input_differences(first, second)
    changed = dict.fromkeys(_WORDS.get(item.name, item.name) for item in differing if not item.is_field)
    others = [name for name in dict.fromkeys(_WORDS.get(name, name) for name in same) if name not in changed]
    if any(item.is_field for item in differing):
        changed["experiment"] = None
    else:
        others.append("experiment")
    return list(changed), others


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value:
        for number, item in enumerate(value):
            yield from _flat(item, f"{path}[{number}]")
    else:
        yield path, str(value)
