# SPDX-License-Identifier: Apache-2.0
"""Lay out an assignment's files with those of a submission in the place of the starter's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from lab.experiment.check.known import Lookup
from lab.experiment.read.load import LoadedExperiment, load_experiment
from lab.grade.assignment.read import Loaded
from lab.grade.assignment.schema import Scenario
from lab.grade.submission.changes import overrides_in
from lab.store.files import writing

__all__ = ["lay_out", "load_scenario", "scenario_overrides"]


def lay_out(loaded: Loaded, files: Mapping[str, bytes], folder: Path) -> None:
    """Write the assignment to the empty *folder*, with *files* (name → content) in the place of the starter's.

    Files of the starter that a submission does not have are left out, so that nothing of it is graded.

    Raises:
        StoreError: They cannot be written.
    """
    asked = loaded.assignment.submission
    contents = {name: data for name, data in loaded.files.items() if name not in asked}
    contents |= {name: data for name, data in files.items() if name in asked}
    with writing(folder):
        for name, data in contents.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


def scenario_overrides(loaded: Loaded, scenario: Scenario, files: Mapping[str, bytes]) -> list[str]:
    """Return the overrides with which a scenario is run for a submission with these files.

    Raises:
        SpecError: The submission sets a field that it may not.
    """
    found = [f"{path}={_written(value)}" for path, value in scenario.overrides.items()]
    if not scenario.changeable:
        return found
    for name, handed in loaded.assignment.submission.items():
        if handed.kind == "experiment" and name in files:
            found += overrides_in(name, files[name], handed.may_change)
    return found


def load_scenario(
    folder: Path, scenario: Scenario, overrides: list[str], lookup: Lookup | None = None
) -> LoadedExperiment:
    """Return the experiment of a scenario in the folder of :func:`lay_out`.

    Raises:
        SpecError: It has problems, maybe because of what the submission is.
    """
    return load_experiment(folder / scenario.file, overrides, lookup)


def _written(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
