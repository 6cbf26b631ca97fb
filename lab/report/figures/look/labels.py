# SPDX-License-Identifier: Apache-2.0
"""Texts in figures: values of the matrix, titles that fit above their panel, and labels beside the ends of lines."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from lab.evaluation.axes import RunAxis, value_label
from lab.report.model import Report

DIRECT = 5
"""A panel with more series than this has labels beside its lines instead of a legend."""
_CHARACTERS_PER_INCH = 15
"""Characters of a panel's title in one inch."""
_LEAST_GAP = 0.052
"""Smallest distance between two labels beside lines, as a share of the height of the axes."""


def axis_texts(axis: RunAxis) -> dict[str, str]:
    """Return text of each value of *axis*, as in tables → its label in figures."""
    return {axis.text(value): value_label(axis, value) for value in axis.values}


def cell_title(report: Report, facet: Sequence[str], axes: Sequence[RunAxis] | None = None) -> str:
    """Return a facet as text, such as ``loss 0.1%, rtt 40 ms``, limited to *axes* if they are given."""
    chosen = report.facet_axes if axes is None else axes
    named = dict(zip((axis.path for axis in report.facet_axes), facet, strict=True))
    return ", ".join(f"{axis.label} {_shown(axis, named[axis.path])}" for axis in chosen)


def where_label(report: Report, where: Sequence[str]) -> str:
    """Return a cell of all axes, such as ``cubic, fq_codel``."""
    return ", ".join(_shown(axis, text) for axis, text in zip(report.axes, where, strict=True))


def cell_label(report: Report, where: Sequence[str], without: RunAxis) -> str:
    """Return a cell of all axes as :func:`where_label` does, but without the value of one axis."""
    pairs = zip(report.axes, where, strict=True)
    return ", ".join(_shown(axis, text) for axis, text in pairs if axis is not without)


def _shown(axis: RunAxis, text: str) -> str:
    return axis_texts(axis).get(text, text)


def wrapped(title: str, inches: float) -> str:
    """Return *title* with line breaks, so that it fits above a panel of this width."""
    return textwrap.fill(title, max(12, int(inches * _CHARACTERS_PER_INCH)), break_long_words=True)


def label_lines(axes: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """Write labels at the right of the axes, each beside the end of its line: (y of the end, text, colour).

    Labels that would overlap are moved apart.  The limits of the axes must not change any more.
    """
    if not ends:
        return
    to_share = axes.transLimits.transform(axes.transScale.transform([(1.0, y) for y, _text, _colour in ends]))[:, 1]
    order = np.argsort(to_share, kind="stable")
    for place, share in zip(order, spread(np.asarray(to_share)[order], _LEAST_GAP), strict=True):
        _y, text, colour = ends[int(place)]
        axes.annotate(
            text,
            (1.0, float(share)),
            xycoords="axes fraction",
            xytext=(3, 0),
            textcoords="offset points",
            color=colour,
            fontsize=6.5,
            va="center",
            annotation_clip=False,
        )


def spread(places: Any, gap: float) -> Any:
    """Return ascending *places*, shares from 0 to 1, moved so that two neighbours are at least *gap* apart.

    Those that were too close are around the same middle as before, unless that would put them outside of 0 to 1.  If
    there are so many that they do not fit, they are closer.
    """
    gap = min(gap, 1 / max(1, len(places) - 1))
    groups: list[list[float]] = []
    for place in places:
        groups.append([float(place)])
        while len(groups) > 1 and _low(groups[-1], gap) < _low(groups[-2], gap) + gap * len(groups[-2]):
            groups[-2:] = [groups[-2] + groups[-1]]
    return np.array([_low(group, gap) + gap * number for group in groups for number in range(len(group))])


def _low(group: Sequence[float], gap: float) -> float:
    height = gap * (len(group) - 1)
    return min(max(0.0, float(np.mean(group)) - height / 2), max(0.0, 1 - height))
