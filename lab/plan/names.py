# SPDX-License-Identifier: Apache-2.0
"""Make names for axes and cells that are short, unique and valid as names of folders.  This module does no I/O."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from lab.units import value_text

__all__ = ["axis_labels", "cell_id", "unique"]

_MAX_ID = 100
"""The longest id of a cell, in characters.

File systems allow 255 bytes, which must also hold the suffix of the trial and that of temporary names.
"""

_ONLY_CELL = "single"
"""The id of the only cell of an experiment without a matrix."""


def axis_labels(paths: list[str]) -> dict[str, str]:
    """Return a label for each path of an axis: the shortest trailing part that no other path ends with."""
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
    """Return the id of the cell with these values, such as ``cubic-loss-0.1pct``; it may not be unique.

    Both mappings have the paths of the axes as keys.
    """
    parts = []
    for path, value in values.items():
        label = labels[path]
        # The name of an algorithm, such as `cubic`, needs no label; values such as `0.1pct` and `true` do.
        parts += [value_text(value)] if label == "cc" else [label.replace(".", "-"), value_text(value)]
    slug = "-".join(filter(None, map(_slug, parts))) or _ONLY_CELL
    if len(slug) > _MAX_ID:
        slug = f"{slug[: _MAX_ID - 9]}-{hashlib.sha256(slug.encode()).hexdigest()[:8]}"
    return slug


def unique(slugs: Iterable[str]) -> list[str]:
    """Return the slugs in order; a slug that occurred before gets a number as a suffix, so that all are different."""
    taken: dict[str, None] = {}
    for slug in slugs:
        number, candidate = 1, slug
        while candidate in taken:
            number += 1
            candidate = f"{slug}-{number}"
        taken[candidate] = None
    return list(taken)
