# SPDX-License-Identifier: Apache-2.0
"""The contents of the files that an experiment names.  This module does no I/O.

:mod:`lab.experiment.read.files` reads the files before the experiment is validated.  A field that names a file looks up
its contents in the validation context, by the kind of file that the field expects and the path.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import ValidationInfo

from lab.units import show

__all__ = ["NO_CONTENTS", "Contents", "Kind", "content_of"]

Kind = Literal["capacity", "cc", "sizes", "kernel"]

Contents = Mapping[tuple[Kind, str], object]
"""Kind and path as written → the parsed contents of that file, or a text that says why it cannot be used."""

NO_CONTENTS: Contents = {}


def content_of(kind: Kind, value: object, info: ValidationInfo) -> Any:
    """Return the parsed contents of the file that *value* names.

    Raises:
        ValueError: *value* is not a path, or the file cannot be used; the message says why.
    """
    if info.context is None:
        raise ValueError(f"found {show(value)}: a model alone reads no files; write the experiment as a mapping")
    contents: Contents = (info.context or {}).get("contents", NO_CONTENTS)
    if not isinstance(value, str) or not value:
        raise ValueError(f"found {show(value)}; expected the path of a file")
    found = contents.get((kind, value), "there is no such file")
    if isinstance(found, str):
        raise ValueError(f"found {show(value.partition(chr(0))[0])}: {found}")
    return found
