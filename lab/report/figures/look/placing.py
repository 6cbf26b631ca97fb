# SPDX-License-Identifier: Apache-2.0
"""Where texts beside points have room: neither on another text nor on a point."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

CHARACTER = 0.63
"""Width of a character, as a share of the size of the font (DejaVu Sans)."""
LINE = 1.15
"""Height of a line, as a share of the size of the font."""
_GAP = 4.0
"""Distance of a text from its point, in points of 1/72 inch."""


@dataclass(frozen=True)
class Box:
    """A rectangle, in points of 1/72 inch."""

    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: Box) -> float:
        """Return the area that both have in common."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(0.0, width) * max(0.0, height)


def around(x: float, y: float, size: float) -> Box:
    """Return the square with sides of *size* around a point."""
    return Box(x - size / 2, y - size / 2, x + size / 2, y + size / 2)


def text_box(x: float, y: float, text: str, font_size: float) -> Box:
    """Return about where a text is whose left end and middle are at a point."""
    height = LINE * font_size
    return Box(x, y - height / 2, x + CHARACTER * font_size * len(text), y + height / 2)


def place(
    labels: Sequence[tuple[float, float, str]], font_size: float, within: Box, taken: Iterable[Box] = ()
) -> list[tuple[float, float]]:
    """Return where the texts *labels*, each with the point that it belongs to, begin: their left end and middle.

    A text is at the right of its point if it has room there, or else at the left, above or below, or further away.  It
    stays *within* the axes and off what is *taken* and the texts before it, or, if that is impossible, where it covers
    the least.
    """
    occupied = list(taken)
    found = []
    for x, y, text in labels:
        width, height = CHARACTER * font_size * len(text), LINE * font_size
        candidates = [
            (x + dx, y + dy)
            for far in (1.0, 2.2, 3.4, 4.6, 5.8, 7.0)
            for dx, dy in (
                (_GAP, 0.0),
                (-_GAP - width, 0.0),
                (-width / 2, far * height * 0.9),
                (-width / 2, -far * height * 0.9),
                (_GAP, far * height * 0.8),
                (_GAP, -far * height * 0.8),
                (-_GAP - width, far * height * 0.8),
                (-_GAP - width, -far * height * 0.8),
            )
        ]
        best = min(candidates, key=lambda at: _cost(text_box(at[0], at[1], text, font_size), within, occupied))
        occupied.append(text_box(best[0], best[1], text, font_size))
        found.append(best)
    return found


def _cost(box: Box, within: Box, occupied: Sequence[Box]) -> float:
    """Return the area of a box that covers something, or that is outside; ``min`` takes the first of equal ones."""
    area = (box.right - box.left) * (box.top - box.bottom)
    return math.fsum(box.overlap(other) for other in occupied) + 3 * (area - box.overlap(within))
