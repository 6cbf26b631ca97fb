# SPDX-License-Identifier: Apache-2.0
"""Runs: making, opening and listing them, failures in them, and the digest over their results."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lab.errors import InputError, StoreError
from lab.store.files import read_json
from lab.store.run import Run, create_run, open_run, remove_leftovers_of_runs
from lab.store.trial import TrialIdentity
from tests.data.raw import RawTrial
from tests.owners import dead_name

PLAN = {"trials": [{"id": "b-r1"}, {"id": "a-r1"}, {"id": "c-r1"}]}


def identity(trial_id: str) -> TrialIdentity:
    return TrialIdentity(id=trial_id, cell={}, repetition=1, seed=1, job_digest="0" * 64)


def test_a_new_run_and_the_link_to_it(tmp_path: Path) -> None:
    files = {"sizes/a.txt": b"1", "plan.json": b"4"}
    run = create_run(tmp_path, "e", b"name: e\n", PLAN, files)
    assert (run.experiment, run.experiment_text, run.plan) == ("e", b"name: e\n", PLAN)
    assert [path.name for path in (tmp_path / "e").iterdir()] == [run.id]
    assert (run.path / "inputs" / "sizes" / "a.txt").read_bytes() == b"1"
    assert (run.path / "inputs" / "plan.json").read_bytes() == b"4"
    assert run.report_dir == run.path / "report"
    assert run.provenance == {}
    for latest in (run, create_run(tmp_path, "e", b"", PLAN), run):
        latest.make_latest()
        assert (tmp_path / "e" / "latest").resolve() == latest.path


def test_what_has_the_name_of_the_link_is_kept(tmp_path: Path) -> None:
    (tmp_path / "e" / "latest").mkdir(parents=True)
    with pytest.raises(StoreError, match=r"e/latest is not a link, as it is when lab makes it; give it another name"):
        create_run(tmp_path, "e", b"", PLAN)
    assert [path.name for path in (tmp_path / "e").iterdir()] == ["latest"]


def test_what_killed_processes_left_anywhere_in_a_run_goes(tmp_path: Path) -> None:
    run = create_run(tmp_path, "e", b"", PLAN)
    run.put_failure(identity("a-r1"), "no")
    run.make_latest()
    within = create_run(run.path / "confirmation", "e", b"", PLAN)
    dead = dead_name()
    folders = [run.path.parent, run.path, run.path / "trials", run.path / "trials" / "a-r1", within.path]
    for folder in folders:
        (folder / f".tmp-{dead}-file").write_text("half")
        (folder / f".tmp-{dead}-folder").mkdir()
    unknown = run.path / f".tmp-7-1-{'f' * 16}-x"
    unknown.mkdir()
    messages = remove_leftovers_of_runs(run.path.parent)
    assert list(tmp_path.rglob(".tmp-*")) == [unknown]
    assert [message.partition(":")[0] for message in messages] == [f"{unknown} stays"]


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "a\n", "x" * 201])
def test_names_that_lead_elsewhere(name: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be used as a file name"):
        create_run(tmp_path, name, b"", PLAN)
    run = create_run(tmp_path, "e", b"", PLAN)
    with pytest.raises(StoreError, match="cannot be used as a file name"):
        run.put_failure(identity(name), "no")
    with pytest.raises(StoreError, match="cannot be used as a file name"):
        run.trial(name)


def test_trials_are_listed_in_the_order_of_the_plan(tmp_path: Path) -> None:
    run = create_run(tmp_path, "e", b"", PLAN)
    for trial_id in ("a-r1", "z-r1", "b-r1", "y-r1"):
        run.put_failure(identity(trial_id), "no")
    (run.path / "trials" / ".tmp-1-abc").mkdir()
    assert [trial.id for trial in run.trials()] == ["b-r1", "a-r1", "y-r1", "z-r1"]
    assert not any(trial.ok for trial in run.trials())


def test_a_failure_keeps_log_and_what_was_printed(tmp_path: Path) -> None:
    run = create_run(tmp_path, "e", b"", PLAN)
    (tmp_path / "log").write_text("why\n")
    (tmp_path / "iperf3").mkdir()
    (tmp_path / "iperf3" / "bulk.client.json").write_text("{}")
    failed = run.put_failure(
        identity("a-r1"), "no", kind="LostVMError", log=tmp_path / "log", printed=tmp_path / "iperf3"
    )
    assert failed.log == "why\n"
    assert (failed.path / "iperf3" / "bulk.client.json").read_text() == "{}"
    assert json.loads((failed.path / "trial.json").read_text())["error_kind"] == "LostVMError"
    # One that failed before it left anything replaces it.
    failed = run.put_failure(identity("a-r1"), "again", log=tmp_path / "nowhere", printed=tmp_path / "nowhere")
    assert (failed.error, failed.log) == ("again", "")


def test_the_digest_over_all_results(replayed: Callable[[str], Run], raw: Callable[[str], dict[str, RawTrial]]) -> None:
    lines = []
    for trial_id, trial in raw("failed").items():
        if trial.record["status"] == "ok":
            files = {name[7:]: content for name, content in trial.members.items() if name.startswith("record/")}
            listed = "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
            lines.append(f"{trial_id} {hashlib.sha256(listed.encode()).hexdigest()}\n")
    assert len(lines) == 1
    expected = hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()
    run = replayed("failed")
    assert run.results_digest() == expected
    assert run.provenance["results_digest"] == expected
    assert run.provenance["status"] == "failed"
    assert run.provenance["engine"] == "replay"
    assert run.provenance["recorded_engine"] == "vm, native"


def test_metrics_are_read_as_they_were_put(tmp_path: Path) -> None:
    run = create_run(tmp_path, "e", b"", PLAN)
    with pytest.raises(StoreError, match=r"cannot read .*metrics\.parquet"):
        run.metrics()
    rows: list[dict[str, Any]] = [{"trial": "a-r1", "goodput_bps": 1.5}, {"trial": "b-r1", "goodput_bps": None}]
    schema = pa.schema([("trial", pa.string()), ("goodput_bps", pa.float64())])
    run.put_metrics(rows, schema)
    assert run.metrics() == rows
    run.put_metrics([], schema)
    assert run.metrics() == []
    assert not list(run.path.glob(".tmp-*"))


def test_open_run_says_what_is_wrong(replayed: Callable[[str], Run], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such folder"):
        open_run(tmp_path / "nowhere")
    copy = tmp_path / "e" / "run"
    shutil.copytree(replayed("failed").path, copy)
    (tmp_path / "e" / "latest").symlink_to("run")
    assert open_run(tmp_path / "e" / "latest").path == copy
    with pytest.raises(InputError, match=r"experiment\.yaml.*plan\.json.*trials; did you mean .*latest"):
        open_run(tmp_path / "e")
    (copy / "plan.json").write_text("[]")
    with pytest.raises(InputError, match=r"plan\.json .* object"):
        open_run(copy)
    (copy / "plan.json").write_text("{")
    with pytest.raises(InputError, match="usable run folder"):
        open_run(copy)
    (copy / "plan.json").unlink()
    with pytest.raises(InputError, match=r" no plan\.json$"):
        open_run(copy)


def test_links_in_a_run_do_not_lead_the_clean_up_elsewhere(tmp_path: Path) -> None:
    dead = dead_name()
    outside = tmp_path / "outside"
    (outside / "below" / f".tmp-{dead}-x").mkdir(parents=True)
    (outside / f".tmp-{dead}-x").mkdir()
    for place in ("trials", "trials/a-r1", "confirmation", "confirmation/e", "confirmation/e/1"):
        run = create_run(tmp_path, "e", b"", PLAN)
        (run.path / "trials").rmdir()
        (run.path / place).parent.mkdir(parents=True, exist_ok=True)
        (run.path / place).symlink_to(outside)
        assert run.remove_leftovers() == []
    assert len(list(outside.rglob(".tmp-*"))) == 2
    (run.path / "trials").mkdir(exist_ok=True)
    shutil.rmtree(run.path / "trials")
    (run.path / "trials").write_text("a file")
    assert run.remove_leftovers() == []


def test_a_plan_is_read_once_and_again_if_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def counted(path: Path) -> Any:
        read.append(path.name)
        return read_json(path)

    monkeypatch.setattr("lab.store.run.read_json", counted)
    run = open_run(create_run(tmp_path, "e", b"", PLAN).path)
    for _ in range(3):
        assert run.plan == PLAN
        assert run.planned_ids() == ["b-r1", "a-r1", "c-r1"]
        assert list(run.trials()) == []
    assert read == ["plan.json"]
    (run.path / "plan.json").write_text(json.dumps({"trials": [{"id": "other"}]}))
    assert run.planned_ids() == ["other"]
    assert run.plan == {"trials": [{"id": "other"}]}
    run.planned_ids().append("changed by who asked")
    assert run.planned_ids() == ["other"]
    (run.path / "plan.json").unlink()
    with pytest.raises(StoreError, match=r"cannot read .*plan\.json"):
        run.planned_ids()
