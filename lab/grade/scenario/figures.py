# SPDX-License-Identifier: Apache-2.0
"""Which figure shows why a criterion gives the points that it gives, and how it is drawn."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab.errors import LabError
from lab.experiment.schema.report import CdfFigure, Figure, TimeFigure
from lab.grade.assignment.schema import Criterion

__all__ = ["drawn", "figure_of", "key_of"]

_WORDS: tuple[tuple[str, Mapping[str, str]], ...] = (
    ("latency", {"kind": "cdf", "y": "latency"}),
    ("fct", {"kind": "cdf", "y": "completions"}),
    ("slowdown", {"kind": "cdf", "y": "completions"}),
    ("jain", {"kind": "time", "y": "goodput"}),
    ("goodput", {"kind": "time", "y": "goodput"}),
    ("share", {"kind": "time", "y": "goodput"}),
    ("utilisation", {"kind": "time", "y": "goodput"}),
    ("rtt", {"kind": "time", "y": "srtt"}),
    ("queue", {"kind": "time", "y": "queue"}),
    ("drop", {"kind": "time", "y": "queue"}),
    ("pacing", {"kind": "time", "y": "pacing_rate"}),
    ("in_flight", {"kind": "time", "y": "in_flight"}),
)
"""A word in a condition → the figure that shows what it is about; the first word that occurs counts."""


def figure_of(criterion: Criterion) -> Figure:
    """Return the figure of a criterion: its own, or else one that shows what its condition names."""
    if criterion.figure is not None:
        return criterion.figure
    text = criterion.that or criterion.value or ""
    found = next((fields for word, fields in _WORDS if word in text), {"kind": "time", "y": "cwnd"})
    if found["kind"] == "cdf":
        return CdfFigure.model_validate(found)
    return TimeFigure.model_validate(found)


def key_of(figure: Figure) -> str:
    """Return a name for a figure: equal figures have the same."""
    text = json.dumps(figure.model_dump(mode="json"), sort_keys=True)
    return f"{figure.kind}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def drawn(report: Any, figure: Figure, folder: Path) -> dict[str, str] | None:
    """Draw a figure of a report (:class:`lab.report.model.Report`) as an SVG file in *folder*.

    Return its ``name``, ``caption`` and ``alt``; None if there is nothing that it could show, such as the window of a
    connection that never opened.
    """
    # Loading matplotlib takes longer than reading a submission that needs none.
    from lab.report.figures.asked import draw_figure
    from lab.report.figures.look.settings import save_as, styled

    try:
        found = draw_figure(report, figure)
    except LabError:
        return None
    if not found:
        return None
    name = key_of(figure)
    folder.mkdir(exist_ok=True)
    with styled():
        save_as(found[0].figure, folder / f"{name}.svg")
    return {"name": name, "caption": found[0].caption, "alt": found[0].alt}
