# SPDX-License-Identifier: Apache-2.0
"""The axes of the matrix as x-axes of figures: which of them stand for numbers, in the unit of the experiment file."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lab.evaluation.axes import RunAxis
from lab.units import parse_duration, parse_probability, parse_rate, parse_size

LEAST_VALUES = 3
"""An axis with fewer values than this does not become the x-axis of a figure by itself: two points make no curve."""
LOGARITHMIC = {"BDP": 4.0}
"""Unit → how many times the smallest number the largest one must be for a logarithmic axis."""
LOGARITHMIC_OTHERS = 8.0

_NUMBER = re.compile(r"\s*([0-9.]+(?:[eE][-+]?[0-9]+)?)\s*([A-Za-z/%]*)\s*")
_NAMES = {"loss": "loss", "rate": "rate", "delay": "delay", "rtt": "rtt", "limit": "queue", "count": "flows"}
"""Last part of a path → the name of the axis in the names of files, most preferred first."""


@dataclass(frozen=True)
class NumberAxis:
    """An axis of the matrix whose values are numbers of the same unit."""

    axis: RunAxis
    name: str
    """Name of the axis in the names of files, such as ``loss``."""
    label: str
    """Label of the x-axis with the unit, such as ``Queue limit (BDP)``."""
    unit: str
    numbers: tuple[float, ...]
    """The number of each value of the axis, in the order of the experiment."""

    @property
    def logarithmic(self) -> bool:
        """Whether the numbers differ enough for a logarithmic scale."""
        positive = [number for number in self.numbers if number > 0]
        least = LOGARITHMIC.get(self.unit, LOGARITHMIC_OTHERS)
        return bool(positive) and max(positive) >= least * min(positive)

    def number(self, text: str) -> float:
        """Return the number of the value with this text."""
        return self.numbers[self.axis.rank_of_text(text)]


def number_axis(axis: RunAxis) -> NumberAxis | None:
    """Return *axis* with the numbers of its values; None if they are not different numbers of one unit.

    Mappings that differ in a single field, such as queues of the same discipline with different limits, stand for that
    field.  Other mappings, such as queues of different disciplines, are no numbers.
    """
    field = axis.path.rpartition(".")[2]
    values: Sequence[Any] = axis.values
    if all(isinstance(value, Mapping) for value in values):
        reduced = _differing(values)
        if reduced is None:
            return None
        field, values = reduced
    found = [_number(field, value) for value in values]
    units = {unit for pair in found if pair for _number_, unit in [pair]}
    numbers = tuple(pair[0] for pair in found if pair is not None)
    if len(numbers) < len(found) or len(set(numbers)) < len(numbers) or len(units) != 1:
        return None
    (unit,) = units
    name = _NAMES.get(field) or re.sub(r"[^a-z0-9]+", "-", axis.label.lower()).strip("-") or "value"
    return NumberAxis(axis, name, _label(axis, field, unit), unit, numbers)


def x_axis(axes: Sequence[RunAxis]) -> NumberAxis | None:
    """Return the axis against which metrics are best drawn; None if no axis has at least three numbers."""
    found = [number for axis in axes if (number := number_axis(axis)) and len(number.numbers) >= LEAST_VALUES]
    order = list(_NAMES.values())
    return min(found, key=lambda one: order.index(one.name) if one.name in order else len(order), default=None)


def _differing(values: Sequence[Mapping[str, Any]]) -> tuple[str, list[Any]] | None:
    keys = {tuple(sorted(value)) for value in values}
    if len(keys) != 1:
        return None
    differing = [key for key in values[0] if any(value[key] != values[0][key] for value in values)]
    return (differing[0], [value[differing[0]] for value in values]) if len(differing) == 1 else None


def _number(field: str, value: Any) -> tuple[float, str] | None:
    """Return a value as a number and its unit; None if it is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if field == "loss":
        return _parsed(parse_probability, value, 1e-2, "%")
    match = _NUMBER.fullmatch(str(value))
    if match is None:
        return None
    try:
        number, unit = float(match[1]), match[2].lower()
    except ValueError:
        return None
    if unit in ("", "%"):
        return number, unit
    if unit in ("bdp", "p"):
        return number, {"bdp": "BDP", "p": "packets"}[unit]
    for parse, scale, name in ((parse_rate, 1e6, "Mbit/s"), (parse_duration, 1e6, "ms"), (parse_size, 1e3, "kB")):
        if (found := _parsed(parse, value, scale, name)) is not None:
            return found
    return None


def _parsed(parse: Callable[[Any], float], value: Any, scale: float, unit: str) -> tuple[float, str] | None:
    try:
        # Rounded, so that 0.2 % is not 0.20000000000000001 %.
        return float(f"{parse(value) / scale:.12g}"), unit
    except ValueError:
        return None


def _label(axis: RunAxis, field: str, unit: str) -> str:
    owner = axis.path.split(".")[-2] if "." in axis.path else ""
    is_flows = axis.path.startswith("flows.")
    names = {
        "loss": "Random loss",
        "delay": "Delay in each direction",
        "rtt": "Base RTT",
        "limit": "Queue limit",
        "rate": "Rate of the sender" if is_flows else "Link rate",
        "count": f"Number of {owner} flows" if is_flows else "Count",
    }
    name = names.get(field, axis.label)
    return f"{name} ({unit})" if unit else name
