# SPDX-License-Identifier: Apache-2.0
"""A cache of figures, for reports that the same code builds again from the same results."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from lab.report.figures.picture import Picture
from lab.store.digest import file_digests
from lab.store.files import to_json, writing
from lab.store.folders import by_last_use, mark_used, new_folder, remove_folder
from lab.store.run import Run

KEPT = 20
"""Number of runs whose figures are kept: the most recently used ones."""

_LIST = "figures.json"
"""Name of the file that lists the figures of an entry."""

DRAWN_BY = (
    "report",
    "evaluation",
    "analysis",
    "expect",
    "cc",
    "experiment",
    "store",
    "job",
    "names.py",
    "units.py",
    "words.py",
    "errors.py",
)
"""The parts of ``lab`` that a figure depends on."""

LIBRARIES = (
    "annotated-types", "contourpy", "cycler", "fonttools", "kiwisolver", "matplotlib", "numpy", "packaging", "pillow",
    "pyarrow", "pydantic", "pydantic_core", "pyparsing", "python-dateutil", "scipy", "typing-inspection",
    "typing_extensions",
)  # fmt: skip
"""The libraries that a figure depends on: matplotlib with what it needs, those that read and compute the data, and
those that read which figures an experiment asks for."""


class FigureCache:
    """The figures of one run, in a folder in *root*."""

    def __init__(self, root: Path, run: Run) -> None:
        self.root = root
        self._entry = root / _key(run)
        mark_used(self._entry)

    def copy(self, folder: Path) -> list[Picture] | None:
        """Copy the figures into *folder* and return them in the order of the page; None if the cache lacks them."""
        try:
            pictures = [Picture(**entry) for entry in json.loads((self._entry / _LIST).read_bytes())]
            for picture in pictures:
                for name in picture.files():
                    shutil.copyfile(self._entry / name, folder / name)
        except (OSError, ValueError, TypeError):
            return None
        return pictures

    def put(self, pictures: Sequence[Picture], folder: Path) -> None:
        """Copy the *pictures* in *folder* to the cache, instead of those that it may have had.

        Raises:
            StoreError: The cache cannot be written.
        """
        with new_folder(self._entry, if_there="replace") as entry:
            for picture in pictures:
                for name in picture.files():
                    shutil.copyfile(folder / name, entry / name)
            (entry / _LIST).write_bytes(to_json([asdict(picture) for picture in pictures]))
        with writing(self.root):
            for old in by_last_use([self.root])[KEPT:]:
                remove_folder(old)


def _key(run: Run) -> str:
    """Return the digest of all that figures depend on.

    This is the plan without what it expects, the trials' files (of a failed one, its status), and what draws them.
    """
    # Importing matplotlib takes longer than everything else that happens for a report whose figures are in the cache.
    libraries = " ".join(f"{name} {version(name)}" for name in LIBRARIES)
    total = hashlib.sha256(f"Python {platform.python_version()} {libraries}\n".encode())
    # What the experiment expects is in no figure.  Without it, the file is as it would have been written.
    is_whole = "expect" not in run.plan
    rest = {name: value for name, value in run.plan.items() if name != "expect"}
    total.update((run.path / "plan.json").read_bytes() if is_whole else to_json(rest))
    for trial in run.trials():
        total.update(f"{trial.id} {trial.status}\n".encode())
        files = file_digests(trial.path) if trial.ok else {}
        # The checks are computed again for each report, from the other files.
        total.update("".join(f"{files[name]} {name}\n" for name in files if name != "validity.json").encode())
    package = Path(__file__).parents[2]
    for part in DRAWN_BY:
        path = package / part
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            total.update(f"{file.relative_to(package)}\n".encode() + file.read_bytes())
    return total.hexdigest()
