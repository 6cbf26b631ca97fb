# SPDX-License-Identifier: Apache-2.0
"""The axes of an experiment's matrix, and which of them a figure can use as its x-axis or for its colours."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lab.analysis.metrics import FlowMetrics
from lab.store.trial import TrialResult
from lab.units import format_percent, parse_probability, quantity, value_text


@dataclass(frozen=True)
class RunAxis:
    """One field of the experiment that the matrix varies."""

    path: str
    """Path of the field, as in the matrix: ``flows.bulk.cc``."""
    label: str
    """Short name that no other axis of the experiment has: ``cc``."""
    values: tuple[Any, ...]
    """The values as the experiment file has them, in its order."""

    def text(self, value: Any) -> str:
        """Return a value of this axis as text."""
        return value_text(value)

    @cached_property
    def unit(self) -> str | None:
        """The unit that the numbers of all values have in common; None if a value is no number, or units differ.

        It is one of those of :func:`lab.units.quantity`; values such as ``1bdp`` and ``100p`` are not comparable.
        """
        found = [quantity(value) for value in self.values]
        units = {one[1] if one is not None else None for one in found}
        return units.pop() if len(units) == 1 else None

    def number(self, value: Any) -> float | None:
        """Return a value of this axis as a number in :attr:`unit`; None if it is none."""
        found = quantity(value)
        return found[0] if found is not None and found[1] == self.unit else None

    def rank(self, value: Any) -> int:
        """Return the position of a value on the axis; unknown values come last."""
        keys = [_key(known) for known in self.values]
        return keys.index(_key(value)) if _key(value) in keys else len(keys)

    def rank_of_text(self, text: str) -> int:
        """Return the position on the axis of the value with this text; unknown texts come last."""
        texts = [self.text(known) for known in self.values]
        return texts.index(text) if text in texts else len(texts)


def value_label(axis: RunAxis, value: Any) -> str:
    """Return a value of *axis* as a reader understands it without the experiment file.

    Losses in bursts (netem's ``gemodel``) are named by their mean rate and the mean length of a burst; other values
    keep their text.
    """
    if isinstance(value, Mapping) and value.get("model") == "gemodel":
        try:
            enter, leave = parse_probability(value.get("p")), parse_probability(value.get("r"))
            bad, good = (
                parse_probability(value.get(name, other)) for name, other in (("bad_loss", 1), ("good_loss", 0))
            )
        except ValueError:
            return axis.text(value)
        mean = (enter * bad + leave * good) / (enter + leave)
        return f"{format_percent(mean, 2)} in bursts of {bad / leave:.2g}"
    return axis.text(value)


@dataclass(frozen=True)
class Quantity:
    """A number that an axis of the matrix may vary, and how a figure shows it on its x-axis."""

    name: str
    read: Callable[[FlowMetrics], float | None]
    """Function that returns the number for a flow, in the unit that ``label`` names."""
    label: str
    """Label of the x-axis."""
    logarithmic: bool
    """Whether the scale is logarithmic if the values differ enough."""


QUANTITIES = (
    Quantity("loss", lambda row: row.declared_loss * 100, "Random loss (%)", True),
    Quantity("rtt", lambda row: row.declared_rtt_us / 1000, "Declared base RTT (ms)", False),
    Quantity("rate", lambda row: row.bottleneck_bps / 1e6 if row.bottleneck_bps else None, "Link rate (Mbit/s)", True),
    Quantity("queue", lambda row: row.queue_bytes / 1e3 if row.queue_bytes else None, "Queue limit (kB)", True),
)
"""The numbers that the x-axis of the comparison can show, most preferred first."""


def axes_of(plan: Mapping[str, Any], trials: Sequence[TrialResult]) -> list[RunAxis]:
    """Return the axes that the plan names; if it names none, the axes that the trials' cells have."""
    declared = plan.get("axes")
    if isinstance(declared, list) and declared:
        return [RunAxis(axis["path"], axis.get("label", axis["path"]), tuple(axis["values"])) for axis in declared]
    values: dict[str, dict[str, Any]] = {}
    for trial in trials:
        for path, value in trial.cell.items():
            values.setdefault(path, {}).setdefault(_key(value), value)
    return [RunAxis(path, path, tuple(found.values())) for path, found in values.items()]


def algorithm_axis(axes: Sequence[RunAxis], trials: Sequence[TrialResult]) -> RunAxis | None:
    """Return the axis whose value is the congestion control of all flows; None if there is no such axis."""
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
    """Return an axis that varies one of :data:`QUANTITIES`, and that quantity; None if there is no such axis.

    Each value of the axis must stand for exactly one number, and different values for different numbers.
    """
    for known in QUANTITIES:
        for axis in axes:
            numbers: dict[str, set[float | None]] = {}
            for cell, metrics in rows:
                numbers.setdefault(_key(cell.get(axis.path)), set()).add(known.read(metrics))
            single = [next(iter(found)) for found in numbers.values() if len(found) == 1]
            if len(single) == len(numbers) > 1 and None not in single and len(set(single)) == len(single):
                return axis, known
    return None


def _key(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _text(value: Any) -> set[str]:
    """Return a set that contains only *value* if it is a string, else the empty set."""
    return {value} if isinstance(value, str) else set()
