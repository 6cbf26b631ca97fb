# SPDX-License-Identifier: Apache-2.0
"""Group trials by their cell, and count the rows of a collector."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import pyarrow as pa

from lab.evaluation.collected import recorded
from lab.evaluation.connections import UNKNOWN
from lab.report.model import Report
from lab.store.trial import TrialResult

Where = tuple[str, ...]
"""A cell of the experiment: its values on all axes, as text."""


def where(report: Report, trial: TrialResult) -> Where:
    """Return the cell of a trial."""
    return tuple(axis.text(trial.cell.get(axis.path)) for axis in report.axes)


def cells_with(report: Report, collectors: Iterable[str]) -> dict[Where, list[TrialResult]]:
    """Return for each cell the trials that recorded at least one of *collectors*, in the order of the experiment."""
    wanted = list(collectors)
    trials = [item.trial for item in report.done if any(recorded(item.trial, name) for name in wanted)]
    trials.sort(key=lambda trial: [axis.rank(trial.cell.get(axis.path)) for axis in report.axes])
    cells: dict[Where, list[TrialResult]] = {}
    for trial in trials:
        cells.setdefault(where(report, trial), []).append(trial)
    return cells


def first_trials(report: Report, collectors: Iterable[str]) -> dict[Where, TrialResult]:
    """Return for each cell the first repetition that recorded at least one of *collectors*."""
    cells = cells_with(report, collectors)
    return {cell: min(trials, key=lambda trial: trial.identity.repetition) for cell, trials in cells.items()}


def counts(table: pa.Table, columns: Sequence[str]) -> Counter[tuple[str, ...]]:
    """Return how many rows of *table* have each combination of values in *columns*, as text."""
    found: Counter[tuple[str, ...]] = Counter()
    grouped = table.select(list(columns)).group_by(list(columns), use_threads=False).aggregate([([], "count_all")])
    for row in grouped.to_pylist():
        found[tuple(UNKNOWN if row[name] is None else str(row[name]) for name in columns)] += row["count_all"]
    return found
