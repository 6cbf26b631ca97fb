# SPDX-License-Identifier: Apache-2.0
"""The engine that plays captured records back, and the captures that other tests need."""

from __future__ import annotations

import asyncio
import hashlib
import io
import lzma
import tarfile
from pathlib import Path

import pytest

from lab.engine.replay import ReplayEngine, read_capture, write_capture
from lab.errors import EngineError, GuestError, LostVMError, TrialError
from lab.job.protocol import Job
from lab.plan.plan import Trial, digest_of
from lab.store.digest import file_digests
from tests.data.capture import RECORDS, names, plan_of
from tests.data.raw import RawTrial
from tests.jobs import job_with
from tests.unit.conftest import STALE, no_step

JOB = job_with(["h1", "h2"], [("h1", "h2")])
IDENTITY = {"engine": "vm", "qemu_version": "7.2"}


def located(folder: Path) -> ReplayEngine:
    engine = ReplayEngine(folder)
    engine.locate(no_step)
    return engine


def play(engine: ReplayEngine, job: Job, directory: Path) -> list[int]:
    """Run *job* into *directory*; returns the times that were told."""
    directory.mkdir()
    times: list[int] = []
    asyncio.run(engine.run(job, directory, 0, times.append))
    return times


@pytest.fixture
def record(tmp_path: Path) -> Path:
    folder = tmp_path / "record"
    (folder / "iperf3").mkdir(parents=True)
    (folder / "record.json").write_text("{}")
    (folder / "iperf3" / "f0.client.json").write_bytes(b"\0\xff")
    return folder


def test_a_record_comes_out_as_it_was(record: Path, tmp_path: Path) -> None:
    write_capture(tmp_path / "captures" / "deep" / "a.tar.xz", JOB, record, IDENTITY)
    engine = located(tmp_path / "captures")
    assert play(engine, JOB, tmp_path / "again") == [JOB["duration_ns"]]
    assert file_digests(tmp_path / "again") == file_digests(record)


def test_the_same_record_gives_the_same_archive(record: Path, tmp_path: Path) -> None:
    for name in ("a.tar.xz", "b.tar.xz"):
        write_capture(tmp_path / name, JOB, record, IDENTITY)
        (record / "record.json").touch()
    assert (tmp_path / "a.tar.xz").read_bytes() == (tmp_path / "b.tar.xz").read_bytes()


def test_its_identity_is_that_of_the_record_and_of_what_recorded_it(record: Path, tmp_path: Path) -> None:
    archive = tmp_path / "captures" / "a.tar.xz"
    write_capture(archive, JOB, record, IDENTITY)
    engine = located(archive.parent)
    assert engine.identity(JOB) == {
        "engine": "replay",
        "capture_digest": hashlib.sha256(archive.read_bytes()).hexdigest(),
        "recorded_engine": "vm",
        "recorded_qemu_version": "7.2",
    }
    about = engine.about()
    assert (about["engine"], about["recorded_engine"]) == ("replay", "vm")
    (record / "record.json").write_text("{ }")
    write_capture(archive, JOB, record, IDENTITY)
    other = located(archive.parent)
    assert other.identity(JOB) != engine.identity(JOB)
    assert other.about()["captures_digest"] != about["captures_digest"]


def test_a_job_that_has_changed_has_no_record(record: Path, tmp_path: Path) -> None:
    write_capture(tmp_path / "captures" / "a.tar.xz", JOB, record, IDENTITY)
    engine = located(tmp_path / "captures")
    changed: Job = {**JOB, "seed": 2}
    assert engine.identity(changed) == {"engine": "replay", "capture_digest": "none"}
    with pytest.raises(TrialError, match=f"no record was captured of this job, {digest_of(changed)[:16]}"):
        play(engine, changed, tmp_path / "again")


@pytest.mark.parametrize("kind", [GuestError, LostVMError])
def test_a_failure_fails_again_with_its_log_and_what_was_printed(
    kind: type[TrialError], record: Path, tmp_path: Path
) -> None:
    (tmp_path / "console").write_text("a panic\n")
    error = kind("it died", log=tmp_path / "console")
    write_capture(tmp_path / "captures" / "a.tar.xz", JOB, record, IDENTITY, error)
    with pytest.raises(kind) as failed:
        play(located(tmp_path / "captures"), JOB, tmp_path / "again")
    assert type(failed.value) is kind
    assert failed.value.reason == "it died"
    assert failed.value.log is not None
    assert failed.value.log.read_text() == "a panic\n"
    assert file_digests(tmp_path / "again") == file_digests(record)


def test_a_failure_without_a_log(record: Path, tmp_path: Path) -> None:
    write_capture(tmp_path / "captures" / "a.tar.xz", JOB, record, IDENTITY, TrialError("no"))
    with pytest.raises(TrialError) as failed:
        play(located(tmp_path / "captures"), JOB, tmp_path / "again")
    assert failed.value.log is None


def packed(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return lzma.compress(out.getvalue())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"nothing of the sort", "damaged"),
        (packed(), "damaged"),
        (packed(("record/record.json", b"{}")), "not a capture of format 1"),
        (packed(("capture.json", b"{")), "damaged"),
        (packed(("capture.json", b'{"format": 2}')), "not a capture of format 1"),
        (packed(("capture.json", b'{"format": 1}')), "lacks something"),
        (packed(("capture.json", b'{"format": 1, "job": {}, "identity": {}, "failure": {"kind": "Oops"}}')), "lacks"),
    ],
)
def test_a_damaged_capture_is_named(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.tar.xz").write_bytes(content)
    with pytest.raises(EngineError, match=message) as error:
        located(tmp_path)
    assert str(tmp_path / "a.tar.xz") in str(error.value)


@pytest.mark.parametrize("name", ["record/../../evil", "record//evil", "evil"])
def test_nothing_is_written_outside_of_the_record(name: str, record: Path, tmp_path: Path) -> None:
    archive = tmp_path / "captures" / "a.tar.xz"
    write_capture(archive, JOB, record, IDENTITY)
    about = RawTrial.of(archive).members["capture.json"]
    archive.write_bytes(packed(("capture.json", about), (name, b"x")))
    with pytest.raises(TrialError, match="does not belong in a record"):
        play(located(archive.parent), JOB, tmp_path / "again")
    assert not list(tmp_path.rglob("evil"))


def test_two_captures_of_one_job(record: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_capture(tmp_path / f"{name}.tar.xz", JOB, record, IDENTITY)
    with pytest.raises(EngineError, match="captures of the same job"):
        located(tmp_path)


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no captured records"):
        located(tmp_path)


def test_it_has_to_be_located() -> None:
    with pytest.raises(EngineError, match="located"):
        ReplayEngine(RECORDS).about()


def test_digests_are_those_of_plans() -> None:
    assert Trial("t-r1", "t", 1, 1, JOB).digest == digest_of(JOB)


@pytest.mark.parametrize("name", names())
def test_every_trial_of_the_experiments_here_is_captured(name: str, replay_engine: ReplayEngine) -> None:
    captured = {path.name.removesuffix(".tar.xz"): path for path in (RECORDS / name).glob("*.tar.xz")}
    plan = plan_of(name)
    assert captured.keys() == {trial.id for trial in plan.trials}, STALE
    for trial in plan.trials:
        assert read_capture(captured[trial.id]).about["job"] == trial.job, f"{trial.id}: {STALE}"
        assert replay_engine.identity(trial.job)["capture_digest"] != "none", STALE


def test_the_captures_are_small() -> None:
    assert sum(path.stat().st_size for path in RECORDS.rglob("*.tar.xz")) < 2_000_000
