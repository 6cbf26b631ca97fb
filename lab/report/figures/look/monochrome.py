# SPDX-License-Identifier: Apache-2.0
"""Figures without colours: each algorithm has a grey, and dashes or a marker of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.collections import Collection
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text

from lab.report.figures.look.style import DASHES, Look

LIGHTEST = 0.62
"""The lightest grey of a series; lighter ones would hardly be visible on paper."""
_AUTOMATIC = ("none", "None", "auto", "inherit")


def make_monochrome(figure: Figure, looks: Sequence[Look]) -> None:
    """Replace all colours of *figure* by greys, and give each of *looks*, the series, dashes of its own.

    The series have greys from black to :data:`LIGHTEST`, and lines that were solid get dashes; other colours have the
    grey of the same luminance.
    """
    colours = list(dict.fromkeys(to_hex(colour) for look in looks for colour in (look.colour, look.solid_colour)))
    last = max(1, len(colours) - 1)
    greys = {colour: f"{LIGHTEST * place / last:.3f}" for place, colour in enumerate(colours)}
    dashes = {colour: DASHES[place % len(DASHES)] for place, colour in enumerate(colours)}
    for artist in figure.findobj():
        if isinstance(artist, Line2D):
            colour = to_hex(artist.get_color())
            if artist.get_linestyle() in ("-", "solid") and colour in dashes:
                artist.set_linestyle(dashes[colour])
            artist.set_color(_grey(artist.get_color(), greys))
            artist.set_markerfacecolor(_grey(artist.get_markerfacecolor(), greys))
            artist.set_markeredgecolor(_grey(artist.get_markeredgecolor(), greys))
        elif isinstance(artist, Text):
            artist.set_color(_grey(artist.get_color(), greys))
        elif isinstance(artist, Patch):
            artist.set_facecolor(_grey(artist.get_facecolor(), greys))
            artist.set_edgecolor(_grey(artist.get_edgecolor(), greys))
        elif isinstance(artist, AxesImage):
            artist.set_cmap("gray")
        elif isinstance(artist, Collection):
            artist.set_facecolor([_grey(one, greys) for one in artist.get_facecolor()])
            artist.set_edgecolor([_grey(one, greys) for one in artist.get_edgecolor()])


def _grey(colour: Any, greys: dict[str, str]) -> Any:
    """Return the grey of a colour, with the same opacity."""
    if isinstance(colour, str) and colour in _AUTOMATIC:
        return colour
    red, green, blue, alpha = to_rgba(colour)
    if (known := greys.get(to_hex((red, green, blue)))) is not None:
        return (float(known),) * 3 + (alpha,)
    # Relative luminance of ITU-R BT.709, of the values as they are stored.
    level = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return (level, level, level, alpha)
