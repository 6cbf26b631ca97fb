# SPDX-License-Identifier: Apache-2.0
"""What the files that an experiment names hold, read before it is checked.  Pure: others read the files.

A field that names a file looks the content up in the validation's context, under what kind of file it expects.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import ValidationInfo

from lab.units import show

__all__ = ["NO_CONTENTS", "Contents", "Kind", "content_of"]

Kind = Literal["capacity", "sizes", "kernel"]

Contents = Mapping[tuple[Kind, str], object]
"""(kind, path as written) → what the file there holds, as its kind's parser gives it; a text says why there is none."""

NO_CONTENTS: Contents = {}


def content_of(kind: Kind, value: object, info: ValidationInfo) -> Any:
    """Return what the file that *value* names holds.

    Raises:
        ValueError: It names none, or the file cannot be used; the text says why.
    """
    contents: Contents = (info.context or {}).get("contents", NO_CONTENTS)
    if not isinstance(value, str) or not value:
        raise ValueError(f"found {show(value)}; expected the path of a file")
    found = contents.get((kind, value), "there is no such file")
    if isinstance(found, str):
        raise ValueError(f"found {show(value)}: {found}")
    return found
