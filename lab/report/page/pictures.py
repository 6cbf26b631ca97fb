# SPDX-License-Identifier: Apache-2.0
"""The figures as the page shows them: inside of it, at a size at which their text is as large as the page's."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lab.report.figures.picture import Picture

_SCALE = 1.25 * 96 / 72
"""Pixels for each point of a figure, whose text is 8 points high."""
_WIDE_PX = 620
"""A figure of this width has text that is too small to read if it shrinks to the width of a telephone."""


def shown_pictures(pictures: Sequence[Picture], folder: Path) -> list[dict[str, Any]]:
    """Return the pictures, whose files are in *folder*, for the templates.

    ``data`` is the SVG file as a data URI, so that the page needs no other files.
    """
    return [_shown(picture, (folder / f"{picture.name}.svg").read_bytes()) for picture in pictures]


def _shown(picture: Picture, svg: bytes) -> dict[str, Any]:
    fields, size = asdict(picture), _size_px(svg)
    return {
        **fields,
        "data": f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}",
        "size": size,
        "is_wide": size is not None and size[0] >= _WIDE_PX,
    }


def _size_px(svg: bytes) -> tuple[int, int] | None:
    """Return width and height at which the page shows an SVG file of matplotlib, in CSS pixels.

    It is None if the file does not say how large it is: the page is complete even if the file is damaged.
    """
    found = re.search(rb'<svg[^>]*? width="([\d.]+)pt" height="([\d.]+)pt"', svg)
    return (round(float(found[1]) * _SCALE), round(float(found[2]) * _SCALE)) if found else None
