# SPDX-License-Identifier: Apache-2.0
"""Save many figures on all processors."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path

from lab.evaluation.processes import shared_out
from lab.report.figures.drawn import Drawn
from lab.report.figures.look.settings import save


def save_all(figures: Sequence[Drawn], folder: Path, processes: int | None = None) -> None:
    """Save all *figures* in *folder*, each in all formats; the bytes do not depend on the number of processes.

    Saving takes most of the time of a report.
    """
    # What all processes need is imported once, before they are forked.
    for name in ("svg", "pdf", "agg"):
        importlib.import_module(f"matplotlib.backends.backend_{name}")
    shared_out(lambda place: save(figures[place].figure, folder, figures[place].name), len(figures), processes)
