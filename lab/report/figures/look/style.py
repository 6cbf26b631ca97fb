# SPDX-License-Identifier: Apache-2.0
"""Colours, line styles and sizes of figures."""

from __future__ import annotations

import colorsys
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

COLUMN_INCHES = 3.4
"""Width of one column of a two-column paper."""
PAGE_INCHES = 7.0
"""Width of both columns of a two-column paper."""

GREY = "#666666"
"""Colour of reference lines, and of legend entries that apply to all algorithms."""
INK = "#222222"
"""Colour of markers that belong to no algorithm."""

_SOLID: Any = "solid"
_DASHED: Any = (0, (4, 1.5))
_DOTTED: Any = (0, (1.2, 1.2))
_DASHDOT: Any = (0, (5, 1.5, 1.2, 1.5))
_DASHDOTDOT: Any = (0, (6, 1.3, 1.2, 1.3, 1.2, 1.3))
DASHES: tuple[Any, ...] = (_SOLID, _DASHED, _DOTTED, _DASHDOT, _DASHDOTDOT)
"""Line styles that distinguish what has the same colour, most visible first."""


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


# The first seven colours are the palette of Okabe and Ito, which people with any kind of colour vision can distinguish;
# the algorithms that are compared most often have them.  No palette has seventeen such colours, so the others, from
# Paul Tol's palettes, have dashes and markers of their own as well.
_KNOWN = {
    "cubic": Look("#0072B2", _SOLID, "o"),
    "bbr": Look("#D55E00", _DASHED, "s"),
    "reno": Look("#009E73", _DASHDOT, "^"),
    "vegas": Look("#CC79A7", _DOTTED, "D"),
    "bbr3": Look("#E69F00", _DASHDOT, "d"),
    "dctcp": Look("#56B4E9", _DASHED, "v"),
    "westwood": Look("#000000", _DASHDOTDOT, "X"),
    "htcp": Look("#332288", _DASHED, "<"),
    "illinois": Look("#999933", _DASHDOT, ">"),
    "hybla": Look("#882255", _SOLID, "P"),
    "bic": Look("#44AA99", _DOTTED, "p"),
    "veno": Look("#CC6677", _DASHDOT, "h"),
    "yeah": Look("#117733", _SOLID, "*"),
    "scalable": Look("#6B4C1F", _DOTTED, "H"),
    "highspeed": Look("#777777", _DASHED, "8"),
    "nv": Look("#AA3377", _DASHDOTDOT, "o"),
    "lp": Look("#8DA0CB", _SOLID, "s"),
    "cdg": Look("#B8860B", _DASHED, "^"),
    "bbr2": Look("#A33B00", _DOTTED, "D"),
    "udp": Look("#555577", _SOLID, "d"),
}
"""Looks of the kernel's algorithms, and of UDP flows.  No two have the same colour."""

_OTHERS = ("#7B3FB5", "#C51B50", "#3F7F93", "#5F8A00", "#B2566B", "#2E5EAA", "#946300", "#00796B")
"""Colours of algorithms that the kernel does not have, such as a user's own."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*")


def looks(names: Iterable[str]) -> dict[str, Look]:
    """Return the look of each of *names*.

    The kernel's algorithms always have the same look.  Another name has a place of its own among the other colours,
    which only depends on the name; if two names have the same place, the second one in alphabetical order gets the next
    free one.
    """
    wanted = list(dict.fromkeys(names))
    chosen = {name: _KNOWN[name] for name in wanted if name in _KNOWN}
    taken: set[int] = set()
    for name in sorted(set(wanted) - chosen.keys()):
        place = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") % len(_OTHERS)
        if len(taken) % len(_OTHERS) == 0:
            taken.clear()
        while place in taken:
            place = (place + 1) % len(_OTHERS)
        taken.add(place)
        chosen[name] = Look(_OTHERS[place], DASHES[place % len(DASHES)], MARKERS[place % len(MARKERS)])
    return {name: chosen[name] for name in wanted}


def mixed(colour: str, share: float) -> str:
    """Return *colour* mixed with white if *share* is above 0, or with black if it is below; ±1 is pure white or black.

    Black and grey become lighter only: mixed with more black, they could not be told apart.
    """
    other, amount = (255, share) if share > 0 else (0, -share)
    parts = [int(colour[start : start + 2], 16) for start in (1, 3, 5)]
    return "#" + "".join(f"{round(part + (other - part) * amount):02X}" for part in parts)


_MANY_SHADES = 4
"""From this number on, shades use the whole range from dark to light."""
_SHADE = 0.07
"""Half the distance in lightness between two of few shades."""


def shades(colour: str, number: int) -> list[str]:
    """Return *number* shades of *colour* from dark to light; a single one is the colour itself."""
    if number == 1:
        return [colour]
    red, green, blue = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    hue, lightness, saturation = colorsys.rgb_to_hls(red, green, blue)
    low, high = 0.2, 0.68
    if number < _MANY_SHADES:
        # Few shades stay close to the colour, so that nobody takes them for another one.
        low, high = (min(max(lightness + way * _SHADE * (number - 1), low), high) for way in (-1, 1))
    found = []
    for place in range(number):
        parts = colorsys.hls_to_rgb(hue, low + (high - low) * place / (number - 1), saturation)
        found.append("#" + "".join(f"{round(part * 255):02X}" for part in parts))
    return found


def tinted(colour: str, place: int) -> str:
    """Return a variant of *colour* for the series that is at *place*, from 0, among those of this colour."""
    return mixed(colour, (0.0, 0.45, -0.4, 0.65)[place % 4])


_CHARACTERS_PER_INCH = 11.5
"""Characters of a legend's text in one inch."""
_HANDLE_CHARACTERS = 7
"""Width of the line in a legend entry and the space around it, in characters."""


def legend_columns(labels: Sequence[str], inches: float, most: int = 4) -> int:
    """Return the number of columns, at most *most*, with which a legend fits into a figure of this width.

    A legend that is too wide would be cut off by matplotlib.
    """
    lengths = [len(label) + _HANDLE_CHARACTERS for label in labels]
    fitting = [
        columns
        for columns in range(1, min(most, len(lengths)) + 1)
        # A column is as wide as its widest entry, and matplotlib fills one after the other, the first ones fuller.
        if sum(int(part.max()) for part in np.array_split(lengths, columns)) <= inches * _CHARACTERS_PER_INCH
    ]
    return max(fitting, default=1)
