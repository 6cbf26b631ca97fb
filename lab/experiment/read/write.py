# SPDX-License-Identifier: Apache-2.0
"""Write an experiment as YAML.  No I/O."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML

from lab.errors import SpecError
from lab.experiment.check.problems import path_text
from lab.experiment.read.document import parse_yaml
from lab.experiment.schema.base import Model
from lab.experiment.schema.fields import Path
from lab.units import show

__all__ = ["plain_document", "to_yaml"]


def to_yaml(document: Any) -> bytes:
    """Return a document of plain values as YAML, with its keys in their order."""
    buffer = io.BytesIO()
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = None
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    writer.dump(document, buffer)
    return buffer.getvalue()


def plain_document(experiment: Any) -> dict[str, Any]:
    """Return an experiment that was built in Python as the plain values that an experiment file would have.

    *experiment* is a model, such as :class:`~lab.experiment.schema.experiment.Experiment`, or a mapping, in which parts
    may be models.  Fields that were not set are left out.

    Raises:
        SpecError: Something in it cannot be written in a file; the message has its path.
    """
    found = _plain(experiment, ())
    if not isinstance(found, dict):
        raise SpecError(f"found {show(experiment)}; expected an Experiment, a mapping, or the path of a file")
    # What is stored must mean the same when it is read again.
    if parse_yaml(to_yaml(found).decode()).root != found:
        raise SpecError("the experiment cannot be written as YAML so that it means the same; write it as a file")
    return found


def _plain(value: Any, path: Path) -> Any:
    if isinstance(value, Model):
        return _plain(value.model_dump(mode="json", by_alias=True, exclude_unset=True), path)
    if isinstance(value, Mapping):
        return {_key(key, path): _plain(item, (*path, str(key))) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, (*path, index)) for index, item in enumerate(value)]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    # numpy's numbers, also those of a polars or pandas column, are no numbers to YAML.
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0:
        return value.item()
    if value is None or type(value) in (bool, int, float, str):
        return value
    where = path_text(path) if path else "the experiment"
    raise SpecError(f"{where}: found {show(value)} ({type(value).__name__}); expected a text, number, list or mapping")


def _key(key: Any, path: Path) -> str:
    if not isinstance(key, str):
        where = path_text(path) if path else "the experiment"
        raise SpecError(f"{where}: found the key {show(key)}; expected a text")
    return key
