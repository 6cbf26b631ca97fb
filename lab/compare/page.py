# SPDX-License-Identifier: Apache-2.0
"""The comparison of runs as an HTML page that needs no other files."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from lab.compare.cells import RunCells
from lab.compare.differences import Comparison
from lab.compare.figure import overlaid
from lab.compare.outcome import cell_lines, cell_summary, inputs, lines, remarks, summary, what_changed
from lab.compare.pictures import Pair, pairs
from lab.report.page.render import render_other

CLASSES = {"worse": "invalid", "better": "ok", "changed": "warn", "unclear": "soft", "same": "", "identical": ""}
"""Verdict → the class of the page's style that it has."""

_CELL_CLASSES = {
    "invalid": "invalid", "missing": "invalid", "new": "invalid", "worse": "invalid", "better": "ok",
    "changed": "warn", "unclear": "soft", "within tolerance": "", "unchanged to the byte": "",
}  # fmt: skip
"""Verdict on a cell → the class of the page's style that it has."""


def as_html(runs: Sequence[RunCells], comparisons: Sequence[Comparison], *, everything: bool) -> str:
    """Return the comparisons of the first of *runs* with the others as a page."""
    figure = overlaid(runs)
    content = {
        "runs": [run.name for run in runs],
        "classes": CLASSES,
        "cell_classes": _CELL_CLASSES,
        "figure": None if figure is None else _embedded(figure),
        "comparisons": [
            {
                "first": comparison.first.name,
                "second": comparison.second.name,
                "cells_summary": cell_summary(comparison),
                "changed": what_changed(comparison),
                "cells": cell_lines(comparison, everything=everything),
                "pairs": [_pair(pair) for pair in pairs(comparison)],
                "summary": summary(comparison),
                "lines": lines(comparison, everything=everything),
                "remarks": remarks(comparison),
                "inputs": inputs(comparison),
            }
            for comparison in comparisons
        ],
    }
    return render_other("compare.html.j2", content)


def _pair(pair: Pair) -> dict[str, str]:
    return {"title": pair.title, "first": _embedded(pair.first), "second": _embedded(pair.second)}


def _embedded(svg: bytes) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
