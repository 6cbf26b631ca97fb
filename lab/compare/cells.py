# SPDX-License-Identifier: Apache-2.0
"""The metrics of a run by cell and group of flows, in a form that can be compared with that of other runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.evaluation.repetition import Repetition, repetitions_of
from lab.evaluation.trial import evaluate_trials
from lab.report.model import Report
from lab.report.tables.columns import Column
from lab.report.tables.results import all_columns
from lab.store.run import Run, open_run

Place = tuple[tuple[str, str], ...]
"""Where metrics were measured: (name, value) for each axis of the matrix, then for the flows and their algorithm."""


@dataclass(frozen=True)
class Value:
    """A metric of one repetition."""

    value: float
    seed: int
    digest: str
    """Digest of the trial's raw record: trials with the same digest are equal to the byte."""


@dataclass(frozen=True)
class RunCells:
    """The metrics of a run."""

    run: Run
    values: Mapping[Place, Mapping[str, Mapping[int, Value]]]
    """Place → key of a column of the results table → repetition → value; invalid trials are left out."""
    columns: Mapping[str, Column]
    """The columns of the results by their keys."""
    provenance: Mapping[str, Any]
    plan: Mapping[str, Any]
    left_out: int
    """Number of invalid trials."""

    @property
    def name(self) -> str:
        """The experiment and the id of the run."""
        return f"{self.run.experiment}/{self.run.id}"


def run_cells(path: Path) -> RunCells:
    """Read and evaluate a run.

    Raises:
        InputError: *path* is not a run folder.
        StoreError: A trial is damaged.
    """
    run = open_run(path)
    report = Report(run, evaluate_trials(run, with_curves=False))
    columns = all_columns(report)
    values: dict[Place, dict[str, dict[int, Value]]] = {}
    valid = [result for result in report.done if result.verdict != "invalid"]
    for result in valid:
        cell = tuple((axis.label, axis.text(result.trial.cell.get(axis.path))) for axis in report.axes)
        for group, algorithm, flows in repetitions_of(result, result.metrics):
            place = (*cell, ("flow", group), ("algorithm", algorithm))
            _add(values.setdefault(place, {}), columns, flows)
    by_key = {column.key: column for column in columns}
    return RunCells(run, values, by_key, run.provenance, run.plan, len(report.done) - len(valid))


def _add(values: dict[str, dict[int, Value]], columns: Sequence[Column], flows: Repetition) -> None:
    trial = flows.evaluated.trial
    for column in columns:
        value = column.value(flows)
        if value is not None:
            found = Value(value, trial.identity.seed, trial.record_digest or "")
            values.setdefault(column.key, {})[trial.identity.repetition] = found
