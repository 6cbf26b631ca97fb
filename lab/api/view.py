# SPDX-License-Identifier: Apache-2.0
"""Read-only views of what was read from JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any


class View(Mapping[str, Any]):
    """A mapping that cannot be changed; the mappings in it are views, too, and the lists in it are tuples."""

    __slots__ = ("_document",)

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document

    def __getitem__(self, key: str) -> Any:
        return _viewed(self._document[key])

    def __iter__(self) -> Iterator[str]:
        return iter(self._document)

    def __len__(self) -> int:
        return len(self._document)

    def __repr__(self) -> str:
        return repr(self._document)

    def copy(self) -> dict[str, Any]:
        """Return a copy of everything, as plain dicts and lists, which may be changed."""
        return deepcopy(self._document)


def _viewed(value: Any) -> Any:
    if isinstance(value, dict):
        return View(value)
    return tuple(map(_viewed, value)) if isinstance(value, list) else value
