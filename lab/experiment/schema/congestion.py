# SPDX-License-Identifier: Apache-2.0
"""The congestion control of a flow: one of the kernel's algorithms by its name, or one from the user's own source.

This module does no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, ValidationInfo, WithJsonSchema

from lab import names
from lab.cc.sources import MODULE_SUFFIX, SUFFIX
from lab.experiment.schema.contents import Contents, content_of
from lab.experiment.schema.types import CONGESTION_CONTROL_MEANING, OTHER_CC_NAMES
from lab.units import show

__all__ = ["Algorithm", "OwnAlgorithm", "algorithm_name", "key_of_source", "name_of_value"]

_EXPECTED = (
    f"{CONGESTION_CONTROL_MEANING}; the path of a source, *{SUFFIX}; or a mapping of 'name' and 'source' with both; or "
    f"a mapping of 'name' and 'module', the path of the source of a kernel module, *{MODULE_SUFFIX}"
)
_MODULE = "module"


@dataclass(frozen=True)
class OwnAlgorithm:
    """An algorithm from a source of the user, compiled."""

    name: str
    source_sha256: str
    """The SHA-256 of the source (:attr:`lab.cc.sources.Sources.sha256`), in hexadecimal."""
    object: str
    """The object as jobs contain it; of a module, its source."""
    source: str = field(repr=False, compare=False)
    """The path of the source as written in the experiment."""
    is_module: bool = False
    """Whether this is a kernel module, which is compiled when the kernel is known."""


def key_of_source(value: object) -> str | None:
    """Return the key of :data:`~lab.experiment.schema.contents.Contents` for a value of the field ``cc``.

    None if the value names no source.
    """
    if isinstance(value, str):
        return value if value.endswith(SUFFIX) and "\0" not in value else None
    if not isinstance(value, Mapping):
        return None
    if value.keys() == {"name", _MODULE}:
        return _key_of_module(value["name"], value[_MODULE])
    if value.keys() != {"name", "source"}:
        return None
    name, source = value["name"], value["source"]
    if _is_name(name) and isinstance(source, str) and source.endswith(SUFFIX) and "\0" not in source:
        return f"{source}\0{name}"
    return None


def _key_of_module(name: object, source: object) -> str | None:
    if not _is_name(name) or not isinstance(source, str) or "\0" in source:
        return None
    is_source = source.endswith(MODULE_SUFFIX) and not source.endswith(SUFFIX)
    return f"{source}\0{name}\0{_MODULE}" if is_source else None


def name_of_value(value: Any, contents: Contents) -> Any:
    """Return the name of the algorithm that a value of the field ``cc`` stands for; other values stay as they are."""
    key = key_of_source(value)
    found = None if key is None else contents.get(("cc", key))
    return found.name if isinstance(found, OwnAlgorithm) else value


def algorithm_name(algorithm: str | OwnAlgorithm) -> str:
    """Return the name of an algorithm in the kernel."""
    return algorithm if isinstance(algorithm, str) else algorithm.name


def _is_name(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(names.CONGESTION_CONTROL, value) is not None


def _algorithm(value: Any, info: ValidationInfo) -> str | OwnAlgorithm:
    key = key_of_source(value)
    if key is not None:
        found: OwnAlgorithm = content_of("cc", key, info)
        return found
    if isinstance(value, str) and _is_name(value):
        return OTHER_CC_NAMES.get(value, value)
    if not isinstance(value, str | Mapping):
        raise ValueError(f"found {show(value)}; expected text; quote it")
    raise ValueError(f"found {show(value)}; expected {_EXPECTED}")


def _written(value: str | OwnAlgorithm) -> str | dict[str, str]:
    if isinstance(value, str):
        return value
    return {"name": value.name, _MODULE if value.is_module else "source": value.source}


Algorithm = Annotated[
    str | OwnAlgorithm,
    PlainValidator(_algorithm),
    PlainSerializer(_written, when_used="json"),
    WithJsonSchema(
        {
            "anyOf": [
                {
                    "type": "string",
                    "pattern": names.CONGESTION_CONTROL,
                    "examples": ["cubic", "bbr", "reno", "vegas", "dctcp"],
                },
                {"type": "string", "pattern": r"\.bpf\.c$", "examples": ["./my_cc.bpf.c"]},
                {
                    "type": "object",
                    "properties": {
                        "name": {"type": "string", "pattern": names.CONGESTION_CONTROL},
                        "source": {"type": "string", "pattern": r"\.bpf\.c$"},
                    },
                    "required": ["name", "source"],
                    "additionalProperties": False,
                },
                {
                    "type": "object",
                    "properties": {
                        "name": {"type": "string", "pattern": names.CONGESTION_CONTROL},
                        "module": {"type": "string", "pattern": r"\.c$"},
                    },
                    "required": ["name", "module"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]
"""An algorithm of the kernel, whose name only the kernel knows to be right, or a compiled one of the user."""
