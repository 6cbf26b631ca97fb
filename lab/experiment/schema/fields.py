# SPDX-License-Identifier: Apache-2.0
"""Paths of fields: ``topology.bottleneck.loss`` in the schema, and in a document of plain values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias, TypeVar, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from lab.experiment.schema.experiment import Experiment

__all__ = [
    "MISSING",
    "Path",
    "blocked",
    "fields_at",
    "fields_of",
    "get",
    "items_of_list",
    "model_in",
    "models_in",
    "replaced",
    "tags_of",
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


def fields_at(path: Path, document: Any) -> dict[str, FieldInfo] | None:
    """Return the fields that the schema has at ``path``; None if there is no part with fixed fields."""
    model = model_in(type_at(path, document), get(document, path))
    return None if model is None else fields_of(model)


def type_at(path: Path, document: Any) -> Any:
    """Return the type that the schema has at ``path``; None if it has nothing there.

    Where a part may be of several kinds, what ``document`` says decides which it is.
    """
    here: Any = Experiment
    for depth, part in enumerate(path):
        model = model_in(here, get(document, path[:depth]))
        if model is not None:
            field = fields_of(model).get(str(part))
            here = None if field is None else field.annotation
        elif isinstance(part, int):
            here = items_of_list(here)
        else:
            here = values_of_mapping(here)
        if here is None:
            return None
    return here


def model_in(annotation: Any, value: Any) -> type[BaseModel] | None:
    """Return the model in ``X``, ``X | None`` or ``Annotated[X, …]``; of several, that which ``value`` says it is."""
    models = list(dict.fromkeys(models_in(annotation)))
    if len(models) < 2:
        return models[0] if models else None
    return next((model for model in models if _says(value, model)), None)


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models that a field of this type may hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) not in (dict, list):
        for argument in get_args(annotation):
            yield from models_in(argument)


def tags_of(annotation: Any) -> set[str]:
    """Return what the models that a field may hold are told apart by; empty if there is only one."""
    models = list(dict.fromkeys(models_in(annotation)))
    return {tag for model in models for _name, tag in _tags(model)} if len(models) > 1 else set()


def _tags(model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """Yield (field, value) of what tells a model from its like."""
    for name in ("kind", "model", "distribution"):
        field = model.model_fields.get(name)
        if field is not None and get_origin(field.annotation) is Literal:
            yield from ((name, tag) for tag in get_args(field.annotation))


def _says(value: Any, model: type[BaseModel]) -> bool:
    return isinstance(value, Mapping) and any(value.get(name) == tag for name, tag in _tags(model))


def items_of_list(annotation: Any) -> Any:
    """Return the type of the items of a ``list[…]``, also as one of several types, else None."""
    if get_origin(annotation) is list:
        return get_args(annotation)[0]
    if get_origin(annotation) is dict:
        return None
    return next((item for item in map(items_of_list, get_args(annotation)) if item is not None), None)


def values_of_mapping(annotation: Any) -> Any:
    """Return the type of the values of a ``dict[…]``, else None."""
    return get_args(annotation)[1] if get_origin(annotation) is dict else None


def get(document: Any, path: Path) -> Any:
    """Return what ``document`` holds at ``path``, or :data:`MISSING`."""
    here = document
    for part in path:
        in_list = isinstance(here, list) and isinstance(part, int) and 0 <= part < len(here)
        if not in_list and not (isinstance(here, Mapping) and part in here):
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
