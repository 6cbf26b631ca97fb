# SPDX-License-Identifier: Apache-2.0
"""How runs and figures show themselves in a notebook."""

from __future__ import annotations

import io
from collections.abc import Sequence
from html import escape
from pathlib import Path

from matplotlib.figure import Figure

from lab.api.summary import RunSummary

_SHOWN_DPI = 144
"""Resolution of a figure in a notebook, in dots per inch."""


class ShownFigure(Figure):
    """A figure that a notebook shows, also if matplotlib's pyplot, which would arrange for it, is not in use."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=_SHOWN_DPI)
        return buffer.getvalue()


def showing(figure: Figure) -> Figure:
    """Return *figure* as one that a notebook shows."""
    figure.__class__ = ShownFigure
    return figure


def html_of(title: str, summary: RunSummary, axes: Sequence[tuple[str, Sequence[str]]], page: Path | None) -> str:
    """Return a run as a small table in HTML.

    *axes* are the names of the matrix's axes with their values as text, and *page* is the page of the report.
    """
    counts = ", ".join(f"{number} {name}" for name, number in summary.trials.items() if number)
    rows = [
        ("Run", escape(summary.run)),
        ("State", escape(summary.state)),
        ("Engine", escape(summary.engine)),
        ("Trials", escape(counts or "none")),
        *((escape(label), escape(", ".join(values))) for label, values in axes),
    ]
    if page is not None:
        rows.append(("Report", f'<a href="{escape(page.resolve().as_uri())}">{escape(str(page))}</a>'))
    cells = "".join(f'<tr><th style="text-align:left">{name}</th><td>{value}</td></tr>' for name, value in rows)
    caption = f'<caption style="text-align:left;font-weight:bold">{escape(title)}</caption>'
    return f"<table>{caption}{cells}</table>"
