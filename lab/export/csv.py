# SPDX-License-Identifier: Apache-2.0
"""Export metrics and collectors' tables as CSV (RFC 4180, but with lines that end in LF), with a line of names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv

from lab.errors import InputError
from lab.evaluation.trial import evaluate_trials, run_metrics
from lab.store.run import Run, metrics_table
from lab.store.trial import TrialResult

METRICS = "metrics.csv"


def require(trials: Sequence[TrialResult], collectors: Sequence[str]) -> None:
    """Raise an error if a trial has no table of one of *collectors*.

    Raises:
        InputError: A trial has none; the message has the tables that it has.
    """
    for trial in trials:
        there = [path.stem for path in _tables(trial)]
        for name in collectors:
            if name not in there:
                raise InputError(f"trial {trial.id} has no table {name!r}; expected one of {', '.join(there)}")


def files(
    run: Run, trials: Sequence[TrialResult], collectors: Sequence[str], *, with_metrics: bool
) -> Iterator[tuple[str, bytes]]:
    """Yield the metrics, if they are wanted, and the tables of *collectors*, or all tables, of each trial."""
    if with_metrics:
        yield METRICS, _csv(_metrics(run))
    for trial in trials:
        for name in dict.fromkeys(collectors) or [path.stem for path in _tables(trial)]:
            yield f"{trial.id}.{name}.csv", _csv(trial.collected(name))


def _metrics(run: Run) -> pa.Table:
    """Return the metrics of a run; of one that was interrupted before they were stored, they are computed."""
    if (run.path / "metrics.parquet").exists():
        return run.metrics_table()
    return metrics_table(*run_metrics(run, evaluate_trials(run, with_curves=False)))


def _tables(trial: TrialResult) -> list[Path]:
    return sorted(path for path in trial.path.glob("*.parquet") if not path.name.startswith("."))


def _csv(table: pa.Table) -> bytes:
    """Return a table as CSV; what is null is empty, and raw bytes are in hexadecimal."""
    columns = [_writable(table.column(name)) for name in table.column_names]
    buffer = pa.BufferOutputStream()
    options = pa_csv.WriteOptions(quoting_style="needed")
    pa_csv.write_csv(pa.table(columns, names=table.column_names), buffer, options)
    found: bytes = buffer.getvalue().to_pybytes()
    return found


def _writable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        return column.cast(column.type.value_type)
    if pa.types.is_fixed_size_binary(column.type) or pa.types.is_binary(column.type):
        return pa.chunked_array([[None if raw is None else raw.hex() for raw in column.to_pylist()]], pa.string())
    return column
