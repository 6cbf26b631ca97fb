# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema of experiment files, for editors: names, descriptions, examples, and what each value may look like.

The schema is committed beside this file; ``python -m lab.experiment.schema.json_schema`` prints it anew.  It cannot
express rules between fields: ``lab check`` checks those.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from lab.experiment.schema.experiment import Experiment

__all__ = ["SCHEMA_FILE", "json_schema", "json_schema_text"]

SCHEMA_FILE = Path(__file__).with_name("experiment.schema.json")


_EXTENDS = {
    "type": "string",
    "description": "Another experiment file, relative to this one, that this one changes.",
    "default": None,
}


def json_schema() -> dict[str, Any]:
    """Return the schema (JSON Schema 2020-12)."""
    generated = Experiment.model_json_schema(by_alias=True)
    tidy: dict[str, Any] = _tidy(generated)
    # A file that extends another need not say again what that says.
    tidy["properties"] = {"extends": _EXTENDS, **tidy["properties"]}
    tidy["anyOf"] = [{"required": ["extends"]}, {"required": tidy.pop("required")}]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **tidy,
        "title": "Experiment file of lab",
    }


def json_schema_text() -> str:
    """Return the schema as it is committed."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def _tidy(node: Any, *, names: bool = False) -> Any:
    """Return a part of the schema without what misleads an editor.

    ``names``: the keys of this part are names of fields or models, not words of JSON Schema.
    """
    if isinstance(node, list):
        return [_tidy(item) for item in node]
    if not isinstance(node, dict):
        return node
    tidy = {key: _tidy(value, names=key in ("properties", "$defs", "patternProperties")) for key, value in node.items()}
    if names:
        return tidy
    # Generated from the name: says nothing that the name does not.
    tidy.pop("title", None)
    # OpenAPI's word; the constants in the parts say the same.
    tidy.pop("discriminator", None)
    if "oneOf" in tidy:
        tidy["anyOf"] = tidy.pop("oneOf")
    # A model's default is written out in base units, in which no file may be written.
    if isinstance(tidy.get("default"), dict):
        del tidy["default"]
    # Else names that match no pattern would pass.
    if "patternProperties" in tidy:
        tidy["additionalProperties"] = False
    return tidy


if __name__ == "__main__":
    sys.stdout.write(json_schema_text())
