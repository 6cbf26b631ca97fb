# SPDX-License-Identifier: Apache-2.0
"""The notebook of the documentation, and ``lab.run`` in a notebook, executed by a real Jupyter kernel."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from lab.evaluation.trial import evaluate_run
from lab.store.run import Run, open_run
from tests.data.capture import EXPERIMENTS, RECORDS

V4: Any = nbformat.v4
NOTEBOOK = Path(__file__).parents[2] / "docs" / "how-to" / "notebook.ipynb"


def executed(notebook: Any, folder: Path) -> list[Any]:
    """Execute the notebook in *folder*; return its code cells with their outputs."""
    client = NotebookClient(
        notebook, timeout=120, resources={"metadata": {"path": str(folder)}}, kernel_name="python3",
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
    )  # fmt: skip
    client.execute()
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(cell: Any, kind: str) -> list[str]:
    return [output.data[kind] for output in cell.outputs if kind in output.get("data", {})]


@pytest.fixture
def shipped(replayed: Callable[[str], Run], tmp_path: Path) -> Path:
    """A folder with a run of two algorithms and several rates of loss, where ``make demo`` leaves one."""
    runs = tmp_path / "results" / "cubic_vs_bbr"
    copy = Path(shutil.copytree(replayed("loss").path, runs / replayed("loss").id))
    evaluate_run(open_run(copy))
    (runs / "latest").symlink_to(copy.name)
    return tmp_path


def test_the_notebook_of_the_documentation(shipped: Path) -> None:
    notebook: Any = V4.reads(NOTEBOOK.read_text(encoding="utf-8"))
    nbformat.validate(notebook)
    assert all(not cell.get("outputs") for cell in notebook.cells)
    loaded, metrics, plot, scan, figure = executed(notebook, shipped)
    assert "Loss, captured" in outputs(loaded, "text/html")[0]
    assert "goodput_bps" in outputs(metrics, "text/html")[0]
    assert len(outputs(plot, "image/png")) == 1
    assert "srtt_p95_us" in outputs(scan, "text/html")[0]
    assert len(outputs(figure, "image/png")) == 1
    assert (shipped / "cwnd.png").read_bytes().startswith(b"\x89PNG")
    assert (shipped / "goodput.pdf").read_bytes().startswith(b"%PDF")


def test_the_page_shows_the_cells_of_the_notebook() -> None:
    notebook: Any = V4.reads(NOTEBOOK.read_text(encoding="utf-8"))
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    page = NOTEBOOK.with_suffix(".md").read_text(encoding="utf-8")
    shown = re.findall(r"^```python\n(.*?)\n```$", page, re.MULTILINE | re.DOTALL)
    assert shown[: len(cells)] == cells


@pytest.mark.nightly
def test_an_experiment_runs_in_a_notebook_with_a_progress_bar(tmp_path: Path) -> None:
    setup = f"""
import os
os.environ["LAB_CACHE"] = {str(tmp_path / "cache")!r}
from lab.api import running
from lab.engine.replay import ReplayEngine
from pathlib import Path
running.engine_named = lambda *_plan: ReplayEngine(Path({str(RECORDS)!r}))
import lab
"""
    cells = [
        V4.new_code_cell(setup),
        V4.new_code_cell(f"run = lab.run({str(EXPERIMENTS / 'udp.yaml')!r})\nrun"),
        V4.new_code_cell(
            f"try:\n    lab.run({str(EXPERIMENTS / 'failed.yaml')!r})\nexcept lab.TrialsFailedError as error:\n"
            "    failed = error.run\nfailed"
        ),
    ]
    _setup, ran, failed = executed(V4.new_notebook(cells=cells), tmp_path)
    assert not [output for output in ran.outputs if output.output_type == "stream"]
    progress, shown = outputs(ran, "text/html")
    assert '<progress value="1.000"></progress> 4/4 trials done, 0 running, 0 queued' in progress
    assert "4 ok" in shown
    progress, shown = outputs(failed, "text/html")
    assert "2/2 trials done, 1 failed" in progress
    assert "<div>nosuch-r1: FAILED: the kernel has no congestion control nosuch" in progress
    assert "1 ok, 1 failed" in shown


def test_the_bar_shows_how_much_virtual_time_has_passed(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from rich.console import Console
from lab.engine.base import Notice
from lab.experiment.read.load import load_experiment
from lab.plan.plan import make_plan
from lab.run.progress import observing
plan = make_plan(load_experiment(Path({str(EXPERIMENTS / "failed.yaml")!r})).checked)
with observing(plan) as observer:
    assert type(observer).__name__ == "NotebookObserver"
    observer.step(Notice("the template is <damaged>"))
    observer.started(plan.trials[0])
    observer.reached(plan.trials[0], plan.trials[0].job["duration_ns"] // 2)
"""
    (cell,) = executed(V4.new_notebook(cells=[V4.new_code_cell(code)]), tmp_path)
    (shown,) = outputs(cell, "text/html")
    assert '<progress value="0.250"></progress> 0/2 trials done, 1 running, 1 queued' in shown
    assert "<div>the template is &lt;damaged&gt;</div>" in shown
