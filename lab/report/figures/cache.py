# SPDX-License-Identifier: Apache-2.0
"""A cache of figures, for reports that the same code builds again from the same results."""

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
"""Number of runs whose figures are kept: the most recently used ones."""

_DRAWN_BY = ("report", "evaluation", "analysis", "store", "units.py")
"""The parts of ``lab`` that a figure depends on."""


class FigureCache:
    """The figures of one run, in a folder in *root*."""

    def __init__(self, root: Path, run: Run) -> None:
        self._root = root
        self._entry = root / _key(run)
        mark_used(self._entry)

    def copy(self, name: str, folder: Path) -> bool:
        """Copy the figure *name* in all formats into *folder*; return False if the cache does not have it."""
        files = [self._entry / f"{name}.{suffix}" for suffix in FORMATS]
        if not all(file.is_file() for file in files):
            return False
        for file in files:
            shutil.copyfile(file, folder / file.name)
        return True

    def put(self, folder: Path) -> None:
        """Copy the figures in *folder* to the cache, unless it has them already.

        Raises:
            StoreError: The cache cannot be written.
        """
        if self._entry.is_dir():
            return
        with new_folder(self._entry, if_there="keep") as entry:
            shutil.copytree(folder, entry, dirs_exist_ok=True)
        for folder in by_last_use([self._root])[KEPT:]:
            remove_folder(folder)


def _key(run: Run) -> str:
    """Return the digest of the plan, of all results (failed trials included), and of the code that draws them."""
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
