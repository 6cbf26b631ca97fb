# SPDX-License-Identifier: Apache-2.0
"""Names of axes and cells: short, unique, and usable as names of folders.  Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from lab.units import value_text

__all__ = ["axis_labels", "cell_id", "unique"]

_MAX_ID = 100
"""Characters in a cell's id: file systems take 255 bytes, and the trial's suffix and temporary names come on top."""

_ONLY_CELL = "single"
"""The cell of an experiment without a matrix."""


def axis_labels(paths: list[str]) -> dict[str, str]:
    """Return for each path the shortest end that no other path has."""
    labels = {}
    for path in paths:
        parts = path.split(".")
        ends = (".".join(parts[-length:]) for length in range(1, len(parts) + 1))
        others = [f".{other}" for other in paths if other != path]
        labels[path] = next((end for end in ends if not any(other.endswith(f".{end}") for other in others)), path)
    return labels


def _slug(text: str) -> str:
    small = text.lower().replace("%", "pct")
    return re.sub(r"[^a-z0-9._]+", "-", small).strip("-.")


def cell_id(labels: Mapping[str, str], values: Mapping[str, Any]) -> str:
    parts = []
    for path, value in values.items():
        label = labels[path]
        # `cubic` says what it is; `0.1pct` and `true` do not.
        parts += [value_text(value)] if label == "cc" else [label.replace(".", "-"), value_text(value)]
    slug = "-".join(filter(None, map(_slug, parts))) or _ONLY_CELL
    if len(slug) > _MAX_ID:
        slug = f"{slug[: _MAX_ID - 9]}-{hashlib.sha256(slug.encode()).hexdigest()[:8]}"
    return slug


def unique(slugs: Iterable[str]) -> list[str]:
    """Return the slugs, those that occurred before with a number that makes them differ."""
    taken: dict[str, None] = {}
    for slug in slugs:
        number, candidate = 1, slug
        while candidate in taken:
            number += 1
            candidate = f"{slug}-{number}"
        taken[candidate] = None
    return list(taken)
