# SPDX-License-Identifier: Apache-2.0
"""The names that expectations can use, from :mod:`lab.expect.names`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lab.expect import names
from lab.expect.parser import __doc__ as grammar
from lab.expect.quantities import DURATION, NUMBER, RATE, SIZE, Dimension

from . import markdown_table

_DIMENSIONS = {NUMBER: "number", RATE: "rate", DURATION: "duration", SIZE: "size"}
_KINDS = {
    "tcp": "TCP flows",
    "udp": "UDP flows",
    "short_flows": "short flows",
    "probe": "probes",
}


def table(what: str) -> str:
    """What *what* names: ``series``, ``states``, ``samples``, ``events``, ``properties``, ``aliases``, ``grammar``."""
    return {
        "aliases": _aliases,
        "events": _events,
        "grammar": _grammar,
        "properties": _properties,
        "samples": _samples,
        "series": _series,
        "states": _states,
    }[what]()


def _series() -> str:
    rows = [
        (f"`{one.name}`", _dimension(one.dimension), _of(one.kinds, one.algorithms), _sentence(one.meaning))
        for one in names.SERIES.values()
    ]
    return markdown_table(("Name", "Value", "Of", "Meaning"), rows)


def _states() -> str:
    rows = [
        (f"`{one.name}`", _listed(one.names), _of(one.kinds, one.algorithms), _sentence(one.meaning))
        for one in names.STATES.values()
    ]
    return markdown_table(("Name", "Values", "Of", "Meaning"), rows)


def _samples() -> str:
    rows = [
        (f"`{one.name}`", _dimension(one.dimension), _of(one.kinds), _sentence(one.meaning))
        for one in names.SAMPLES.values()
    ]
    return markdown_table(("Name", "Value", "Of", "Meaning"), rows)


def _events() -> str:
    rows = [(f"`{one.name}`", _of(one.kinds), _sentence(one.meaning)) for one in names.EVENTS.values()]
    return markdown_table(("Name", "Of", "Meaning"), rows)


def _properties() -> str:
    rows = [(f"`{one.name}`", _dimension(one.dimension), _sentence(one.meaning)) for one in names.PROPERTIES.values()]
    return markdown_table(("Name", "Value", "Meaning"), rows)


def _aliases() -> str:
    by_column: dict[str, list[str]] = {}
    for alias, column in names.ALIASES.items():
        by_column.setdefault(column, []).append(alias)
    rows = [
        (f"`{column}`", _listed(by_column[column]), _dimension(names.COLUMNS[column].dimension))
        for column in names.COLUMNS
        if column in by_column
    ]
    return markdown_table(("Column", "Other names", "Value"), rows)


def _grammar() -> str:
    lines = (grammar or "").split("::\n", 1)[1].split("\nEach rule", 1)[0].strip("\n").splitlines()
    return "\n".join(["```", *(line.removeprefix("    ") for line in lines), "```"]) + "\n"


def _listed(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _dimension(dimension: Dimension) -> str:
    return _DIMENSIONS.get(dimension, f"data^{dimension.data} × time^{dimension.time}")


def _of(kinds: frozenset[names.Kind], algorithms: frozenset[str] | None = None) -> str:
    ordered: Mapping[str, str] = {kind: text for kind, text in _KINDS.items() if kind in kinds}
    of = ", ".join(ordered.values())
    return f"{of} with {', '.join(sorted(algorithms))}" if algorithms else of


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
