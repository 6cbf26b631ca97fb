# SPDX-License-Identifier: Apache-2.0
"""A run: the folder with all trials of one ``lab run``."""

from __future__ import annotations

import datetime
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pyarrow as pa

from lab.errors import InputError, StoreError
from lab.job.protocol import Job
from lab.names import INPUTS, place_of_input
from lab.store.confirmation import Confirmation
from lab.store.digest import file_digest, file_digests, results_digest
from lab.store.files import (
    check_name,
    read_json,
    sync_file,
    sync_folder,
    temporary_name,
    to_json,
    write_file,
    write_json,
    writing,
)
from lab.store.folders import finished_folders, new_folder, remove_leftovers
from lab.store.rows import read_table, write_table
from lab.store.shape import check_shape
from lab.store.stored_plan import check_plan
from lab.store.trial import TrialIdentity, TrialResult, convert_record, trial_document

LATEST = "latest"
"""Name of the symbolic link to the run of an experiment that was the last one to start a trial."""

_CONFIRMATION = "confirmation.json"

_INPUT_FILES = ("experiment.yaml", "plan.json")
_REQUIRED = (*_INPUT_FILES, "trials")
"""What a folder must contain to be a run."""


_State = tuple[int, int, int] | None
"""Inode, size in bytes and time of the last change in ns of a file."""


class Run:
    """The folder of a run.  Use :func:`create_run` or :func:`open_run` to get one.

    Several threads or processes may store trials at the same time, but each trial must be stored by only one of them.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._plan: tuple[_State, dict[str, Any]] | None = None
        self._ids: tuple[_State, list[str]] | None = None

    @property
    def id(self) -> str:
        """The name of the run among those of its experiment: the UTC time of its start and a random part."""
        return self.path.name

    @property
    def experiment(self) -> str:
        """The name of the experiment."""
        return self.path.parent.name

    @property
    def experiment_text(self) -> bytes:
        """The content of the experiment file, byte for byte."""
        return (self.path / "experiment.yaml").read_bytes()

    @property
    def plan(self) -> dict[str, Any]:
        """The plan as it was given to :func:`create_run`; it must not be changed.

        The file is read once, and again only if it has been written since.
        """
        path = self.path / "plan.json"
        state = _state_of(path)
        if self._plan is None or self._plan[0] != state:
            self._plan = (state, check_plan(read_json(path), str(path)))
        return self._plan[1]

    @property
    def report_dir(self) -> Path:
        """The folder of the report."""
        return self.path / "report"

    def remove_leftovers(self) -> list[str]:
        """Remove what killed processes have left in this folder, also in the runs that confirm it.

        Return the messages of :func:`lab.store.folders.remove_leftovers`.
        """
        trials = self.path / "trials"
        # A link in a folder that comes from somebody else may lead anywhere.
        found = finished_folders(trials) if trials.is_dir() else []
        inside = [path for path in (trials, *found) if not path.is_symlink()]
        messages = remove_leftovers(self.path, *(inside if trials in inside else ()))
        confirmation = self.path / "confirmation"
        may_enter = confirmation.is_dir() and not confirmation.is_symlink()
        for experiment in finished_folders(confirmation) if may_enter else ():
            messages += [] if experiment.is_symlink() else remove_leftovers_of_runs(experiment)
        return messages

    def input_digests(self) -> dict[str, str]:
        """Return the SHA-256 (hexadecimal) of each file that says what was asked for, by its path in the folder.

        These are the experiment, the plan, and what is in the folder ``inputs``.

        Raises:
            StoreError: A file cannot be read, or something in ``inputs`` is not a regular file.
        """
        inputs = file_digests(self.path / INPUTS)
        return {name: file_digest(self.path / name) for name in _INPUT_FILES} | {
            f"{INPUTS}/{name}": digest for name, digest in inputs.items()
        }

    # --- trials ---------------------------------------------------------------------------------------

    def put_trial(
        self, identity: TrialIdentity, job: Job, record_dir: Path, *, digest: str | None = None
    ) -> TrialResult:
        """Convert the raw record *record_dir* and store it as the trial *identity*.

        The trial appears complete or not at all.  It replaces an earlier one of the same name, such as a failed trial.
        A record with the status ``failed`` is stored as a failed trial.  *digest* is the digest that the record must
        have, if others may change or remove it in the meantime.

        Raises:
            StoreError: The record is damaged or does not have the digest, or the trial cannot be written.
        """
        final = self._trial_path(identity.id)
        with new_folder(final, if_there="replace") as folder:
            convert_record(identity, job, record_dir, folder, digest=digest)
        return TrialResult(final)

    def put_failure(
        self,
        identity: TrialIdentity,
        reason: str,
        *,
        kind: str = "TrialError",
        job: Job | None = None,
        log: Path | None = None,
        printed: Path | None = None,
    ) -> TrialResult:
        """Store *identity* as a failed trial.

        *reason* says in one line why it failed, and *kind* is the name of the error's class.  *log* is the agent's
        log, and *printed* the folder with the output of the trial's tools, if the trial got so far.

        Raises:
            StoreError: The trial cannot be written.
        """
        final = self._trial_path(identity.id)
        document = trial_document(identity, job, error=reason, error_kind=kind)
        with new_folder(final, if_there="replace") as folder:
            (folder / "trial.json").write_bytes(to_json(document))
            if log is not None and log.is_file():
                shutil.copyfile(log, folder / "log.txt")
            if printed is not None and printed.is_dir():
                shutil.copytree(printed, folder / printed.name, symlinks=True)
        return TrialResult(final)

    def trial(self, trial_id: str) -> TrialResult:
        """Return the stored trial *trial_id*.

        Raises:
            StoreError: There is no such trial, or it is damaged.
        """
        return TrialResult(self._trial_path(trial_id))

    def trials(self) -> Iterator[TrialResult]:
        """Yield all stored trials, failed ones included, in the order of the plan; trials outside it come last."""
        order = {trial_id: number for number, trial_id in enumerate(self.planned_ids())}
        names = [path.name for path in finished_folders(self.path / "trials")]
        for name in sorted(names, key=lambda name: (order.get(name, len(order)), name)):
            yield TrialResult(self.path / "trials" / name)

    def planned_ids(self) -> list[str]:
        """Return the ids of the plan's trials in the order of the plan; empty if the plan names no trials."""
        path = self.path / "plan.json"
        state = _state_of(path)
        if self._ids is None or self._ids[0] != state:
            # The plan of thousands of cells takes hundreds of megabytes.  It is not kept for the ids alone.
            is_read = self._plan is not None and self._plan[0] == state
            plan = self.plan if is_read else check_plan(read_json(path), str(path))
            self._ids = (state, [trial["id"] for trial in plan.get("trials", [])])
        return list(self._ids[1])

    def results_digest(self) -> str:
        """Return the digest of all raw records of this run."""
        return results_digest(
            (trial.id, trial.record_digest) for trial in self.trials() if trial.ok and trial.record_digest
        )

    def _trial_path(self, trial_id: str) -> Path:
        return self.path / "trials" / check_name(trial_id, "trial id")

    def make_latest(self) -> None:
        """Point the experiment's link ``latest`` at this run.

        Raises:
            StoreError: The link cannot be written.
        """
        link, temporary = self.path.parent / LATEST, temporary_name(self.path.parent)
        with writing(link):
            try:
                os.symlink(self.path.name, temporary)
                temporary.replace(link)
            finally:
                temporary.unlink(missing_ok=True)

    # --- provenance and metrics -----------------------------------------------------------------------

    @property
    def provenance(self) -> dict[str, Any]:
        """The stored provenance; empty if it has not been stored yet."""
        path = self.path / "provenance.json"
        return _checked(path, dict[str, Any]) if path.exists() else {}

    def put_provenance(self, provenance: Mapping[str, Any]) -> None:
        """Store the provenance of the results in ``provenance.json``, atomically; replace an earlier one."""
        write_file(self.path / "provenance.json", to_json(dict(provenance)))

    @property
    def confirmation(self) -> dict[str, Any] | None:
        """How another engine has confirmed the results; None if none has tried to."""
        path = self.path / _CONFIRMATION
        return _checked(path, Confirmation) if path.exists() else None

    def put_confirmation(self, confirmation: Mapping[str, Any]) -> None:
        """Store the outcome of a confirmation in ``confirmation.json``, atomically; replace an earlier one."""
        write_file(self.path / _CONFIRMATION, to_json(dict(confirmation)))

    def put_metrics(self, rows: Sequence[Mapping[str, Any]], schema: pa.Schema | None = None) -> None:
        """Store ``metrics.parquet``, with one row per flow and trial, atomically; replace an earlier one."""
        final = self.path / "metrics.parquet"
        temporary = temporary_name(self.path)
        with writing(final):
            try:
                write_table(metrics_table(rows, schema), temporary)
                sync_file(temporary)
                temporary.replace(final)
            finally:
                temporary.unlink(missing_ok=True)
            sync_folder(self.path)

    def metrics(self) -> list[dict[str, Any]]:
        """Return the rows of ``metrics.parquet``; raises what :meth:`metrics_table` raises."""
        return cast(list[dict[str, Any]], self.metrics_table().to_pylist())

    def metrics_table(self) -> pa.Table:
        """Return ``metrics.parquet``.

        Raises:
            StoreError: The file has not been written yet, or is damaged.
        """
        return read_table(self.path / "metrics.parquet")


def metrics_table(rows: Sequence[Mapping[str, Any]], schema: pa.Schema | None = None) -> pa.Table:
    """Return rows of ``metrics.parquet`` as a table."""
    return pa.Table.from_pylist([dict(row) for row in rows], schema=schema)


def create_run(
    root: Path,
    experiment_name: str,
    experiment_text: bytes,
    plan: Mapping[str, Any],
    files: Mapping[str, bytes] | None = None,
) -> Run:
    """Create a new run folder ``<root>/<experiment_name>/<run-id>``.

    The experiment's link ``latest`` stays as it is until a trial starts: see :meth:`Run.make_latest`.

    *files* are the files that the experiment refers to: their paths relative to the experiment file, and their
    contents.  They are copied into the folder ``inputs`` of the run, where :func:`lab.names.place_of_input` says.

    Raises:
        StoreError: The folder cannot be written.
    """
    parent = root / check_name(experiment_name, "experiment name")
    link = parent / LATEST
    if os.path.lexists(link) and not link.is_symlink():
        raise StoreError(f"{link} is not a link, as it is when lab makes it; give it another name")
    now = datetime.datetime.now(datetime.UTC)
    final = parent / f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    with writing(parent):
        parent.mkdir(parents=True, exist_ok=True)
    with new_folder(final) as folder:
        (folder / "experiment.yaml").write_bytes(experiment_text)
        write_json(folder / "plan.json", dict(plan))
        (folder / "trials").mkdir()
        for name, content in (files or {}).items():
            path = folder / INPUTS / place_of_input(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return Run(final)


def remove_leftovers_of_runs(experiment: Path) -> list[str]:
    """Remove what killed processes have left in the folder *experiment* and in the runs in it.

    Return the messages of :func:`lab.store.folders.remove_leftovers`.
    """
    messages = remove_leftovers(experiment)
    for path in finished_folders(experiment) if experiment.is_dir() else ():
        if not path.is_symlink():  # The link to the latest run leads to a folder that is in the list already.
            messages += Run(path).remove_leftovers()
    return messages


def open_run(path: Path) -> Run:
    """Open an existing run folder; *path* may be the folder, or a link to it such as ``latest``.

    Raises:
        InputError: *path* is not a run folder; the message says what is missing.
    """
    resolved = path.resolve()
    if not resolved.is_dir():
        raise InputError(f"{path} is not a run folder: there is no such folder")
    missing = [name for name in _REQUIRED if not (resolved / name).exists()]
    if missing:
        hint = f"; did you mean {path / LATEST}?" if (resolved / LATEST).exists() else ""
        raise InputError(f"{path} is not a run folder: it contains no {' and no '.join(missing)}{hint}")
    run = Run(resolved)
    try:
        _ = run.plan, run.provenance
    except StoreError as exc:
        raise InputError(f"{path} is not a usable run folder: {exc}") from exc
    return run


def _state_of(path: Path) -> _State:
    """Return what changes if a file is written or replaced; None if it cannot be looked at, which reading it tells."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _checked(path: Path, hint: Any) -> dict[str, Any]:
    """Return the document in the JSON file *path*, which has the shape *hint*."""
    document = read_json(path)
    check_shape(document, hint, str(path))
    return cast(dict[str, Any], document)
