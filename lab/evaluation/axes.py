# SPDX-License-Identifier: Apache-2.0
"""The axes of an experiment's matrix, and which of them a figure can put where."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lab.analysis.metrics import FlowMetrics
from lab.store.trial import TrialResult
from lab.units import value_text


@dataclass(frozen=True)
class RunAxis:
    """One varied field of the experiment."""

    path: str
    """As in the matrix: ``flows.bulk.cc``."""
    label: str
    """Short, and unique in the experiment: ``cc``."""
    values: tuple[Any, ...]
    """As written, in the order of the experiment."""

    def text(self, value: Any) -> str:
        """Return a value of this axis as text."""
        return value_text(value)

    def rank(self, value: Any) -> int:
        """Return the value's place on the axis."""
        keys = [_key(known) for known in self.values]
        return keys.index(_key(value)) if _key(value) in keys else len(keys)

    def rank_of_text(self, text: str) -> int:
        """Return the place on the axis of the value with this text."""
        texts = [self.text(known) for known in self.values]
        return texts.index(text) if text in texts else len(texts)


@dataclass(frozen=True)
class Quantity:
    """A number that a cell's value stands for, and how to draw it."""

    name: str
    read: Callable[[FlowMetrics], float | None]
    """In the unit of ``label``."""
    label: str
    logarithmic: bool


QUANTITIES = (
    Quantity("loss", lambda row: row.declared_loss * 100, "Random loss (%)", True),
    Quantity("rtt", lambda row: row.declared_rtt_us / 1000, "Declared round-trip time (ms)", False),
    Quantity("rate", lambda row: row.bottleneck_bps / 1e6 if row.bottleneck_bps else None, "Link rate (Mbit/s)", True),
    Quantity("queue", lambda row: row.queue_bytes / 1e3 if row.queue_bytes else None, "Queue limit (kB)", True),
)
"""What an axis may turn out to vary, in order of preference for the x-axis of the comparison."""


def axes_of(plan: Mapping[str, Any], trials: Sequence[TrialResult]) -> list[RunAxis]:
    """Return the plan's axes; where it names none, those that the trials' cells have."""
    declared = plan.get("axes")
    if isinstance(declared, list) and declared:
        return [RunAxis(axis["path"], axis.get("label", axis["path"]), tuple(axis["values"])) for axis in declared]
    values: dict[str, dict[str, Any]] = {}
    for trial in trials:
        for path, value in trial.cell.items():
            values.setdefault(path, {}).setdefault(_key(value), value)
    return [RunAxis(path, path, tuple(found.values())) for path, found in values.items()]


def algorithm_axis(axes: Sequence[RunAxis], trials: Sequence[TrialResult]) -> RunAxis | None:
    """Return the axis that varies the congestion control of all flows, if there is one."""
    jobs = [(trial.cell, trial.job["flows"]) for trial in trials if trial.job]
    for axis in axes:
        if jobs and all(
            {flow["congestion_control"] for flow in flows} == _text(cell.get(axis.path)) for cell, flows in jobs
        ):
            return axis
    return None


def numeric_axis(
    axes: Sequence[RunAxis], rows: Sequence[tuple[Mapping[str, Any], FlowMetrics]]
) -> tuple[RunAxis, Quantity] | None:
    """Return the axis that stands for a number, and for which: each value for one, and not all for the same."""
    for quantity in QUANTITIES:
        for axis in axes:
            numbers: dict[str, set[float | None]] = {}
            for cell, metrics in rows:
                numbers.setdefault(_key(cell.get(axis.path)), set()).add(quantity.read(metrics))
            single = [next(iter(found)) for found in numbers.values() if len(found) == 1]
            if len(single) == len(numbers) > 1 and None not in single and len(set(single)) == len(single):
                return axis, quantity
    return None


def _key(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _text(value: Any) -> set[str]:
    """Return the value alone in a set if it is a text, else nothing."""
    return {value} if isinstance(value, str) else set()
