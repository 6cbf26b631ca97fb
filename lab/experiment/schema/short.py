# SPDX-License-Identifier: Apache-2.0
"""Parts that may be written in a short way: one value instead of a mapping.  For editors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import GetJsonSchemaHandler, TypeAdapter
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

__all__ = ["Or"]


@dataclass(frozen=True)
class Or:
    """Tells editors of the short way to write a part."""

    short: Any

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [TypeAdapter(self.short).json_schema(), handler(core)]}
