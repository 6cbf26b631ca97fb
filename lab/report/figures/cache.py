# SPDX-License-Identifier: Apache-2.0
"""Figures that were drawn before, from the same results by the same code."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import matplotlib as mpl
import numpy as np

from lab.report.figures.style import FORMATS
from lab.store.folders import by_last_use, mark_used, new_folder, remove_folder
from lab.store.run import Run

KEPT = 20
"""Sets of figures, those used last."""

_DRAWN_BY = ("report", "evaluation", "analysis", "store", "units.py")


class FigureCache:
    """The figures of one run, below *root*."""

    def __init__(self, root: Path, run: Run) -> None:
        self._root = root
        self._entry = root / _key(run)
        mark_used(self._entry)

    def copy(self, name: str, folder: Path) -> bool:
        """Copy the figure *name* in all formats into *folder*; False if it is not there."""
        files = [self._entry / f"{name}.{suffix}" for suffix in FORMATS]
        if not all(file.is_file() for file in files):
            return False
        for file in files:
            shutil.copyfile(file, folder / file.name)
        return True

    def put(self, folder: Path) -> None:
        """Keep the figures in *folder*, unless they are there already.

        Raises:
            StoreError: The disk cannot take them.
        """
        if self._entry.is_dir():
            return
        with new_folder(self._entry, if_there="keep") as entry:
            shutil.copytree(folder, entry, dirs_exist_ok=True)
        for folder in by_last_use([self._root])[KEPT:]:
            remove_folder(folder)


def _key(run: Run) -> str:
    """Digest of the plan, of all results (failed trials too), and of what draws them."""
    total = hashlib.sha256(f"matplotlib {mpl.__version__} numpy {np.__version__}\n".encode())
    total.update((run.path / "plan.json").read_bytes())
    for trial in run.trials():
        total.update(f"{trial.id} {trial.status} {trial.record_digest}\n".encode())
    package = Path(__file__).parents[2]
    for part in _DRAWN_BY:
        path = package / part
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            total.update(f"{file.relative_to(package)}\n".encode() + file.read_bytes())
    return total.hexdigest()
