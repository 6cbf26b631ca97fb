# SPDX-License-Identifier: Apache-2.0
"""``lab list`` and ``lab.runs``: which runs there are, and what became of their trials."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import lab
import lab.api.summary
from lab.engine.base import Engine
from lab.evaluation.trial import evaluate_run
from lab.store.folders import unfinished_folder
from lab.store.run import Run, open_run
from tests.data.capture import EXPERIMENTS
from tests.unit.cli.conftest import Lab


@pytest.fixture
def results(replayed: Callable[[str], Run], tmp_path: Path) -> Path:
    """A folder of results: two runs of one experiment, of which one is broken, and one of another."""
    root = tmp_path / "results"
    for name in ("udp", "failed"):
        run = replayed(name)
        copy = Path(shutil.copytree(run.path, root / name / run.id))
        evaluate_run(open_run(copy))
        (root / name / "latest").symlink_to(run.id)
    broken = Path(shutil.copytree(replayed("udp").path, root / "udp" / "20260102T030405Z-abcdef"))
    (broken / "plan.json").write_text("{")
    (root / "bench").mkdir()
    (root / "bench" / "20260102T030405Z.json").write_text("{}")
    return root


def test_runs_are_listed_with_what_became_of_them(results: Path, lab_command: Lab) -> None:
    said = lab_command("list")
    assert said.code == 0
    head, *lines = said.lines
    assert head.split("  ")[0] == "EXPERIMENT"
    rows = {(line.split()[0], line.split()[4]): line for line in lines if not line.startswith("broken: ")}
    assert set(rows) == {("udp", "broken"), ("udp", "complete"), ("failed", "failed")}
    assert rows["udp", "complete"].endswith("  replay  4 ok")
    assert rows["failed", "failed"].endswith("  replay  1 ok, 1 failed")
    assert lines[0].split()[1:4] == ["20260102T030405Z-abcdef", "2026-01-02", "03:04:05"]  # the oldest comes first
    assert lines[-1].startswith("broken: results/udp/20260102T030405Z-abcdef is not a usable run folder: ")


def test_json_says_the_same(results: Path, lab_command: Lab) -> None:
    found = json.loads(lab_command("list", results / "failed", "--json").out)
    assert len(found) == 1
    assert found[0]["trials"] == {"ok": 1, "warn": 0, "invalid": 0, "failed": 1, "unjudged": 0, "missing": 0}
    assert (found[0]["experiment"], found[0]["state"], found[0]["engine"]) == ("failed", "failed", "replay")
    assert Path(found[0]["path"]).is_dir()
    assert "is not a usable run folder" in json.loads(lab_command("list", "--json").out)[0]["problem"]


def test_python_gets_a_data_frame(results: Path) -> None:
    runs = lab.runs(results)
    assert len(runs) == 3
    assert runs.filter(state="broken")["ok"].to_list() == [None]
    row = runs.filter(experiment="failed").row(0, named=True)
    assert (row["ok"], row["failed"], row["missing"]) == (1, 1, 0)
    assert lab.load(row["path"]).id == row["run"]
    assert f"{row['started']:%Y%m%dT%H%M%SZ}" == row["run"].partition("-")[0]


def test_a_run_without_an_end_runs_or_is_unfinished(results: Path, lab_command: Lab) -> None:
    run = (results / "udp" / "latest").resolve()
    (run / "provenance.json").unlink()
    (next((run / "trials").iterdir()) / "validity.json").unlink()
    shutil.rmtree(run / "trials" / "queue-fq_codel-100p-r2")
    assert "unfinished  vm      2 ok, 1 unjudged, 1 missing" in lab_command("list", results / "udp").out
    with unfinished_folder(run):  # as the runner has it while trials run
        assert lab.load(run).state == "running"
        assert "  running " in lab_command("list", run).out


def test_a_damaged_trial_breaks_its_run_only(results: Path, lab_command: Lab) -> None:
    (results / "failed" / "latest" / "trials" / "cubic-r1" / "trial.json").write_text("[]")
    said = lab_command("list")
    assert said.code == 0
    assert sum("  broken " in line for line in said.lines) == 2
    assert sum("  complete " in line for line in said.lines) == 1
    assert "cubic-r1/trial.json says no format" in said.out


def test_a_folder_that_cannot_be_read_does_not_stop_the_list(
    results: Path, lab_command: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As root, everything can be read.
    real = lab.api.summary.finished_folders  # type: ignore[attr-defined]

    def refused(parent: Path) -> list[Path]:
        if parent.name == "udp":
            raise PermissionError(13, "Permission denied", str(parent))
        return list(real(parent))

    monkeypatch.setattr("lab.api.summary.finished_folders", refused)
    said = lab_command("list")
    assert said.code == 0
    assert [line.split()[0] for line in said.lines[1:3]] == ["results", "failed"]
    assert said.lines[-1].startswith("broken: results/udp is not a run folder")


def test_results_may_be_elsewhere(results: Path, lab_command: Lab, tmp_path: Path) -> None:
    (results / "udp").rename(tmp_path / "moved")
    (results / "udp").symlink_to(tmp_path / "moved")
    assert sum("  complete " in line for line in lab_command("list").lines) == 1


def test_a_new_run_is_listed(engines: list[Engine], lab_command: Lab) -> None:
    run = Path(lab_command("run", EXPERIMENTS / "failed.yaml").lines[-1])
    assert lab_command("list").lines[-1].split()[:2] == ["failed", run.name]


def test_where_nothing_is(lab_command: Lab, tmp_path: Path) -> None:
    said = lab_command("list")
    assert (said.code, said.out) == (2, "")
    assert said.err == "lab: results: there is no such folder\n"
    (tmp_path / "results").mkdir()
    assert lab_command("list").lines == ["no runs"]
    assert lab_command("list", "--json").lines == ["[]"]
    with pytest.raises(lab.InputError):
        lab.runs(tmp_path / "nowhere")
    assert lab.runs(tmp_path / "results").is_empty()
