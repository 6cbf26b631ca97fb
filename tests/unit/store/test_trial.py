# SPDX-License-Identifier: Apache-2.0
"""Raw records → stored trials and back, and what is said where something is missing or damaged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.errors import StoreError
from lab.store.run import Run, create_run
from lab.store.trial import TrialIdentity, TrialResult, convert_record, read_record
from tests.data.raw import RawTrial
from tests.jobs import job_with

IDENTITY = TrialIdentity(id="t-r1", cell={"flows.bulk.cc": "cubic"}, repetition=1, seed=7, job_digest="0" * 64)
JOB = job_with(["s1", "r1", "d1"], [("s1", "r1"), ("r1", "d1")])


@pytest.fixture
def record(raw: Callable[[str], dict[str, RawTrial]], tmp_path: Path) -> Path:
    """The record of a trial with all collectors, in a folder."""
    folder = tmp_path / "record"
    for name, content in raw("everything")["cubic-r1"].members.items():
        if name.startswith("record/"):
            path = folder / name.removeprefix("record/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return folder


def edit(record: Path, change: Callable[[dict[str, Any]], None]) -> None:
    document = json.loads((record / "record.json").read_text())
    change(document)
    (record / "record.json").write_text(json.dumps(document))


def converted(record: Path, tmp_path: Path) -> TrialResult:
    folder = tmp_path / "stored"
    folder.mkdir()
    convert_record(IDENTITY, JOB, record, folder)
    return TrialResult(folder)


def test_a_stored_trial_says_what_its_record_says(record: Path, tmp_path: Path) -> None:
    trial = converted(record, tmp_path)
    assert (trial.id, trial.cell, trial.identity, trial.job) == ("t-r1", IDENTITY.cell, IDENTITY, JOB)
    assert (trial.ok, trial.status, trial.error) == (True, "ok", None)
    assert trial.record == json.loads((record / "record.json").read_text())
    assert trial.log == (record / "log.txt").read_text()
    for end in ("client", "server"):
        assert trial.iperf3("bulk", end) == json.loads((record / f"iperf3/bulk.{end}.json").read_text())
    assert trial.record_files.keys() == {
        path.relative_to(record).as_posix() for path in record.rglob("*") if path.is_file()
    }
    assert trial.validity is None
    trial.put_validity([{"id": "cpu", "verdict": "ok"}])
    assert trial.validity == [{"id": "cpu", "verdict": "ok"}]


def test_a_failed_record_is_a_failed_trial(raw: Callable[[str], dict[str, RawTrial]], tmp_path: Path) -> None:
    record = tmp_path / "record"
    record.mkdir()
    for name, content in raw("failed")["nosuch-r1"].members.items():
        if name.startswith("record/"):
            (record / name.removeprefix("record/")).write_bytes(content)
    trial = converted(record, tmp_path)
    assert (trial.ok, trial.status) == (False, "failed")
    assert trial.error is not None
    assert trial.error.startswith("the kernel has no congestion control nosuch; it offers ")
    assert not list(trial.path.glob("*.parquet"))


def test_a_log_that_is_a_link_is_not_followed(record: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (record / "log.txt").unlink()
    (record / "log.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(StoreError, match="not a regular file"):
        converted(record, tmp_path)
    assert not (tmp_path / "stored" / "log.txt").exists()


def lacks_flows(document: dict[str, Any]) -> None:
    del document["flows"], document["cpu"]


def another_format(document: dict[str, Any]) -> None:
    document["format"] = 1


def evil_flow(document: dict[str, Any]) -> None:
    document["flows"][0]["name"] = "../evil"


def evil_output(document: dict[str, Any]) -> None:
    document["flows"][0]["client_json"] = "../../etc/passwd"


def evil_collector(document: dict[str, Any]) -> None:
    document["collectors"]["../evil"] = document["collectors"].pop("life")


def rows_that_are_not_there(document: dict[str, Any]) -> None:
    document["collectors"]["life"]["rows"] += 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lacks_flows, "record.json is damaged: it lacks cpu, flows"),
        (another_format, "is not a record of format"),
        (evil_flow, "flow '../evil' cannot be used as a file name"),
        (evil_output, "lies outside"),
        (evil_collector, "collector '../evil' cannot be used as a file name"),
        (rows_that_are_not_there, "5 rows of 104 bytes"),
    ],
)
def test_a_record_that_cannot_be_trusted(
    change: Callable[[dict[str, Any]], None], message: str, record: Path, tmp_path: Path
) -> None:
    edit(record, change)
    with pytest.raises(StoreError, match=message):
        converted(record, tmp_path)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("record.json", "cannot read"),
        ("iperf3/bulk.server.json", "server output of flow bulk .* is missing"),
        ("collect/queue.bin", "the file of collector queue .* is missing"),
    ],
)
def test_a_file_that_is_missing_is_named(file: str, message: str, record: Path, tmp_path: Path) -> None:
    (record / file).unlink()
    with pytest.raises(StoreError, match=message):
        converted(record, tmp_path)


@pytest.mark.parametrize("text", ["[]", "null", "{}"])
def test_a_record_that_is_no_record(text: str, tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text(text)
    with pytest.raises(StoreError, match="is not a record of format"):
        read_record(tmp_path)


def test_a_record_that_is_not_json(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text("{")
    with pytest.raises(StoreError, match="is damaged"):
        read_record(tmp_path)


# --- reading what is stored ----------------------------------------------------------------------------------


@pytest.fixture
def stored(replayed: Callable[[str], Run], tmp_path: Path) -> Path:
    """A copy of a stored trial."""
    shutil.copytree(replayed("failed").path / "trials" / "cubic-r1", tmp_path / "trial")
    return tmp_path / "trial"


def test_a_stored_trial_of_another_version(stored: Path) -> None:
    (stored / "trial.json").write_text('{"format": 1}')
    with pytest.raises(StoreError, match="this version of lab reads format 2"):
        TrialResult(stored)


def test_a_stored_trial_that_lacks_its_seed(stored: Path) -> None:
    document = json.loads((stored / "trial.json").read_text())
    del document["seed"]
    (stored / "trial.json").write_text(json.dumps(document))
    with pytest.raises(StoreError, match="lacks seed"):
        TrialResult(stored)


def test_what_is_missing_or_damaged_in_a_stored_trial(stored: Path) -> None:
    trial = TrialResult(stored)
    with pytest.raises(StoreError, match=r"cannot read .*queue\.parquet"):
        trial.collected("queue")
    with pytest.raises(StoreError, match="cannot be used as a file name"):
        trial.collected("../trial")
    (stored / "tcp_probe.parquet").write_bytes(b"PAR1")
    with pytest.raises(StoreError, match=r"cannot read .*tcp_probe\.parquet"):
        trial.collected("tcp_probe")
    (stored / "iperf3" / "bulk.client.json").write_text("[]")
    with pytest.raises(StoreError, match=r"bulk\.client\.json is not"):
        trial.iperf3("bulk", "client")
    (stored / "log.txt").unlink()
    assert TrialResult(stored).log == ""


def test_a_failed_trial_has_no_record(tmp_path: Path) -> None:
    run = create_run(tmp_path, "e", b"", {"trials": [{"id": "t-r1"}]})
    failed = run.put_failure(IDENTITY, "it broke", kind="GuestError")
    assert (failed.ok, failed.error, failed.record_digest, failed.record_files) == (False, "it broke", None, {})
    with pytest.raises(StoreError, match="trial t-r1 failed and left no record: it broke"):
        _ = failed.record
