# SPDX-License-Identifier: Apache-2.0
"""The settings of matplotlib for all figures, and a way to save figures that always gives the same bytes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, BinaryIO

import matplotlib as mpl
from matplotlib.figure import Figure

from lab.report.figures.picture import FORMATS

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


_METADATA: dict[str, Any] = {
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
}
"""Format → the metadata that would differ from one day or version to the next."""


_STYLES: Any = {
    "screen": {},
    # Papers are printed at the size of the figure: 7 pt is the least that ACM and IEEE allow.
    "paper": {
        "font.size": 7.5,
        "axes.titlesize": 7.5,
        "axes.labelsize": 7.5,
        "xtick.labelsize": 7,
        "ytick.labelsize": 7,
        "legend.fontsize": 7,
        "lines.linewidth": 1.0,
    },
}
_STYLES["mono"] = {**_STYLES["paper"], "grid.color": "#e6e6e6"}
"""Name of a style → the settings in which it differs from that of the report."""

_style: ContextVar[str] = ContextVar("style", default="screen")


def styled() -> AbstractContextManager[None]:
    """Return the context with matplotlib's settings, in which all figures must be drawn and saved.

    A user's own file ``matplotlibrc`` has no effect in it.
    """
    own = {name: value for name, value in mpl.rcParamsDefault.items() if name not in _NOT_OF_FIGURES}
    return mpl.rc_context({**own, **_RC, **_STYLES[_style.get()]})


@contextmanager
def with_style(name: str) -> Iterator[None]:
    """Let :func:`styled` have the settings of the style ``screen``, ``paper`` or ``mono``."""
    token = _style.set(name)
    try:
        yield
    finally:
        _style.reset(token)


def save(figure: Figure, folder: Path, name: str) -> None:
    """Save *figure* as SVG, PDF and PNG, without dates or versions, so that the bytes are always the same."""
    folder.mkdir(parents=True, exist_ok=True)
    with styled():
        # The layout takes most of the time, and does not depend on the format: compute it once.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        for suffix in FORMATS:
            save_as(figure, folder / f"{name}.{suffix}")


def save_svg(figure: Figure, file: BinaryIO) -> None:
    """Write *figure* as SVG to an open file, as :func:`save_as` does; call it within :func:`styled`."""
    figure.savefig(file, format="svg", metadata=_METADATA["svg"])


def save_as(figure: Figure, path: Path) -> None:
    """Save *figure* in the format of the path's suffix, without dates or versions.

    Call it within :func:`styled`.
    """
    suffix = path.suffix.removeprefix(".")
    options: dict[str, Any] = {"dpi": 200} if suffix == "png" else {}
    figure.savefig(path, metadata=_METADATA[suffix], **options)
