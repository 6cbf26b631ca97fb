# SPDX-License-Identifier: Apache-2.0
"""Look up paths of fields, such as ``topology.bottleneck.loss``, in the schema and in a document of plain values."""

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
"""The names of fields and the indices into lists that lead from the root of a document to a value."""

MISSING = object()
"""The value that :func:`get` returns if the document has nothing at a path."""

_T = TypeVar("_T")


def fields_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the fields of a model by the names under which they are written in a file."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def fields_at(path: Path, document: Any, root: type[BaseModel] = Experiment) -> dict[str, FieldInfo] | None:
    """Return the fields that the schema has at ``path``; None if ``path`` is not a part with fixed fields."""
    model = model_in(type_at(path, document, root), get(document, path))
    return None if model is None else fields_of(model)


def type_at(path: Path, document: Any, root: type[BaseModel] = Experiment) -> Any:
    """Return the type that the schema has at ``path``; None if the schema has no such path.

    If a part may be one of several models, the contents of ``document`` decide which one it is.  The document is of
    the model *root*.
    """
    annotation: Any = root
    for depth, part in enumerate(path):
        model = model_in(annotation, get(document, path[:depth]))
        if model is not None:
            field = fields_of(model).get(str(part))
            annotation = None if field is None else field.annotation
        elif isinstance(part, int):
            annotation = items_of_list(annotation)
        else:
            annotation = values_of_mapping(annotation)
        if annotation is None:
            return None
    return annotation


def model_in(annotation: Any, value: Any) -> type[BaseModel] | None:
    """Return the model in an annotation such as ``X``, ``X | None`` or ``Annotated[X, …]``.

    If there are several, return the one whose tag ``value`` contains; None if there is none.
    """
    models = list(dict.fromkeys(models_in(annotation)))
    if len(models) < 2:
        return models[0] if models else None
    return next((model for model in models if _is_tagged_as(value, model)), None)


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models that a field with this annotation may hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) not in (dict, list):
        for argument in get_args(annotation):
            yield from models_in(argument)


def tags_of(annotation: Any) -> set[str]:
    """Return the tags that distinguish the models which a field may hold; empty if there is only one model."""
    models = list(dict.fromkeys(models_in(annotation)))
    return {tag for model in models for _name, tag in _tags(model)} if len(models) > 1 else set()


def _tags(model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """Yield the name and value of the field that distinguishes a model from its alternatives."""
    for name in ("kind", "model", "distribution"):
        field = model.model_fields.get(name)
        if field is not None and get_origin(field.annotation) is Literal:
            yield from ((name, tag) for tag in get_args(field.annotation))


def _is_tagged_as(value: Any, model: type[BaseModel]) -> bool:
    return isinstance(value, Mapping) and any(value.get(name) == tag for name, tag in _tags(model))


def items_of_list(annotation: Any) -> Any:
    """Return the type of the items of a ``list[…]``, which may be one member of a union; None if there is no list."""
    if get_origin(annotation) is list:
        return get_args(annotation)[0]
    if get_origin(annotation) is dict:
        return None
    return next((item for item in map(items_of_list, get_args(annotation)) if item is not None), None)


def values_of_mapping(annotation: Any) -> Any:
    """Return the type of the values of a ``dict[…]``; None for any other annotation."""
    return get_args(annotation)[1] if get_origin(annotation) is dict else None


def get(document: Any, path: Path) -> Any:
    """Return the value of ``document`` at ``path``, or :data:`MISSING`."""
    value = document
    for part in path:
        in_list = isinstance(value, list) and isinstance(part, int) and 0 <= part < len(value)
        if not in_list and not (isinstance(value, Mapping) and part in value):
            return MISSING
        value = value[part]
    return value


def blocked(document: Any, path: Path) -> bool:
    """Return whether a part of ``path`` before its last is a value that cannot have fields, such as a number."""
    parents = (get(document, path[:depth]) for depth in range(len(path)))
    return any(not isinstance(parent, Mapping) and parent is not None and parent is not MISSING for parent in parents)


def replaced(document: Any, path: Path, value: Any) -> dict[Any, Any]:
    """Return a copy of ``document`` with ``value`` at ``path``; missing mappings on the path are created.

    Parts that are not on the path are shared with ``document`` instead of copied, because documents are never modified
    in place.
    """
    copy = dict(document) if isinstance(document, Mapping) else {}
    head, *rest = path
    copy[head] = replaced(copy.get(head), tuple(rest), value) if rest else value
    return copy
