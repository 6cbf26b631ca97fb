# SPDX-License-Identifier: Apache-2.0
"""What figures hold: the numbers in matplotlib's artists, by the colours that their legends give a name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

Points = list[tuple[float, float]]


def points(line: Line2D) -> Points:
    """Return the points of a line."""
    x, y = np.asarray(line.get_xdata(), dtype=float), np.asarray(line.get_ydata(), dtype=float)
    return list(zip(x.tolist(), y.tolist(), strict=True))


def colour(artist: Any) -> str:
    """Return an artist's colour as text."""
    found = artist.get_facecolor() if hasattr(artist, "get_facecolor") else artist.get_color()
    return to_hex(found)


def legend_of(figure: Figure) -> dict[str, str]:
    """Return what the figure's legend says: text → colour."""
    (legend,) = figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    return {text: colour(handle) for text, handle in zip(texts, legend.legend_handles, strict=True)}


def lines_of(axes: Axes, name: str, **wanted: Any) -> list[Line2D]:
    """Return the lines of a colour for which each ``get_…()`` gives what is wanted."""
    found = [line for line in axes.get_lines() if to_hex(line.get_color()) == name]
    return [line for line in found if all(getattr(line, f"get_{key}")() == value for key, value in wanted.items())]


def levels(axes: Axes) -> list[float]:
    """Return where horizontal lines across all of the axes are."""
    transform = axes.get_yaxis_transform()
    found = [line for line in axes.get_lines() if points(line)[:1] and [x for x, _ in points(line)] == [0.0, 1.0]]
    return [points(line)[0][1] for line in found if line.get_transform() == transform]


def is_close(one: Sequence[tuple[float, ...]], other: Sequence[tuple[float, ...]]) -> bool:
    """Whether two sequences of points are the same but for rounding."""
    return len(one) == len(other) and bool(np.allclose(np.array(one), np.array(other), rtol=1e-9, atol=1e-9))


def side_by_side(axes: Axes) -> int:
    """Return how many panels of the figure are side by side."""
    place = axes.get_subplotspec()
    assert place is not None
    return place.get_gridspec().ncols


def visible(figure: Figure) -> list[Axes]:
    return [axes for axes in figure.axes if axes.get_visible()]
