# SPDX-License-Identifier: Apache-2.0
"""The settings of matplotlib for all figures, and a way to save figures that always gives the same bytes."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

_RC: Any = {
    "font.family": "sans-serif",
    # This font comes with matplotlib.  Other fonts would make the bytes depend on the machine.
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.edgecolor": "#333333",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.2,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "figure.dpi": 100,
    "svg.hashsalt": "lab",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
    "path.simplify_threshold": 0.2,
    # Labels come from experiment files, in which a dollar sign is no mathematical markup.
    "text.parse_math": False,
}


_NOT_OF_FIGURES = ("backend", "backend_fallback", "interactive", "toolbar")
"""Settings of windows on the screen, which stay as they are."""


def styled() -> AbstractContextManager[None]:
    """Return the context with matplotlib's settings, in which all figures must be drawn and saved.

    A user's own file ``matplotlibrc`` has no effect in it.
    """
    own = {name: value for name, value in mpl.rcParamsDefault.items() if name not in _NOT_OF_FIGURES}
    return mpl.rc_context({**own, **_RC})


def save(figure: Figure, folder: Path, name: str) -> None:
    """Save *figure* as SVG, PDF and PNG, without dates or versions, so that the bytes are always the same."""
    folder.mkdir(parents=True, exist_ok=True)
    with styled():
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None, "Creator": None})
        figure.savefig(folder / f"{name}.pdf", metadata={"CreationDate": None, "Creator": None, "Producer": None})
        figure.savefig(folder / f"{name}.png", dpi=200, metadata={"Software": None})
