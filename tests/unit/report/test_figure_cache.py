# SPDX-License-Identifier: Apache-2.0
"""Figures are taken from the cache only if all that draws them is the same: the code, the libraries and the data."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lab.report.figures import cache
from lab.report.figures.cache import DRAWN_BY, LIBRARIES, FigureCache
from lab.report.figures.look.settings import styled
from lab.report.figures.picture import Picture
from lab.store.files import write_json
from lab.store.rows import write_table
from lab.store.run import Run

SCRIPT = """
import json, sys
from importlib.metadata import packages_distributions
import lab.report.figures.asked
import lab.report.figures.draw
from lab.analysis.intervals import interval
interval([float(value) for value in range(20)])  # Imports what intervals need when the first one is computed.
from pathlib import Path
lab = {Path(module.__file__).relative_to(Path(sys.modules["lab"].__file__).parent).parts[0]
       for name, module in sys.modules.items() if name.startswith("lab.") and module.__file__}
tops = {name.partition(".")[0] for name in sys.modules}
known = packages_distributions()
print(json.dumps([sorted(lab), sorted({one for top in tops for one in known.get(top, ())})]))
"""

NOT_DRAWING = {"lab", "Jinja2", "MarkupSafe", "charset-normalizer", "filelock", "setuptools"}
"""Libraries of the page, of locks, of the installation, and of the compiler f2py, which scipy imports."""


def test_the_key_covers_all_modules_and_libraries_that_draw() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    parts, libraries = json.loads(done.stdout)
    assert set(parts) <= set(DRAWN_BY)
    assert set(libraries) - NOT_DRAWING <= set(LIBRARIES)


def drawn(root: Path, run: Run) -> bool:
    """Whether the figures of *run* have to be drawn; if so, a figure is put into the cache."""
    folder = root / "drawn"
    folder.mkdir(exist_ok=True)
    if FigureCache(root / "cache", run).copy(folder) is not None:
        return False
    for suffix in ("svg", "pdf", "png"):
        (folder / f"cwnd.{suffix}").write_text("drawn")
    FigureCache(root / "cache", run).put([Picture("time", "cwnd", "Windows", "Windows of cubic")], folder)
    return True


def test_other_data_or_libraries_are_drawn_anew(
    replayed: Callable[[str], Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = replayed("fairness")
    run = Run(tmp_path / original.experiment / original.id)
    shutil.copytree(original.path, run.path)
    assert [drawn(tmp_path, run), drawn(tmp_path, run)] == [True, False]
    path = next(run.path.glob("trials/*/tcp_probe.parquet"))
    table = pq.read_table(path)
    place = table.column_names.index("snd_cwnd")
    field = table.schema.field(place)
    write_table(table.set_column(place, field, pa.array([7] * table.num_rows, field.type)), path)
    assert [drawn(tmp_path, run), drawn(tmp_path, run)] == [True, False]
    monkeypatch.setattr(cache, "version", lambda name: "99" if name == "pillow" else "1")
    assert drawn(tmp_path, run)


def test_figures_stay_when_only_expectations_change(replayed: Callable[[str], Run], tmp_path: Path) -> None:
    original = replayed("fairness")
    path = tmp_path / original.experiment / original.id
    shutil.copytree(original.path, path)
    plan = json.loads((path / "plan.json").read_text())
    found = []
    conditions = ["goodput >= 2mbit", "jain >= 0.5"]
    for change in ({}, {"expect": conditions[:1]}, {"expect": conditions}, {"name": "x"}):
        write_json(path / "plan.json", {**plan, **change})
        found.append(drawn(tmp_path, Run(path)))
    assert found == [True, False, False, True]


def test_a_users_matplotlibrc_changes_no_figure() -> None:
    with mpl.rc_context({"axes.labelcolor": "red", "axes.grid.which": "both"}), styled():
        assert mpl.rcParams["axes.labelcolor"] == mpl.rcParamsDefault["axes.labelcolor"]
        assert mpl.rcParams["axes.grid.which"] == mpl.rcParamsDefault["axes.grid.which"]
        assert mpl.rcParams["font.size"] == 8
