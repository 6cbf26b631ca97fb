# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema: the committed file is current, accepts the shipped experiment and rejects invalid values."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.experiment.read.document import parse_yaml
from lab.experiment.read.load import load_experiment
from lab.experiment.schema.json_schema import SCHEMA_FILE, json_schema, json_schema_text
from tests.unit.experiment.test_errors import BASE, EDITS

SHIPPED = Path(__file__).parents[3] / "experiments" / "cubic_vs_bbr.yaml"
SCHEMA = json_schema()

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
    "object": (dict,),
    "array": (list,),
}


def _accepts(schema: dict[str, Any], value: Any) -> bool:
    """Return whether ``value`` is valid; only the keywords that our schema uses are known, others raise KeyError."""
    return all(_WORDS[word](schema, value) for word in schema)


def _type(schema: dict[str, Any], value: Any) -> bool:
    return isinstance(value, _TYPES[schema["type"]]) and (schema["type"] == "boolean" or not isinstance(value, bool))


def _properties(schema: dict[str, Any], value: Any) -> bool:
    known = schema["properties"]
    return not isinstance(value, dict) or all(_accepts(known[key], item) for key, item in value.items() if key in known)


def _patterns(schema: dict[str, Any], value: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Any]]:
    for pattern, inner in schema.get("patternProperties", {}).items():
        yield from ((inner, item) for key, item in value.items() if re.search(pattern, key))


def _additional(schema: dict[str, Any], value: Any) -> bool:
    if not isinstance(value, dict):
        return True
    known, patterns = schema.get("properties", {}), list(schema.get("patternProperties", {}))
    others = [key for key in value if key not in known and not any(re.search(pattern, key) for pattern in patterns)]
    rule = schema["additionalProperties"]
    return not others if rule is False else all(_accepts(rule, value[key]) for key in others)


_WORDS = {
    **dict.fromkeys(("$schema", "$defs", "title", "description", "default", "examples"), lambda schema, value: True),
    "$ref": lambda schema, value: _accepts(SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")], value),
    "type": _type,
    "const": lambda schema, value: value == schema["const"],
    "enum": lambda schema, value: value in schema["enum"],
    "anyOf": lambda schema, value: any(_accepts(option, value) for option in schema["anyOf"]),
    "pattern": lambda schema, value: not isinstance(value, str) or re.search(schema["pattern"], value) is not None,
    "minimum": lambda schema, value: not isinstance(value, int | float) or value >= schema["minimum"],
    "maximum": lambda schema, value: not isinstance(value, int | float) or value <= schema["maximum"],
    "exclusiveMinimum": lambda schema, value: not isinstance(value, int | float) or value > schema["exclusiveMinimum"],
    "exclusiveMaximum": lambda schema, value: not isinstance(value, int | float) or value < schema["exclusiveMaximum"],
    "minItems": lambda schema, value: not isinstance(value, list) or len(value) >= schema["minItems"],
    "items": lambda schema, value: not isinstance(value, list) or all(_accepts(schema["items"], i) for i in value),
    "minProperties": lambda schema, value: not isinstance(value, dict) or len(value) >= schema["minProperties"],
    "required": lambda schema, value: not isinstance(value, dict) or all(key in value for key in schema["required"]),
    "properties": _properties,
    "patternProperties": lambda schema, value: (
        not isinstance(value, dict) or all(_accepts(inner, item) for inner, item in _patterns(schema, value))
    ),
    "additionalProperties": _additional,
}


def test_the_committed_schema_is_current() -> None:
    assert SCHEMA_FILE.read_text(encoding="utf-8") == json_schema_text()


def test_the_shipped_experiment_fits_and_names_the_schema() -> None:
    assert _accepts(SCHEMA, load_experiment(SHIPPED).raw)
    named = re.search(r"^# yaml-language-server: \$schema=(.+)$", SHIPPED.read_text(), re.MULTILINE)
    assert named is not None
    assert (SHIPPED.parent / named[1]).resolve() == SCHEMA_FILE


# Mistakes in a single value, which the schema can detect.
_SEEN = [
    "rate_unit", "rate_bare", "rate_bytes_per_second", "rate_list", "delay_negative", "discipline_typo", "limit_unit",
    "limit_kb", "parameter_name", "kind", "pairs_text", "pairs_fraction", "pairs_many", "access_text", "name_path",
    "name_number", "cc_name", "flow_name", "flow_text", "repeat_zero", "seed_negative", "record", "ecn_boolean",
    "offloads_text", "mtu_small", "socket_buffer", "unknown_top", "unknown_far", "unknown_in_flow", "unknown_in_link",
    "unknown_collector", "missing_from", "missing_name", "missing_duration", "axis_empty",
    "axis_not_list", "matrix_list",
]  # fmt: skip


@pytest.mark.parametrize("name", _SEEN)
def test_an_editor_flags_it(name: str) -> None:
    old, new, _, _ = EDITS[name]
    assert _accepts(SCHEMA, parse_yaml(BASE).root)
    assert not _accepts(SCHEMA, parse_yaml(BASE.replace(old, new)).root)


def _objects(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if isinstance(node.get("properties"), dict):
            yield node
        for value in node.values():
            yield from _objects(value)


def test_every_field_is_described_and_no_other_is_allowed() -> None:
    objects = list(_objects(SCHEMA))
    assert len(objects) >= 9
    for part in objects:
        assert part["additionalProperties"] is False
        for name, field in part["properties"].items():
            target = SCHEMA["$defs"].get(field.get("$ref", "").removeprefix("#/$defs/"), {})
            assert field.get("description") or target.get("description"), name


def test_no_default_is_in_units_that_a_file_may_not_use() -> None:
    for part in _objects(SCHEMA):
        for name, field in part["properties"].items():
            # The default null means that the description states the default.
            if field.get("default") is not None:
                assert _accepts(field, field["default"]), name
