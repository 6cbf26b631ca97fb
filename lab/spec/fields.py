# SPDX-License-Identifier: Apache-2.0
"""Paths of fields: ``topology.bottleneck.loss`` in the schema, and in a document of plain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias, TypeVar, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from lab.spec.models import Experiment

__all__ = [
    "MISSING",
    "Path",
    "blocked",
    "fields_at",
    "fields_of",
    "get",
    "model_in",
    "replaced",
    "type_at",
    "values_of_mapping",
]

Path: TypeAlias = tuple[int | str, ...]
"""Names of fields and indices into lists, from the document's root."""

MISSING = object()
"""What :func:`get` returns where there is nothing."""

_T = TypeVar("_T")


def fields_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return a model's fields by the names that are written in the file."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def fields_at(path: Path) -> dict[str, FieldInfo] | None:
    """Return the fields that the schema has at ``path``; None if there is no part with fixed fields."""
    model = model_in(type_at(path))
    return None if model is None else fields_of(model)


def type_at(path: Path) -> Any:
    """Return the type that the schema has at ``path``; None if it has nothing there."""
    here: Any = Experiment
    for part in path:
        model = model_in(here)
        if model is not None:
            field = fields_of(model).get(str(part))
            here = None if field is None else field.annotation
        else:
            here = values_of_mapping(here)
        if here is None:
            return None
    return here


def model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model in ``X``, ``X | None`` or ``Annotated[X, …]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (dict, list):
        return None
    return next((model for model in map(model_in, get_args(annotation)) if model is not None), None)


def values_of_mapping(annotation: Any) -> Any:
    """Return the type of the values of a ``dict[…]``, else None."""
    return get_args(annotation)[1] if get_origin(annotation) is dict else None


def get(document: Any, path: Path) -> Any:
    """Return what ``document`` holds at ``path``, or :data:`MISSING`."""
    here = document
    for part in path:
        if not isinstance(here, Mapping) or part not in here:
            return MISSING
        here = here[part]
    return here


def blocked(document: Any, path: Path) -> bool:
    """Return whether something that cannot hold fields stands on the way to ``path``."""
    on_the_way = (get(document, path[:depth]) for depth in range(len(path)))
    return any(not isinstance(here, Mapping) and here is not None and here is not MISSING for here in on_the_way)


def replaced(document: Any, path: Path, value: Any) -> dict[Any, Any]:
    """Return a copy of ``document`` with ``value`` at ``path``; mappings on the way are made where there is none.

    What is not on the way is shared with ``document``, not copied: documents are never changed in place.
    """
    copy = dict(document) if isinstance(document, Mapping) else {}
    head, *rest = path
    copy[head] = replaced(copy.get(head), tuple(rest), value) if rest else value
    return copy
