# SPDX-License-Identifier: Apache-2.0
"""Read a stored trial, and convert a raw record into one."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict, cast

import pyarrow as pa

from lab.errors import StoreError
from lab.job.protocol import PROTOCOL_FORMAT, Job, Record
from lab.store.digest import digest_of_files, file_digest, file_digests
from lab.store.files import check_name, file_inside, read_json, to_json, write_file
from lab.store.rows import Context, read_rows, read_table, rows_to_table, write_table
from lab.store.shape import check_shape
from lab.store.stored_job import check_job

TRIAL_FORMAT = 2
"""Version of the format of ``trial.json`` and ``validity.json``."""


@dataclass(frozen=True)
class TrialIdentity:
    """The identity of a trial, which is one repetition of one cell of the experiment's matrix."""

    id: str
    """Name of the trial, unique in its run, and also the name of its folder."""
    cell: dict[str, Any]
    """Path of each axis of the matrix → its value in this trial, as written in the experiment."""
    repetition: int
    """Number of the repetition, counted from 1."""
    seed: int
    """Seed of the trial's random numbers."""
    job_digest: str
    """Digest of the job."""


class _Document(TypedDict):
    """The content of ``trial.json``."""

    format: int
    id: str
    cell: dict[str, Any]
    repetition: int
    seed: int
    job_digest: str
    status: Literal["ok", "failed"]
    error: NotRequired[str]
    error_kind: NotRequired[str]
    record_digest: NotRequired[str]
    record_files: NotRequired[dict[str, str]]
    files: NotRequired[dict[str, str]]
    record: NotRequired[object]
    job: object


class _Validity(TypedDict):
    """The content of ``validity.json``."""

    format: int
    checks: list[dict[str, Any]]


class TrialResult:
    """A trial in the folder of a run.  Files other than ``trial.json`` are read when they are needed.

    Raises:
        StoreError: A file is missing or damaged.  The constructor and all methods may raise it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = str(path / "trial.json")
        document = read_json(path / "trial.json")
        if not isinstance(document, dict) or document.get("format") != TRIAL_FORMAT:
            found = document.get("format") if isinstance(document, dict) else None
            other = "says no format" if found is None else f"has the format {found!r}"
            raise StoreError(f"{self._file} {other}; this version of lab reads format {TRIAL_FORMAT}")
        check_shape(document, _Document, self._file)
        self._document: _Document = cast(_Document, document)
        self.identity = TrialIdentity(
            id=check_name(document["id"], "trial id"),
            cell=document["cell"],
            repetition=document["repetition"],
            seed=document["seed"],
            job_digest=document["job_digest"],
        )
        self.status: Literal["ok", "failed"] = document["status"]

    @property
    def id(self) -> str:
        """The name of the trial, unique in its run."""
        return self.identity.id

    @property
    def cell(self) -> dict[str, Any]:
        """The trial's cell: path of each axis of the matrix → its value."""
        return self.identity.cell

    @property
    def ok(self) -> bool:
        """Whether the trial was carried out.  ``validity`` says whether it measured what the experiment asks for."""
        return self.status == "ok"

    @property
    def error(self) -> str | None:
        """What went wrong, in one line; None for a trial that was carried out."""
        return self._document.get("error")

    @cached_property
    def job(self) -> Job:
        """The job as it was sent to the engine; None if a trial failed before it had one."""
        job = self._document["job"]
        return cast(Job, None) if job is None and not self.ok else check_job(job, self._file, ("job",))

    @cached_property
    def record(self) -> Record:
        """The content of ``record.json``."""
        record = self._document.get("record")
        if record is None:
            raise StoreError(f"trial {self.id} failed and left no record: {self.error}")
        check_shape(record, Record, self._file, ("record",))
        return cast(Record, record)

    @property
    def record_digest(self) -> str | None:
        """Digest of the raw record; None if the trial left no record."""
        return self._document.get("record_digest")

    @property
    def record_files(self) -> dict[str, str]:
        """Digest of each file of the raw record, by its path there; empty if the trial left no record."""
        return self._document.get("record_files", {})

    @property
    def stored_files(self) -> dict[str, str] | None:
        """SHA-256 (hexadecimal) of each file that was stored with ``trial.json``, by its path in the trial's folder.

        ``validity.json`` is not among them, because it may be replaced.  None if ``trial.json`` contains no digests.
        """
        return self._document.get("files")

    def file_digest(self) -> str:
        """Return the SHA-256 (hexadecimal) of ``trial.json``."""
        return file_digest(self.path / "trial.json")

    @property
    def document(self) -> dict[str, Any]:
        """The whole content of ``trial.json``."""
        return cast(dict[str, Any], self._document)

    @cached_property
    def log(self) -> str:
        """The agent's log; empty if there is none."""
        try:
            return (self.path / "log.txt").read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    def iperf3(self, flow: str, end: Literal["client", "server"]) -> dict[str, Any]:
        """Return the complete iperf3 output of one end of *flow*."""
        path = self.path / "iperf3" / f"{check_name(flow, 'flow')}.{end}.json"
        document = read_json(path)
        if not isinstance(document, dict):
            raise StoreError(f"{path} is not the output of iperf3")
        return document

    def collected(self, collector: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the rows of *collector* with the named *columns*, or with all columns."""
        return read_table(self.path / f"{check_name(collector, 'collector')}.parquet", columns)

    @property
    def validity(self) -> list[dict[str, Any]] | None:
        """The stored checks of the trial; None if it has not been judged yet."""
        path = self.path / "validity.json"
        if not path.exists():
            return None
        document = read_json(path)
        check_shape(document, _Validity, str(path))
        return cast(_Validity, document)["checks"]

    def put_validity(self, checks: list[dict[str, Any]]) -> None:
        """Store the outcome of the checks in ``validity.json``; replace an earlier one."""
        write_file(self.path / "validity.json", to_json(self.validity_document(checks)))

    @staticmethod
    def validity_document(checks: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the content of ``validity.json``."""
        return {"format": TRIAL_FORMAT, "checks": checks}


def trial_document(
    identity: TrialIdentity, job: Job | None, *, error: str | None = None, **more: Any
) -> dict[str, Any]:
    """Return the content of ``trial.json``.  A trial with an *error* is a failed trial."""
    status = {"status": "ok"} if error is None else {"status": "failed", "error": error}
    return {"format": TRIAL_FORMAT, **asdict(identity), **status, **more, "job": job}


def read_record(record_dir: Path) -> Record:
    """Return ``record.json`` of a raw record.

    Raises:
        StoreError: The file is missing, damaged, or of another version.
    """
    record = read_json(record_dir / "record.json")
    if not isinstance(record, dict) or record.get("format") != PROTOCOL_FORMAT:
        raise StoreError(f"{record_dir / 'record.json'} is not a record of format {PROTOCOL_FORMAT}")
    # Of a failed trial, only the reason is read.
    failed = record.get("status") == "failed"
    hint = str if failed else Record
    check_shape(record.get("error", "") if failed else record, hint, str(record_dir / "record.json"))
    return cast(Record, record)


def convert_record(
    identity: TrialIdentity, job: Job, record_dir: Path, folder: Path, *, digest: str | None = None
) -> None:
    """Convert the raw record *record_dir* into a stored trial in *folder*.

    *digest* is the digest that the record must have; without it, the record is taken as it is.

    Raises:
        StoreError: The record is damaged, or does not have the digest.
    """
    # The digests come first.  If the record is removed from now on, a file that is missing raises an error.
    files = file_digests(record_dir)
    if digest is not None and digest_of_files(files) != digest:
        raise StoreError(f"{record_dir} was changed or removed while it was read")
    record = read_record(record_dir)
    if "log.txt" in files:
        shutil.copyfile(record_dir / "log.txt", folder / "log.txt")
    error = record.get("error", "the agent reported a failure") if record["status"] != "ok" else None
    if error is None:
        _convert_files(job, record, record_dir, folder)
    document = trial_document(
        identity,
        job,
        error=error,
        record_digest=digest_of_files(files),
        record_files=files,
        files=file_digests(folder),
        record=record,
    )
    (folder / "trial.json").write_bytes(to_json(document))


def _convert_files(job: Job, record: Record, record_dir: Path, folder: Path) -> None:
    (folder / "iperf3").mkdir()
    without_iperf3 = {flow["name"] for flow in job["flows"] if flow["arrivals"] is not None}
    for flow in record["flows"]:
        name = check_name(flow["name"], "flow")
        if name in without_iperf3:
            continue
        for end, file in (("client", flow["client_json"]), ("server", flow["server_json"])):
            source = file_inside(record_dir, file, f"the iperf3 {end} output of flow {name}")
            shutil.copyfile(source, folder / "iperf3" / f"{name}.{end}.json")
    context = Context.of(record)
    for name, collector in record["collectors"].items():
        rows = read_rows(record_dir, check_name(name, "collector"), collector)
        table = rows_to_table(rows, context, collector["names"])
        write_table(table, folder / f"{name}.parquet")
