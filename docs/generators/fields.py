# SPDX-License-Identifier: Apache-2.0
"""The fields of the experiment file, from its JSON Schema."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lab import units
from lab.experiment.schema.json_schema import json_schema
from lab.grade.assignment.json_schema import assignment_schema

from . import markdown_table, require

KINDS = {
    units.RATE_PATTERN: "rate",
    units.DURATION_PATTERN: "duration",
    units.SIZE_PATTERN: "size",
    units.PERCENT_PATTERN: "probability",
    units.QUEUE_LIMIT_PATTERN: "queue limit",
}
SECTIONS = {
    "Arrivals": "[arrivals](#short-flows)",
    "Criterion": "[a criterion](#a-criterion)",
    "Handed": "[a file](#a-file-that-is-handed-in)",
    "Limits": "[limits](#limits)",
    "Interfaces": "[interfaces](#interfaces)",
    "Scenario": "[a scenario](#a-scenario)",
    "Tournament": "[a tournament](#tournament)",
    "FixedSize": "[a distribution](#short-flows)",
    "ParetoSizes": "[a distribution](#short-flows)",
    "SizesFile": "[a distribution](#short-flows)",
    "Access": "[the access links](#access-links)",
    "Bottleneck": "[a link](#a-link)",
    "Calibration": "[what to measure](#calibration)",
    "Collect": "[collectors](#collectors)",
    "Custom": "[nodes and links](#custom)",
    "CustomLink": "[a link](#a-link), and `from` and `to`",
    "Drops": "[its options](#drops)",
    "Dumbbell": "[a dumbbell](#dumbbell)",
    "Flow": "[a flow](#a-flow)",
    "HostQueue": "[a discipline](#hosts)",
    "HostSettings": "[settings](#hosts)",
    "LatencyProbe": "[a probe](#latency-probes)",
    "Measure": "[a window](#the-measured-window)",
    "Expectation": "[an expectation](#expectations)",
    "FlowBytes": "[its options](#flow)",
    "FourState": "[four states](#loss)",
    "GilbertElliott": "[Gilbert and Elliott's model](#loss)",
    "Jitter": "[more](#jitter-and-reordering)",
    "ListedLoss": "[listed packets](#loss)",
    "Linear": "[a row](#linear)",
    "Link": "[a link](#a-link)",
    "Report": "[figures](#report)",
    "TimeFigure": "[a figure](experiment-file.md#report)",
    "CdfFigure": "[a figure](experiment-file.md#report)",
    "BoxFigure": "[a figure](experiment-file.md#report)",
    "HeatmapFigure": "[a figure](experiment-file.md#report)",
    "AgainstFigure": "[a figure](experiment-file.md#report)",
    "CellsFigure": "[a figure](experiment-file.md#report)",
    "DelayFigure": "[a figure](experiment-file.md#report)",
    "PhaseFigure": "[a figure](experiment-file.md#report)",
    "JainFigure": "[a figure](experiment-file.md#report)",
    "ShareFigure": "[a figure](experiment-file.md#report)",
    "ParkingLot": "[a parking lot](#parking-lot)",
    "TcpProbe": "[its options](#tcp_probe)",
    "Queue": "[a queue](#a-queue)",
    "Queues": "[its options](#queue)",
    "RandomLoss": "[independent loss](#loss)",
    "ScheduledRandomLoss": "[independent loss](#changes-while-traffic-runs)",
    "Reorder": "[more](#jitter-and-reordering)",
    "Reverse": "[what differs](#the-reverse-direction)",
    "Selection": "[a selection](#a-selection-of-connections)",
    "SingleLink": "[one link](#single-link)",
    "Star": "[a star](#star)",
    "Step": "[a change](#changes-while-traffic-runs)",
    "Tree": "[a tree](#tree)",
    "Window": "[a time](#drops)",
}
"""Model → the section of the page that describes it."""
OBJECTS = {
    "cc": "mapping: `name`, and `source` or `module`",
    "links": "mapping: name → [a link](#a-link) with `from` and `to`",
    "nodes": "mapping: name → `host`, `router` or `switch`",
    "flows": "mapping: name → [a flow](#a-flow)",
    "rubric": "mapping: name → [a criterion](#a-criterion)",
    "scenarios": "mapping: name → the path of an experiment, or [a scenario](#a-scenario)",
    "set": "mapping: path → value",
    "submission": "mapping: name → [a file](#a-file-that-is-handed-in)",
    "hosts": "mapping: name or pattern → [settings](#hosts)",
    "modules": "mapping: name → parameters",
    "probes": "mapping: name → [a probe](#latency-probes)",
    "sysctl": "mapping: name → value",
    "matrix": "mapping: path → list of values",
    "parameters": "mapping: name → value",
}
"""Field that is a mapping → what it maps."""


def require_all(wanted: Iterable[str]) -> None:
    """End with a message unless every model has a table in some page."""
    require("the fields", models(), (what.split()[0] for what in wanted))


def table_of(what: str) -> str:
    """The table of the model that *what* names, or of those of its fields that follow the name."""
    name, *some = what.split()
    return table(models()[name], some)


@functools.cache
def models() -> Mapping[str, dict[str, Any]]:
    """Name → the JSON Schema of the model."""
    schema, assignment = json_schema(), assignment_schema()
    return {"Experiment": schema, **schema["$defs"], "Assignment": assignment, **assignment["$defs"]}


def table(model: dict[str, Any], some: Sequence[str] = ()) -> str:
    """The table of a model, or of *some* of its fields."""
    rows = []
    required = model.get("required", ()) or [
        name for one in model.get("anyOf", ()) for name in one.get("required", ()) if name != "extends"
    ]
    for name, field in model["properties"].items():
        if some and name not in some:
            continue
        # A field that says no more than its model does has no description of its own.
        of_model = models().get(field.get("$ref", "").rpartition("/")[2], {})
        rows.append(row(name, {"description": of_model.get("description"), **field}, name in required))
    return markdown_table(("Field", "Value", "Default", "Meaning"), rows)


def row(name: str, field: dict[str, Any], required: bool) -> tuple[str, str, str, str]:
    text, default = described(field, required)
    return f"`{name}`", kind(name, field), default, text


def described(field: dict[str, Any], required: bool) -> tuple[str, str]:
    """(what it is, its default): where the description names the default, it is taken from there."""
    text, found, named = field["description"].partition(" Default: ")
    if required:
        return text, "**required**"
    if found:
        return text, named.removesuffix(".")
    empty = "all of its defaults" if "$ref" in field else "none"
    if isinstance(field.get("default"), list):
        return text, "none"
    return text, code(field["default"]) if field.get("default") not in (None, "") else empty


def code(value: Any) -> str:
    shown = {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)
    return f"`{shown}`"


def kind(name: str, field: dict[str, Any]) -> str:
    if "$ref" in field:
        return SECTIONS[field["$ref"].rpartition("/")[2]]
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(kind(name, one) for one in field["anyOf"] if one.get("type") != "null"))
    if "const" in field:
        return code(field["const"])
    if field.get("type") == "array":
        return f"list of {kind(name, field['items'])}"
    if "enum" in field:
        return ", ".join(map(code, field["enum"]))
    if field["type"] == "object":
        return OBJECTS[name]
    if field["type"] == "string":
        return KINDS.get(field.get("pattern", ""), "text")
    return number(field)


def number(field: dict[str, Any]) -> str:
    if field["type"] == "boolean":
        return "`true`, `false`"
    if field["type"] == "number" and "exclusiveMinimum" in field and field["maximum"] > 1:
        return f"more than {field['exclusiveMinimum']:g}, to {grouped(field['maximum'])}"
    if field["type"] == "number":
        return "probability"
    if "minimum" not in field:
        return "a number"
    highest = 2**63 - 1
    most = "2⁶³ − 1" if field["maximum"] == highest else grouped(field["maximum"])
    return f"{field['minimum']} to {most}"


def grouped(value: float) -> str:
    return f"{value:,.0f}".replace(",", " ")
