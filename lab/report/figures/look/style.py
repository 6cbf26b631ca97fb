# SPDX-License-Identifier: Apache-2.0
"""Colours, line styles and sizes of figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

COLUMN_INCHES = 3.4
"""Width of one column of a two-column paper."""
PAGE_INCHES = 7.0
"""Width of both columns of a two-column paper."""

GREY = "#666666"
"""Colour of reference lines, and of legend entries that apply to all algorithms."""
INK = "#222222"
"""Colour of markers that belong to no algorithm."""

# The palette of Okabe and Ito, whose colours people with any kind of colour vision can distinguish.
_BLUE, _RED, _GREEN, _PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
_SKY, _ORANGE, _BLACK = "#56B4E9", "#E69F00", "#000000"
_COLOURS = (_BLUE, _RED, _GREEN, _PURPLE, _ORANGE, _SKY, _BLACK)

_SOLID: Any = "solid"
_DASHED: Any = (0, (4, 1.5))
_DOTTED: Any = (0, (1.2, 1.2))
_DASHDOT: Any = (0, (5, 1.5, 1.2, 1.5))
_STYLES = (_SOLID, _DASHED, _DASHDOT, _DOTTED)


@dataclass(frozen=True)
class Look:
    """Colour, line style and marker of a series, which are the same in all figures."""

    colour: str
    dashes: Any
    marker: str
    tint: str = ""
    """Colour where all lines must be solid: series of the same colour differ in it.  Empty: ``colour``."""

    @property
    def solid_colour(self) -> str:
        return self.tint or self.colour


_KNOWN = {
    "cubic": Look(_BLUE, _SOLID, "o"),
    "bbr": Look(_RED, _DASHED, "s"),
    "reno": Look(_GREEN, _DASHDOT, "^"),
    "vegas": Look(_PURPLE, _DOTTED, "D"),
    "dctcp": Look(_SKY, _SOLID, "v"),
    "hybla": Look(_ORANGE, _SOLID, "P"),
    "westwood": Look(_BLACK, _DASHDOT, "X"),
    "htcp": Look(_ORANGE, _DASHED, "<"),
    "illinois": Look(_SKY, _DASHDOT, ">"),
    "bic": Look(_PURPLE, _SOLID, "p"),
    "veno": Look(_BLACK, _DASHED, "h"),
    "yeah": Look(_GREEN, _SOLID, "*"),
    "bbr3": Look(_ORANGE, _DASHDOT, "d"),
    "scalable": Look(_BLACK, _SOLID, "H"),
    "highspeed": Look(_SKY, _DASHED, "8"),
    "nv": Look(_RED, _DOTTED, "o"),
    "lp": Look(_GREEN, _DOTTED, "s"),
    "cdg": Look(_PURPLE, _DASHED, "^"),
}
"""Looks of known algorithms."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*")


def has_colours_for(number: int) -> bool:
    """Return whether there are enough colours to distinguish *number* series by colour alone."""
    return number <= len(_COLOURS)


def tinted(colour: str, place: int) -> str:
    """Return a lighter variant of *colour* for the series that is at *place*, from 0, among those of this colour."""
    share = (0.0, 0.45, 0.65, 0.8)[min(place, 3)]
    parts = [int(colour[start : start + 2], 16) for start in (1, 3, 5)]
    return "#" + "".join(f"{round(part + (255 - part) * share):02X}" for part in parts)


def looks(names: Sequence[str]) -> dict[str, Look]:
    """Return the look of each of *names*.

    Known algorithms always have the same look.  Other names get the remaining looks in alphabetical order.
    """
    chosen = {name: _KNOWN[name] for name in names if name in _KNOWN}
    used = {(look.colour, look.dashes) for look in chosen.values()}
    free = [(colour, dashes) for dashes in _STYLES for colour in _COLOURS if (colour, dashes) not in used]
    for number, name in enumerate(sorted(set(names) - set(chosen))):
        colour, dashes = free[number % len(free)]
        chosen[name] = Look(colour, dashes, MARKERS[number % len(MARKERS)])
    return chosen


_CHARACTERS_PER_INCH = 11.5
"""Characters of a legend's text in one inch."""
_HANDLE_CHARACTERS = 7
"""Width of the line in a legend entry and the space around it, in characters."""


def legend_columns(labels: Sequence[str], inches: float, most: int = 4) -> int:
    """Return the number of columns, at most *most*, with which a legend fits into a figure of this width.

    A legend that is too wide would be cut off by matplotlib.
    """
    widest = max((len(label) for label in labels), default=0) + _HANDLE_CHARACTERS
    return max(1, min(most, len(labels), int(inches * _CHARACTERS_PER_INCH // widest)))


def cycle(number: int) -> list[dict[str, Any]]:
    """Return *number* line styles that can be distinguished.  Once all colours are used, the dashes differ as well."""
    dashes: tuple[Any, ...] = ("solid", (0, (4, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)))
    return [
        {"color": _COLOURS[place % len(_COLOURS)], "linestyle": dashes[place // len(_COLOURS) % len(dashes)]}
        for place in range(number)
    ]
