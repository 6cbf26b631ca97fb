# SPDX-License-Identifier: Apache-2.0
"""Write the tables of ``experiment-file.md`` from the schema: ``python docs/generate.py [--check]``.

``--check`` writes nothing and exits with 1 if the page is not up to date.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lab import units
from lab.experiment.schema.json_schema import json_schema

PAGE = Path(__file__).with_name("experiment-file.md")
TABLE = re.compile(r"(<!-- fields of (\w+)([\w ]*) -->\n).*?(<!-- end -->)", re.DOTALL)

KINDS = {
    units.RATE_PATTERN: "rate",
    units.DURATION_PATTERN: "duration",
    units.SIZE_PATTERN: "size",
    units.PERCENT_PATTERN: "probability",
    units.QUEUE_LIMIT_PATTERN: "queue limit",
}
SECTIONS = {
    "Arrivals": "[arrivals](#short-flows)",
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
    "FlowBytes": "[its options](#flow)",
    "FourState": "[four states](#loss)",
    "GilbertElliott": "[Gilbert and Elliott's model](#loss)",
    "Jitter": "[more](#jitter-and-reordering)",
    "ListedLoss": "[listed packets](#loss)",
    "Linear": "[a row](#linear)",
    "Link": "[a link](#a-link)",
    "ParkingLot": "[a parking lot](#parking-lot)",
    "Probe": "[its options](#probe)",
    "Queue": "[a queue](#a-queue)",
    "Queues": "[its options](#queue)",
    "RandomLoss": "[independent loss](#loss)",
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
    "links": "names, each with [a link](#a-link), and `from` and `to`",
    "nodes": "names, each with `host`, `router` or `switch`",
    "flows": "names, each with [a flow](#a-flow)",
    "hosts": "names or patterns, each with [settings](#hosts)",
    "modules": "names, each with parameters",
    "probes": "names, each with [a probe](#latency-probes)",
    "sysctl": "names, each with a value",
    "matrix": "paths, each with a list",
    "parameters": "names, each with a value",
}


def tables(page: str, schema: dict[str, Any]) -> str:
    """The page with every table made anew."""
    models = {"Experiment": schema, **schema["$defs"]}
    written = TABLE.findall(page)
    missing = models.keys() - {name for _begin, name, _some, _end in written}
    if missing:
        raise SystemExit(f"{PAGE.name} has no table for {', '.join(sorted(missing))}")
    return TABLE.sub(lambda match: match[1] + table(models[match[2]], models, match[3].split()) + match[4], page)


def table(model: dict[str, Any], models: dict[str, Any], some: Sequence[str] = ()) -> str:
    """The table of a model, or of *some* of its fields."""
    rows = ["| field | written as | default | what it is |", "|---|---|---|---|"]
    required = model.get("required", ()) or [
        name for one in model.get("anyOf", ()) for name in one.get("required", ()) if name != "extends"
    ]
    for name, field in model["properties"].items():
        if some and name not in some:
            continue
        # A field that says no more than its model does has no description of its own.
        of_model = models.get(field.get("$ref", "").rpartition("/")[2], {})
        rows.append(row(name, {"description": of_model.get("description"), **field}, name in required))
    return "\n".join(rows) + "\n"


def row(name: str, field: dict[str, Any], required: bool) -> str:
    text, default = described(field, required)
    cells = (f"`{name}`", kind(name, field), default, text)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


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


def main() -> int:
    before = PAGE.read_text(encoding="utf-8")
    after = tables(before, json_schema())
    if sys.argv[1:] == ["--check"]:
        return int(before != after)
    PAGE.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
