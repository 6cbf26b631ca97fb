# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema of parts that may be written in short form: as a single value instead of a mapping."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import GetJsonSchemaHandler, TypeAdapter
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

__all__ = ["Or"]


@dataclass(frozen=True)
class Or:
    """An annotation that adds the short form of a part to the JSON Schema."""

    short: Any
    """The type of the single value that may be written instead of a mapping."""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [TypeAdapter(self.short).json_schema(), handler(core)]}
