# SPDX-License-Identifier: Apache-2.0
"""The metrics of a run by cell and group of flows, in a form that can be compared with that of other runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lab.evaluation.repetition import Repetition, repetitions_of
from lab.evaluation.trial import evaluate_trials
from lab.report.model import Report
from lab.report.tables.columns import Column
from lab.report.tables.results import all_columns
from lab.store.run import Run, open_run

Place = tuple[tuple[str, str], ...]
"""Where metrics were measured: (name, value) for each axis of the matrix, then for the flows and their algorithm."""

Cell = tuple[tuple[str, str], ...]
"""A cell of the matrix: (name, value) for each axis; the beginning of each :data:`Place` in the cell."""

TrialVerdict = Literal["valid", "invalid", "failed", "missing"]
"""``missing``: the trial is in the plan, but has not been run."""


@dataclass(frozen=True)
class Value:
    """A metric of one repetition."""

    value: float
    seed: int
    digest: str
    """Digest of the trial's raw record: trials with the same digest are equal to the byte."""


@dataclass(frozen=True)
class TrialState:
    """A planned repetition of a cell."""

    seed: int
    digest: str
    """Digest of the raw record; empty if there is none."""
    verdict: TrialVerdict


@dataclass(frozen=True)
class RunCells:
    """The metrics of a run, or those that a file with a baseline keeps of one."""

    run: Run | None
    """None if this comes from a baseline."""
    values: Mapping[Place, Mapping[str, Mapping[int, Value]]]
    """Place → key of a column of the results table → repetition → value; invalid trials are left out."""
    columns: Mapping[str, Column]
    """The columns of the results by their keys."""
    provenance: Mapping[str, Any]
    plan: Mapping[str, Any]
    left_out: int
    """Number of invalid trials."""
    trials: Mapping[Cell, Mapping[int, TrialState]] | None = None
    """Cell → repetition → what is known of the trial; None if only :attr:`values` tell."""
    fields: Mapping[str, Sequence[str]] | None = None
    """Path of a field of the experiment → its values in the cells; None if only :attr:`plan` tells."""
    title: str = ""
    """What messages call this instead of the run's name; for a baseline, its path."""
    origin: str = ""
    """The id of the run that a baseline was made from."""
    of_experiment: str = ""
    """The name of the experiment of a baseline."""
    tolerances: Mapping[str, float] | None = None
    """What a baseline declares: key of a metric, or ``default`` → the relative change that is none."""
    remarks: tuple[str, ...] = ()
    """What readers have to know about a baseline."""

    @property
    def name(self) -> str:
        """The title, or else the experiment and the id of the run."""
        return self.title or ("" if self.run is None else f"{self.run.experiment}/{self.run.id}")

    @property
    def experiment(self) -> str:
        """The name of the experiment."""
        return self.of_experiment if self.run is None else self.run.experiment

    @property
    def is_baseline(self) -> bool:
        """Whether this comes from a file with a baseline."""
        return self.run is None

    def cells(self) -> Mapping[Cell, Mapping[int, TrialState]]:
        """Return the trials of each cell; without :attr:`trials`, those that have values."""
        if self.trials is not None:
            return self.trials
        found: dict[Cell, dict[int, TrialState]] = {}
        for place, metrics in self.values.items():
            own = found.setdefault(place[:-2], {})
            for of_metric in metrics.values():
                own |= {number: TrialState(one.seed, one.digest, "valid") for number, one in of_metric.items()}
        return found


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
    left_out = len(report.done) - len(valid)
    return RunCells(run, values, by_key, run.provenance, run.plan, left_out, _trials(report))


def _trials(report: Report) -> dict[Cell, dict[int, TrialState]]:
    """Return every planned trial."""
    evaluated = {result.trial.id: result for result in report.evaluated}
    values = {cell["id"]: cell["values"] for cell in report.plan.get("cells", [])}
    found: dict[Cell, dict[int, TrialState]] = {}
    for planned in report.plan.get("trials", []):
        of_cell = values.get(planned["cell"], {})
        cell = tuple((axis.label, axis.text(of_cell.get(axis.path))) for axis in report.axes)
        result = evaluated.get(planned["id"])
        verdict: TrialVerdict = "valid"
        if result is None:
            verdict = "missing"
        elif not result.trial.ok:
            verdict = "failed"
        elif result.verdict == "invalid":
            verdict = "invalid"
        digest = "" if result is None else result.trial.record_digest or ""
        found.setdefault(cell, {})[planned["repetition"]] = TrialState(planned["seed"], digest, verdict)
    return found


def _add(values: dict[str, dict[int, Value]], columns: Sequence[Column], flows: Repetition) -> None:
    trial = flows.evaluated.trial
    for column in columns:
        value = column.value(flows)
        if value is not None:
            found = Value(value, trial.identity.seed, trial.record_digest or "")
            values.setdefault(column.key, {})[trial.identity.repetition] = found
