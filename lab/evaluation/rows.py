# SPDX-License-Identifier: Apache-2.0
"""The rows and columns of ``metrics.parquet``: one row per flow, group of short flows or probe, and trial."""

from __future__ import annotations

import types
import typing
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

import pyarrow as pa

from lab.analysis.checks.check import Verdict
from lab.analysis.metrics import FlowMetrics, ProbeMetrics
from lab.analysis.metrics.probe import Latency
from lab.evaluation.axes import RunAxis
from lab.store.trial import TrialIdentity

IDENTITY = {"trial": pa.string(), "repetition": pa.int64(), "seed": pa.int64(), "verdict": pa.string()}
"""The columns that say which trial a row belongs to, and their types."""

VALUE = "_value"
"""What is put behind the name of an axis's column to name that of its values as numbers."""


def metric_rows(
    identity: TrialIdentity,
    verdict: Verdict | None,
    flows: Sequence[FlowMetrics],
    probes: Sequence[ProbeMetrics],
    axes: Sequence[RunAxis],
) -> list[dict[str, Any]]:
    """Return a trial's rows of ``metrics.parquet``: its flows', and then its probes'."""
    of_trial: dict[str, Any] = {
        "trial": identity.id, "repetition": identity.repetition, "seed": identity.seed, "verdict": verdict,
    }  # fmt: skip
    for axis in axes:
        value = identity.cell.get(axis.path)
        of_trial[column_of(axis)] = axis.text(value)
        if axis.unit is not None:
            of_trial[column_of(axis) + VALUE] = axis.number(value)
    return [{**of_trial, **asdict(flow)} for flow in flows] + [{**of_trial, **_of_probe(probe)} for probe in probes]


def metric_schema(axes: Sequence[RunAxis]) -> pa.Schema:
    """Return the names and types of the columns of ``metrics.parquet``; the numbers of axes have their unit."""
    columns = [pa.field(name, kind) for name, kind in IDENTITY.items()]
    for axis in axes:
        columns.append(pa.field(column_of(axis), pa.string()))
        if axis.unit is not None:
            columns.append(pa.field(column_of(axis) + VALUE, pa.float64(), metadata={"unit": axis.unit}))
    for family in (FlowMetrics, Latency):
        hints = typing.get_type_hints(family)
        columns += [pa.field(item.name, _arrow_type(hints[item.name])) for item in fields(family)]
    return pa.schema(columns)


def column_of(axis: RunAxis) -> str:
    """Return the name of the column with an axis's values as text."""
    taken = {item.name for family in (FlowMetrics, Latency) for item in fields(family)} | set(IDENTITY)
    return f"axis_{axis.label}" if axis.label in taken else axis.label


def _of_probe(probe: ProbeMetrics) -> dict[str, Any]:
    """Return the row of a probe: its name stands where that of a flow does, and what only flows have is left out."""
    row = asdict(probe)
    name = row.pop("name")
    return {"kind": "probe", "flow": name, "group": name, **row}


def _arrow_type(hint: Any) -> pa.DataType:
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    return {str: pa.string(), int: pa.int64(), float: pa.float64()}[kinds[0]]
