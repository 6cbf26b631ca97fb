# SPDX-License-Identifier: Apache-2.0
"""Run the trials of a plan on an engine, several in parallel.

Each trial is stored as soon as it is finished.  Trials whose record is in the cache do not run again.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import platform
import shutil
import time
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from lab.engine.base import Engine, Notice, in_thread
from lab.errors import EngineError, GuestError, LabError, StoreError, TrialError
from lab.names import INPUTS
from lab.plan.plan import Plan, Trial
from lab.run.refused import refusal
from lab.store.digest import record_digest
from lab.store.files import cause_of, writing
from lab.store.folders import unfinished_folder
from lab.store.run import Run, remove_leftovers_of_runs
from lab.store.trial import TrialIdentity, read_record
from lab.store.trial_cache import TrialCache
from lab.version import version

CACHE_LIMIT_BYTES = 2 << 30
"""The size limit of the cache; beyond it, the least recently used trials are removed."""

_ATTEMPTS = 3
"""How often a record that is in the cache is read before the error counts as one of the run folder."""


class Observer(Protocol):
    """Shows the progress of a run.  The runner calls its methods in the thread of the event loop."""

    def step(self, what: str) -> None:
        """Report a step that takes long, other than a trial."""

    def started(self, trial: Trial) -> None:
        """Report that a trial has started."""

    def reached(self, trial: Trial, virtual_ns: int) -> None:
        """Report how long the traffic of a trial has been running, in nanoseconds of virtual time."""

    def finished(self, trial: Trial, wall_s: float, *, cached: bool) -> None:
        """Report that a trial is finished, after *wall_s* seconds of wall-clock time, or was found in the cache."""

    def failed(self, trial: Trial, error: LabError) -> None:
        """Report that a trial has failed."""


@dataclass
class Outcome:
    """The outcome of a run."""

    run: Run
    wall_s: float
    failures: dict[str, LabError] = field(default_factory=dict)
    """Id of a failed trial → its error."""
    cached: int = 0
    """The number of trials whose record was in the cache."""


@dataclass(frozen=True)
class _Done:
    record_digest: str
    trial_json_digest: str
    wall_s: float
    cached: bool


class Runner:
    """Runs the trials of a plan and stores their records in a run folder."""

    def __init__(
        self,
        engine: Engine,
        observer: Observer,
        plan: Plan,
        run: Run,
        *,
        jobs: int,
        cache: TrialCache,
        read_cache: bool = True,
    ) -> None:
        """Prepare a run in which up to ``jobs`` trials run in parallel, if the engine allows as many.

        Without ``read_cache``, all trials run, even those whose record is in the cache.  New records are always stored
        in the cache, provided that the engine is exact, that is, the same job always gives the same record.
        """
        self._engine = engine
        self._observer = observer
        self._plan = plan
        self._run_folder = run
        self._jobs = min(jobs, engine.most_at_a_time or jobs)
        self._cache = cache
        self._read_cache = read_cache and engine.is_exact
        self._has_begun = False
        self._done: dict[str, _Done] = {}
        self._failures: dict[str, LabError] = {}
        self._trouble: str | None = None
        """What kept the cache from its work first; the run goes on without it."""
        self._is_told = False

    @property
    def continues(self) -> bool:
        """Whether the same run, started again, takes the finished trials from the cache."""
        return self._read_cache and self._trouble is None

    @property
    def folder(self) -> Path:
        """The folder of the run."""
        return self._run_folder.path

    @property
    def finished(self) -> int:
        """The number of trials whose records are stored."""
        return len(self._done)

    async def run(self, about: dict[str, Any]) -> Outcome:
        """Run all trials of the plan; a failed trial does not stop the others.

        The entries of ``about`` are added to the provenance of the run.  Cancelling this coroutine stops the running
        trials; finished trials are kept, and the provenance says that the run was interrupted.

        Raises:
            MachineryError: The engine cannot be prepared, or the results cannot be stored.
        """
        began = time.monotonic()
        provenance = {**about, **_about_this_machine(), **self._engine.about()}
        provenance["bundles"] = {kernel: dict(bundle.parts) for kernel, bundle in self._engine.bundles().items()}
        status = "interrupted"
        try:
            for message in remove_leftovers_of_runs(self._run_folder.path.parent):
                self._observer.step(Notice(message))
            missing = await self._take_from_cache()
            if missing:
                await self._engine.prepare(self._observer.step)
                await self._run_missing((by_repetition if self._engine.is_exact else shuffled)(missing))
            status = "failed" if self._failures else "complete"
        except Exception:
            status = "failed"
            raise
        finally:
            self._engine.close()
            wall_s = time.monotonic() - began
            self._put_provenance(provenance, status, wall_s)
        self._prune_cache()
        cached = sum(entry.cached for entry in self._done.values())
        return Outcome(self._run_folder, wall_s, self._failures, cached)

    async def _take_from_cache(self) -> list[Trial]:
        """Store each trial whose record is in the cache, and return the other trials."""
        waiting = iter(self._plan.trials)

        async def work() -> None:
            for trial in waiting:
                if await in_thread(partial(self._keep_cached, trial)):
                    self._observer.finished(trial, 0.0, cached=True)

        if self._read_cache:
            await run_workers(work() for _ in range(self._jobs))
        return [trial for trial in self._plan.trials if trial.id not in self._done]

    def _keep_cached(self, trial: Trial) -> bool:
        """Store the trial if its record is in the cache; return whether it was.

        Raises:
            StoreError: The trial cannot be stored in the run folder.
        """
        key = self._key(trial)
        for attempt in range(_ATTEMPTS):
            cached = self._cache.get(key)
            if cached is None:
                return False
            self._begin()
            try:
                stored = self._run_folder.put_trial(
                    identity_of(self._plan, trial), trial.job, cached.directory, digest=cached.digest
                )
            except StoreError as error:
                if not _is_of_the_disk(error):
                    # The record is not usable.  Earlier versions have cached records without a look at them.
                    self._cache.remove(key)
                    return False
                # Either another process has removed the record in the meantime, which the next look-up tells, or the
                # run folder cannot be written.
                if attempt == _ATTEMPTS - 1:
                    raise
            else:
                assert stored.record_digest is not None
                self._done[trial.id] = _Done(stored.record_digest, stored.file_digest(), 0.0, cached=True)
                return True
        return False

    def _begin(self) -> None:
        """Make this run the latest one when its first trial starts, or is taken from the cache."""
        if not self._has_begun:
            self._run_folder.make_latest()
            self._has_begun = True

    async def _run_missing(self, missing: list[Trial]) -> None:
        waiting = iter(missing)
        with unfinished_folder(self._run_folder.path) as scratch:
            await run_workers(self._work(worker, waiting, scratch) for worker in range(min(self._jobs, len(missing))))

    async def _work(self, worker: int, waiting: Iterator[Trial], scratch: Path) -> None:
        for trial in waiting:
            self._begin()
            self._observer.started(trial)
            began = time.monotonic()
            directory = scratch / trial.id
            try:
                await run_trial(self._engine, trial, directory, worker, self._observer)
                await in_thread(partial(self._keep, trial, directory, began))
            except TrialError as error:
                self._failures[trial.id] = self._put_failure(trial, error, directory)
                self._observer.failed(trial, self._failures[trial.id])
            except OSError as error:
                raise StoreError(f"cannot store trial {trial.id}: {error}") from error
            else:
                self._tell_trouble()
                self._observer.finished(trial, self._done[trial.id].wall_s, cached=False)
            finally:
                shutil.rmtree(directory, ignore_errors=True)

    def _keep(self, trial: Trial, directory: Path, began: float) -> None:
        """Store a finished trial in the run folder and, if the engine is exact and the cache works, in the cache.

        Raises:
            GuestError: The record has the status ``failed``, it is damaged, or the agent left none.
            StoreError: The trial cannot be stored.
            OSError: The record cannot be read.
        """
        log = directory / "log.txt"
        if not (directory / "record.json").exists():
            raise GuestError("the agent left no record.json", log=log)
        try:
            record = read_record(directory)
            if record["status"] != "ok":
                reason = record.get("error", "the agent reported a failure")
                refused = refusal(reason, directory, trial.job, self._run_folder.path / INPUTS)
                raise refused or GuestError(reason, log=log)
            digest = record_digest(directory)
            stored = self._run_folder.put_trial(identity_of(self._plan, trial), trial.job, directory)
        except StoreError as error:
            if _is_of_the_disk(error):
                raise
            raise GuestError(f"the agent's record is damaged: {error}", log=log) from error
        # A record that cannot be stored must not be cached either: it would end each later run.
        if self._engine.is_exact:
            try:
                self._cache.put(self._key(trial), directory)
            except (StoreError, OSError) as error:
                self._note_trouble(f"the records of finished trials cannot be kept there: {cause_of(error)}")
        self._done[trial.id] = _Done(digest, stored.file_digest(), time.monotonic() - began, cached=False)

    def _put_failure(self, trial: Trial, error: TrialError, directory: Path) -> TrialError:
        """Store a failure with its log and the output of iperf3; return the error with the path of the stored log."""
        identity = identity_of(self._plan, trial)
        kind = type(error)
        self._run_folder.put_failure(
            identity, error.reason, kind=kind.__name__, job=trial.job, log=error.log, printed=directory / "iperf3"
        )
        kept = self._run_folder.path / "trials" / trial.id / "log.txt"
        return kind(error.reason, log=kept if kept.exists() else None)

    def _prune_cache(self) -> None:
        try:
            self._cache.prune(CACHE_LIMIT_BYTES)
        except (StoreError, OSError) as error:
            self._note_trouble(f"its size cannot be limited: {error}")
        self._tell_trouble()

    def _note_trouble(self, what: str) -> None:
        """Note what is wrong with the cache, unless something is already; threads may call this."""
        self._trouble = self._trouble or f"warning: the cache {self._cache.root} does not work: {what}"

    def _tell_trouble(self) -> None:
        if self._trouble is not None and not self._is_told:
            self._is_told = True
            self._observer.step(Notice(f"{self._trouble}; the run goes on without it"))

    def _key(self, trial: Trial) -> str:
        return cache_key(self._engine.identity(trial.job), trial)

    def _put_provenance(self, provenance: dict[str, Any], status: str, wall_s: float) -> None:
        kernels = sorted({trial.record["kernel"] for trial in self._run_folder.trials() if trial.ok})
        self._run_folder.put_provenance(
            {
                **provenance,
                "status": status,
                "kernel": ", ".join(kernels),
                "results_digest": self._run_folder.results_digest(),
                "files": self._run_folder.input_digests(),
                "wall_seconds": round(wall_s, 3),
                "jobs": self._jobs,
                "trials": {
                    trial_id: {
                        "record_digest": entry.record_digest,
                        "trial_json_digest": entry.trial_json_digest,
                        "wall_seconds": round(entry.wall_s, 3),
                        "cached": entry.cached,
                    }
                    for trial_id, entry in sorted(self._done.items())
                },
            }
        )


async def run_trial(engine: Engine, trial: Trial, directory: Path, worker: int, observer: Observer) -> None:
    """Create *directory*, and let *engine* run the trial and leave its record there.

    Raises:
        TrialError: The trial failed.
        EngineError: An operating-system error kept the engine from running the trial; the message is that error.
        StoreError: The directory cannot be created.
    """
    with writing(directory):
        directory.mkdir()
    try:
        await engine.run(trial.job, directory, worker, lambda now_ns: observer.reached(trial, now_ns))
    except OSError as error:
        raise EngineError(f"trial {trial.id}: the engine {engine.name} could not run it: {error}") from error


def by_repetition(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials with the first repetition of each cell first, so that an interrupted run can be compared."""
    return sorted(trials, key=lambda trial: trial.repetition)


def shuffled(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials in an order in which a gradual change of the machine's speed favours no cell.

    The repetitions follow each other; within each, the order of the cells is pseudo-random, derived from the digests of
    the trials.
    """
    return sorted(trials, key=lambda trial: (trial.repetition, hashlib.sha256(trial.digest.encode()).hexdigest()))


async def run_workers(workers: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run the workers concurrently; if one of them fails, the others are cancelled and its error is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for worker in workers:
                group.create_task(worker)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


def _is_of_the_disk(error: StoreError) -> bool:
    """Return whether a record could not be stored because files could not be read or written.

    Otherwise the record itself is at fault.
    """
    return isinstance(error.__cause__, OSError)


def _about_this_machine() -> dict[str, Any]:
    return {
        "lab_version": version(),
        "python": platform.python_version(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def cache_key(identity: dict[str, str], trial: Trial) -> str:
    """Return a digest of everything that determines the trial's record: the engine's identity and the job."""
    text = json.dumps({"engine": identity, "job": trial.digest}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def identity_of(plan: Plan, trial: Trial) -> TrialIdentity:
    """Return the identity of a trial, under which its results are stored."""
    return TrialIdentity(
        id=trial.id,
        cell=dict(plan.cell(trial.cell_id).values),
        repetition=trial.repetition,
        seed=trial.seed,
        job_digest=trial.digest,
    )
