# SPDX-License-Identifier: Apache-2.0
"""What an expectation can refer to in an experiment: its axes and flows.  What selectors choose of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lab.expect.errors import ExpectError
from lab.expect.names import STATES, Kind
from lab.expect.tree import Selector
from lab.units import quantity, show, value_text

__all__ = ["Axis", "Selection", "Setting", "selection"]


@dataclass(frozen=True)
class Axis:
    """One axis of the matrix."""

    path: str
    values: tuple[Any, ...]
    """As written in the experiment."""

    @property
    def texts(self) -> list[str]:
        """The values as text."""
        return [value_text(value) for value in self.values]


@dataclass(frozen=True)
class Setting:
    """The parts of an experiment that an expectation can name, in all cells of its matrix together."""

    axes: tuple[Axis, ...]
    groups: Mapping[str, frozenset[Kind]]
    """Name of a declared flow or probe → what it is."""
    members: Mapping[str, str]
    """Name of a single flow, such as ``bulk-2`` → the declared flow that it belongs to."""
    algorithms: frozenset[str]
    """The congestion control algorithms of all flows."""
    collectors: frozenset[str]


@dataclass(frozen=True)
class Selection:
    """What the selectors of a term choose."""

    axes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Path of an axis → the places of the chosen values on it."""
    flows: tuple[str, ...] | None = None
    """Names of declared flows, single flows or probes; None: not given."""
    algorithms: tuple[str, ...] | None = None
    """Congestion control algorithms of the flows; None: not given."""
    during: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Name of a state → the names during which values count, such as ``mode`` → ``ProbeRTT``."""

    @property
    def names_flows(self) -> bool:
        """Whether it says which flows are meant."""
        return self.flows is not None or self.algorithms is not None


def selection(selectors: Sequence[Selector], setting: Setting) -> Selection:
    """Return what *selectors* choose.

    Raises:
        ExpectError: A selector names nothing in the experiment, or a value that is not there.
    """
    axes: dict[str, tuple[int, ...]] = {}
    flows: tuple[str, ...] | None = None
    algorithms: tuple[str, ...] | None = None
    during: dict[str, tuple[str, ...]] = {}
    seen = set[str]()
    for one in selectors:
        if one.name in seen:
            raise ExpectError(f"found {one.name}= twice; expected it once, such as {one.name}={{…, …}}", one.column)
        seen.add(one.name)
        axis = _axis_named(one, setting.axes)
        if one.name in ("flow", "probe"):
            flows = _chosen(one, [*setting.groups, *setting.members], "a flow or probe of the experiment")
        elif axis is not None:
            axes[axis.path] = _places(one, axis)
        elif one.name == "cc":
            algorithms = _chosen(one, sorted(setting.algorithms), "an algorithm of the experiment's flows")
        elif one.name in STATES:
            during[one.name] = _chosen(one, STATES[one.name].names, STATES[one.name].meaning)
        else:
            raise _unknown(one, setting.axes)
    return Selection(axes, flows, algorithms, during)


def _axis_named(one: Selector, axes: Sequence[Axis]) -> Axis | None:
    """Return the axis that a selector names: by its path, by the last parts of it, or by other parts of it."""
    name = one.name
    exact = [axis for axis in axes if axis.path == name]
    ends = [axis for axis in axes if axis.path.endswith(f".{name}")]
    parts = [axis for axis in axes if f".{name}." in f".{axis.path}."]
    found = exact or ends or parts
    if len(found) > 1 and name not in ("cc", "flow"):
        message = f"found {name}=, which is a part of {' and of '.join(axis.path for axis in found)}; expected a path"
        raise ExpectError(message, one.column)
    return found[0] if len(found) == 1 else None


def _places(one: Selector, axis: Axis) -> tuple[int, ...]:
    if one.is_range:
        return _in_range(one, axis)
    found: list[int] = []
    for written in one.values:
        places = [place for place, value in enumerate(axis.values) if _is_meant(value, written)]
        if not places:
            message = f"found {one.name}={written}; expected a value of the axis {axis.path} ({', '.join(axis.texts)})"
            raise ExpectError(message, one.column, word=written, choices=axis.texts)
        found += places
    return tuple(dict.fromkeys(found))


def _in_range(one: Selector, axis: Axis) -> tuple[int, ...]:
    low, high = (quantity(written) for written in one.values)
    numbers = [quantity(value) for value in axis.values]
    if low is None or high is None or low[1] != high[1]:
        raise ExpectError(f"found {one}; expected two numbers of the same unit", one.column)
    found = [
        place
        for place, number in enumerate(numbers)
        if number is not None and number[1] == low[1] and low[0] <= number[0] <= high[0]
    ]
    if not found:
        message = f"found {one}; expected a range with a value of the axis {axis.path} ({', '.join(axis.texts)})"
        raise ExpectError(message, one.column)
    return tuple(found)


def _is_meant(value: Any, written: str) -> bool:
    """Return whether *written* stands for a value of an axis: as its text, as the same quantity, or as a part of it."""
    if value_text(value) == written:
        return True
    if isinstance(value, Mapping):
        return any(_is_meant(part, written) for part in value.values())
    number = quantity(value)
    return number is not None and number == quantity(written)


def _chosen(one: Selector, names: Sequence[str], what: str) -> tuple[str, ...]:
    if one.is_range:
        raise ExpectError(f"found {one}; expected a name or a set, such as {{{', '.join(names[:2])}}}", one.column)
    for written in one.values:
        if written not in names:
            message = f"found {one.name}={written}; expected {what} ({', '.join(names)})"
            raise ExpectError(message, one.column, word=written, choices=names)
    return tuple(dict.fromkeys(one.values))


def _unknown(one: Selector, axes: Sequence[Axis]) -> ExpectError:
    paths = [axis.path for axis in axes]
    ends = [path.rpartition(".")[2] for path in paths]
    listed = ", ".join(paths) or "none, because there is no matrix"
    message = f"unknown selector {show(one.name)}; expected an axis of the matrix ({listed}), flow, cc, mode or state"
    return ExpectError(message, one.column, word=one.name, choices=[*ends, *paths, "flow", "cc", "mode", "state"])
