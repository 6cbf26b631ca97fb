# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema of experiment files, for editors: names, descriptions, examples and formats of all fields.

The schema is committed beside this file; ``python -m lab.experiment.schema.json_schema`` prints its current text.  A
JSON Schema cannot express the rules between fields; ``lab check`` checks those.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from lab.experiment.schema.experiment import Experiment

__all__ = ["SCHEMA_FILE", "json_schema", "json_schema_text", "tidied"]

SCHEMA_FILE = Path(__file__).with_name("experiment.schema.json")


_EXTENDS = {
    "type": "string",
    "description": "Path, relative to this file, of an experiment file that this file builds on: fields that are not "
    "given here are taken from that file.",
    "default": None,
}


def json_schema() -> dict[str, Any]:
    """Return the schema (JSON Schema 2020-12)."""
    generated = Experiment.model_json_schema(by_alias=True)
    tidy: dict[str, Any] = tidied(generated)
    # A file that extends another one does not need to repeat the required fields.
    tidy["properties"] = {"extends": _EXTENDS, **tidy["properties"]}
    tidy["anyOf"] = [{"required": ["extends"]}, {"required": tidy.pop("required")}]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **tidy,
        "title": "Experiment file of lab",
    }


def json_schema_text() -> str:
    """Return the text of the schema as it is committed."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def tidied(node: Any, *, names: bool = False) -> Any:
    """Return a part of the schema without the entries that would mislead an editor or its user.

    ``names`` says that the keys of this part are names of fields or models, not keywords of JSON Schema.
    """
    if isinstance(node, list):
        return [tidied(item) for item in node]
    if not isinstance(node, dict):
        return node
    of_names = ("properties", "$defs", "patternProperties")
    tidy = {key: tidied(value, names=key in of_names) for key, value in node.items()}
    if names:
        return tidy
    # The title is generated from the name and adds nothing to it.
    tidy.pop("title", None)
    # "discriminator" is a keyword of OpenAPI; the constants in the members of the union express the same.
    tidy.pop("discriminator", None)
    if "oneOf" in tidy:
        tidy["anyOf"] = tidy.pop("oneOf")
    # The default of a model is generated in base units, which a file must not use.
    if isinstance(tidy.get("default"), dict):
        del tidy["default"]
    # Without this, the schema would accept names that match no pattern.
    if "patternProperties" in tidy:
        tidy["additionalProperties"] = False
    return tidy


if __name__ == "__main__":
    sys.stdout.write(json_schema_text())
