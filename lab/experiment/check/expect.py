# SPDX-License-Identifier: Apache-2.0
"""Check the expectations of an experiment: names, units, and what they select.  This module does no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from lab.expect.errors import ExpectError
from lab.expect.meaning import understand
from lab.expect.names import Kind
from lab.expect.parser import parse
from lab.expect.setting import Axis, Setting
from lab.expect.tolerance import tolerance
from lab.experiment.check.problems import Problem, nearest
from lab.experiment.resolve.traffic import connections_of
from lab.experiment.schema.congestion import algorithm_name
from lab.experiment.schema.expect import Expectation
from lab.experiment.schema.experiment import Experiment, Flow
from lab.experiment.schema.fields import Path
from lab.units import show

__all__ = ["expect_problems", "setting_of", "syntax_problems", "worded"]


def syntax_problems(expected: Sequence[Expectation], document: Any) -> Iterator[Problem]:
    """Yield the problems that expectations have in any experiment; *document* has them as they are written."""
    names: dict[str, int] = {}
    for number, one in enumerate(expected):
        try:
            parse(one.that)
        except ExpectError as error:
            yield Problem(_here(number, document), worded(error, one.that))
        name = one.name or one.that
        if name in names:
            found = f"found {show(name)} again, which expect[{names[name]}] has as well"
            yield Problem(_here(number, document), f"{found}; expected each of them once")
        names.setdefault(name, number)


def expect_problems(expected: Sequence[Expectation], setting: Setting, document: Any) -> Iterator[Problem]:
    """Yield the problems of expectations in an experiment; *document* has them as written."""
    for number, one in enumerate(expected):
        try:
            meaning = understand(one.that, setting)
        except ExpectError as error:
            yield Problem(_here(number, document), worded(error, one.that))
            continue
        if one.tolerance is not None:
            try:
                tolerance(one.tolerance, meaning)
            except ValueError as error:
                yield Problem(("expect", number, "tolerance"), str(error))


def worded(error: ExpectError, text: str) -> str:
    """Return what is wrong with the expectation *text*, with the place in it and the nearest name."""
    close = nearest(error.word, error.choices) if error.word else None
    meant = f"; did you mean '{close}'?" if close else ""
    return f"{error.message}{meant}; at character {error.column} of {show(text, 100)}"


def setting_of(axes: Iterable[tuple[str, tuple[Any, ...]]], cells: Iterable[Experiment]) -> Setting:
    """Return what expectations can name in an experiment: its axes (path and values), and what is in its cells."""
    groups: dict[str, set[Kind]] = {}
    members: dict[str, str] = {}
    algorithms, collectors = set[str](), set[str]()
    for cell in cells:
        collectors |= {name for name, _options in cell.collect.chosen()}
        for name, flow in cell.flows.items():
            kind = _kind(flow)
            groups.setdefault(name, set()).add(kind)
            if kind != "udp":
                algorithms.add(algorithm_name(flow.cc))
            members |= {one.name: name for one in connections_of(name, flow, cell.duration) if one.name != name}
        for name in cell.probes:
            groups.setdefault(name, set()).add("probe")
    return Setting(
        tuple(Axis(path, values) for path, values in axes),
        {name: frozenset(kinds) for name, kinds in groups.items()},
        members,
        frozenset(algorithms),
        frozenset(collectors),
    )


def _kind(flow: Flow) -> Kind:
    if flow.arrivals is not None:
        return "short_flows"
    return "udp" if flow.protocol == "udp" else "tcp"


def _here(number: int, document: Any) -> Path:
    """Return the path of a condition: it may be written alone, or as the field ``that``."""
    is_alone = isinstance(document, list) and number < len(document) and isinstance(document[number], str)
    return ("expect", number) if is_alone else ("expect", number, "that")
