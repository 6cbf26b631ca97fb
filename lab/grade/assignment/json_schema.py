# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema of assignment files, for editors.

The schema is committed beside this file.  A JSON Schema cannot express the rules between fields; ``lab grade`` checks
those.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lab.experiment.schema.json_schema import tidied
from lab.grade.assignment.schema import Assignment, Hidden

__all__ = ["SCHEMA_FILE", "assignment_schema", "assignment_schema_text"]

SCHEMA_FILE = Path(__file__).with_name("assignment.schema.json")


def assignment_schema() -> dict[str, Any]:
    """Return the schema of assignment.yaml (JSON Schema 2020-12); that of hidden.yaml is among its definitions."""
    found: dict[str, Any] = tidied(Assignment.model_json_schema(by_alias=True))
    hidden: dict[str, Any] = tidied(Hidden.model_json_schema(by_alias=True))
    found["$defs"] = {**found["$defs"], "Hidden": {key: value for key, value in hidden.items() if key != "$defs"}}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found, "title": "Assignment file of lab"}


def assignment_schema_text() -> str:
    """Return the text of the schema as it is committed."""
    return json.dumps(assignment_schema(), indent=2, ensure_ascii=False) + "\n"
