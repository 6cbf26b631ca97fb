# SPDX-License-Identifier: Apache-2.0
"""One stored trial: reading it, and turning a raw record into it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast

import pyarrow as pa
import pyarrow.parquet as pq

from lab.errors import StoreError
from lab.job.protocol import PROTOCOL_FORMAT, Job, Record
from lab.store.collected import Context, read_rows, rows_to_table, write_table
from lab.store.digest import digest_of_files, file_digests
from lab.store.files import check_name, file_inside, read_json, to_json, write_file

TRIAL_FORMAT = 2

_ONLY_WHEN_FAILED = {"error", "traceback"}


@dataclass(frozen=True)
class TrialIdentity:
    """Which trial it is: one repetition of one cell of the experiment's matrix."""

    id: str
    """Unique in its run, and usable as a folder's name."""
    cell: dict[str, Any]
    """Path of each axis of the matrix → the value it has in this trial, as written in the experiment."""
    repetition: int
    """From 1."""
    seed: int
    job_digest: str


class TrialResult:
    """A trial in a run's folder.  Files are read when they are asked for.

    Raises:
        StoreError: From the constructor and all methods: something is missing or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        document = read_json(path / "trial.json")
        if not isinstance(document, dict) or document.get("format") != TRIAL_FORMAT:
            raise StoreError(
                f"{path / 'trial.json'} is not a trial of format {TRIAL_FORMAT}; another version of lab has written it"
            )
        self._document = document
        try:
            self.identity = TrialIdentity(
                id=document["id"],
                cell=document["cell"],
                repetition=document["repetition"],
                seed=document["seed"],
                job_digest=document["job_digest"],
            )
            self.status: Literal["ok", "failed"] = document["status"]
        except KeyError as exc:
            raise StoreError(f"{path / 'trial.json'} lacks {exc}") from exc

    @property
    def id(self) -> str:
        return self.identity.id

    @property
    def cell(self) -> dict[str, Any]:
        return self.identity.cell

    @property
    def ok(self) -> bool:
        """Whether the trial was carried out; whether it measured what it should is ``validity``'s matter."""
        return self.status == "ok"

    @property
    def error(self) -> str | None:
        """What went wrong, in one line; None for a trial that went well."""
        return cast(str | None, self._document.get("error"))

    @property
    def job(self) -> Job:
        """The job as it was sent to the engine."""
        return cast(Job, self._document["job"])

    @property
    def record(self) -> Record:
        """The content of ``record.json``."""
        if self._document.get("record") is None:
            raise StoreError(f"trial {self.id} failed and left no record: {self.error}")
        return cast(Record, self._document["record"])

    @property
    def record_digest(self) -> str | None:
        """Digest of the raw record, or None for a failed trial."""
        return cast(str | None, self._document.get("record_digest"))

    @property
    def record_files(self) -> dict[str, str]:
        """Digest of every file of the raw record, by its name there; empty for a trial that left none."""
        return cast(dict[str, str], self._document.get("record_files", {}))

    @cached_property
    def log(self) -> str:
        """The agent's log, or the empty text."""
        try:
            return (self.path / "log.txt").read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def iperf3(self, flow: str, end: Literal["client", "server"]) -> dict[str, Any]:
        """Return the complete iperf3 output of one end of *flow*."""
        path = self.path / "iperf3" / f"{check_name(flow, 'flow')}.{end}.json"
        document = read_json(path)
        if not isinstance(document, dict):
            raise StoreError(f"{path} is not iperf3's output")
        return document

    def collected(self, collector: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the rows of *collector*, all columns or the ones named."""
        path = self.path / f"{check_name(collector, 'collector')}.parquet"
        try:
            return pq.read_table(path, columns=list(columns) if columns is not None else None)
        except (OSError, pa.ArrowException) as exc:
            raise StoreError(f"cannot read {path}: {exc}") from exc

    @property
    def validity(self) -> list[dict[str, Any]] | None:
        """The stored checks, or None when the trial has not been judged yet."""
        path = self.path / "validity.json"
        return cast(list[dict[str, Any]], read_json(path)["checks"]) if path.exists() else None

    def put_validity(self, checks: list[dict[str, Any]]) -> None:
        """Store the outcome of the checks.  It is derived from the trial, and may be written again."""
        write_file(self.path / "validity.json", to_json({"format": TRIAL_FORMAT, "checks": checks}))


def trial_document(
    identity: TrialIdentity, job: Job | None, *, error: str | None = None, **more: Any
) -> dict[str, Any]:
    """Return the content of ``trial.json``; a trial with an *error* is a failed one."""
    status = {"status": "ok"} if error is None else {"status": "failed", "error": error}
    return {"format": TRIAL_FORMAT, **asdict(identity), **status, **more, "job": job}


def read_record(record_dir: Path) -> Record:
    """Return ``record.json`` of a raw record.

    Raises:
        StoreError: It is missing, damaged, or of another version.
    """
    record = read_json(record_dir / "record.json")
    if not isinstance(record, dict) or record.get("format") != PROTOCOL_FORMAT:
        raise StoreError(f"{record_dir / 'record.json'} is not a record of format {PROTOCOL_FORMAT}")
    missing = sorted(Record.__annotations__.keys() - record.keys() - _ONLY_WHEN_FAILED)
    if missing and record.get("status") != "failed":
        raise StoreError(f"{record_dir / 'record.json'} lacks {', '.join(missing)}")
    return cast(Record, record)


def convert_record(identity: TrialIdentity, job: Job, record_dir: Path, folder: Path) -> None:
    """Fill *folder* with the stored form of the raw record *record_dir*."""
    record = read_record(record_dir)
    log = record_dir / "log.txt"
    if log.is_file() and not log.is_symlink():
        shutil.copyfile(log, folder / "log.txt")
    error = record.get("error", "the agent reported a failure") if record["status"] != "ok" else None
    if error is None:
        _convert_files(record, record_dir, folder)
    files = file_digests(record_dir)
    document = trial_document(
        identity, job, error=error, record_digest=digest_of_files(files), record_files=files, record=record
    )
    (folder / "trial.json").write_bytes(to_json(document))


def _convert_files(record: Record, record_dir: Path, folder: Path) -> None:
    (folder / "iperf3").mkdir()
    for flow in record["flows"]:
        name = check_name(flow["name"], "flow")
        for end, file in (("client", flow["client_json"]), ("server", flow["server_json"])):
            if not file:
                continue  # of short flows there is none
            source = file_inside(record_dir, file, f"iperf3's {end} output of flow {name}")
            shutil.copyfile(source, folder / "iperf3" / f"{name}.{end}.json")
    context = Context.of(record)
    for name, collector in record["collectors"].items():
        rows = read_rows(record_dir, check_name(name, "collector"), collector)
        table = rows_to_table(rows, context, collector["names"])
        write_table(table, folder / f"{name}.parquet")
