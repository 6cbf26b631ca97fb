# SPDX-License-Identifier: Apache-2.0
"""Run trials of a finished run again, make their stored files anew, and compare them with what is stored."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.engine.base import Engine, Notice
from lab.errors import GuestError, StoreError, TrialError
from lab.evaluation.trial import evaluate_trial
from lab.plan.plan import Plan, Trial
from lab.run.runner import Observer, cache_key, identity_of, run_trial, run_workers
from lab.run.stored import (
    TRIAL,
    Inspection,
    metrics_differences,
    stored_file_digests,
    validity_differences,
)
from lab.store.compare import FileDifference, file_difference, json_difference
from lab.store.digest import record_digest
from lab.store.folders import unfinished_folder
from lab.store.run import Run, remove_leftovers_of_runs
from lab.store.trial import TrialResult, convert_record
from lab.store.trial_cache import TrialCache
from lab.version import version

SHOWN = 4
"""The number of files of a trial for which a message says how they differ."""

_RECORD_KEYS = ("record_digest", "record_files", "files")
"""Keys of ``trial.json`` that contain digests.  The files themselves are compared, which says more."""


@dataclass(frozen=True)
class Difference:
    """A trial that is not as it was stored, whose repetition came out differently, or whose repetition failed."""

    trial_id: str
    files: tuple[FileDifference, ...] = ()
    """The files that differ, are missing, or should not be there."""
    error: str | None = None
    """The error of the repeated trial, if it failed."""

    def summary(self) -> str:
        """Return the difference in one line, without the id of the trial."""
        return self.error or f"not as it was stored: {', '.join(file.file for file in self.files)}"

    def lines(self) -> list[str]:
        """Return the difference in words: a line for each of the first files, and one that names all others."""
        more = ", ".join(file.file for file in self.files[SHOWN:])
        texts = [
            *([self.error] if self.error else []),
            *(str(file) for file in self.files[:SHOWN]),
            *([f"also differs in {more}"] if more else []),
        ]
        return [f"{self.trial_id}: {text}" for text in texts]


def chosen_trials(plan: Plan, found: Inspection, number: int | None) -> list[Trial]:
    """Return ``number`` of the run's finished trials, spread evenly over the plan, or all of them if it is None."""
    trials = [trial for trial in plan.trials if trial.id in found.finished]
    if number is None or number >= len(trials):
        return trials
    return [trials[index * len(trials) // number] for index in range(number)]


def changed_inputs(run: Run, engine: Engine) -> list[str]:
    """Return one line for each property of ``lab`` and the engine that differs between now and the time of the run."""
    then, now = run.provenance, {"lab_version": version(), **engine.about()}
    return [
        f"{name}: the run had {then.get(name)}, but this machine has {value}"
        for name, value in now.items()
        if then.get(name) != value
    ]


async def repeated(
    run: Run,
    plan: Plan,
    trials: Sequence[Trial],
    engine: Engine,
    observer: Observer,
    found: Inspection,
    *,
    jobs: int,
    cache: TrialCache | None = None,
) -> dict[str, Difference]:
    """Run *trials* of *plan* again, and return how the stored files of *run* differ, by the id of the trial.

    What could not be evaluated because stored files have changed is evaluated from the repeated trial, and added to
    *found*.

    A record in *cache* that is another one than that of the trial that ran again is removed from there.

    Raises:
        MachineryError: The engine cannot run trials.
        StoreError: The repeated trials cannot be kept for the comparison.
    """
    waiting = iter(trials)
    differences: dict[str, Difference] = {}

    async def work(worker: int, scratch: Path) -> None:
        for trial in waiting:
            observer.started(trial)
            began = time.monotonic()
            directory, again = scratch / trial.id, scratch / f"{trial.id}.stored"
            try:
                await run_trial(engine, trial, directory, worker, observer)
                digest = record_digest(directory)
                difference = _compare(run, plan, trial, directory, again, found)
                is_whole = difference is None or difference.error is None
                key = cache_key(engine.identity(trial.job), trial)
                if cache is not None and is_whole:
                    _disprove(cache, key, digest, trial, observer)
            except TrialError as error:
                difference = Difference(trial.id, error=error.reason)
            except OSError as error:
                raise StoreError(f"cannot compare the repeated trial {trial.id}: {error}") from error
            finally:
                shutil.rmtree(directory, ignore_errors=True)
                shutil.rmtree(again, ignore_errors=True)
            if difference is None:
                observer.finished(trial, time.monotonic() - began, cached=False)
            else:
                differences[trial.id] = difference
                observer.failed(trial, GuestError(difference.summary()))

    for message in remove_leftovers_of_runs(run.path.parent):
        observer.step(Notice(message))
    try:
        await engine.prepare(observer.step)
        with unfinished_folder(run.path) as scratch:
            await run_workers(work(worker, scratch) for worker in range(min(jobs, len(trials))))
    finally:
        engine.close()
    return differences


def _disprove(cache: TrialCache, key: str, digest: str, trial: Trial, observer: Observer) -> None:
    """Remove the record of a trial from the cache, unless it has this digest, and say so."""
    try:
        if cache.disprove(key, digest):
            observer.step(Notice(f"{trial.id}: the cache had another record, which is removed"))
    except StoreError as error:
        observer.step(Notice(f"warning: {trial.id}: {error}"))


def all_differences(run: Run, plan: Plan, found: Inspection, again: dict[str, Difference]) -> list[Difference]:
    """Return what the inspection of the stored files and the repeated trials found, in the order of the plan.

    Of a file that both found, what the repeated trial says is returned: it says where the file differs.
    """
    metrics = metrics_differences(run, found)
    order = dict.fromkeys((*(trial.id for trial in plan.trials), *found.differences, *metrics))
    differences = []
    for trial_id in order:
        repetition = again.get(trial_id, Difference(trial_id))
        files = {item.file: item for item in found.differences.get(trial_id, ())}
        files |= {item.file: item for item in repetition.files}
        if trial_id in metrics:
            files[metrics[trial_id].file] = metrics[trial_id]
        if files or repetition.error:
            differences.append(Difference(trial_id, tuple(files.values()), repetition.error))
    return differences


def _compare(run: Run, plan: Plan, trial: Trial, directory: Path, again: Path, found: Inspection) -> Difference | None:
    """Make the stored files of a trial anew from its record in *directory*, in *again*, and compare them."""
    again.mkdir()
    try:
        convert_record(identity_of(plan, trial), trial.job, directory, again)
        made = TrialResult(again)
        if not made.ok:
            return Difference(trial.id, error=f"the repeated trial failed: {made.error}")
        stored = found.finished[trial.id]
        files = [*_document_differences(stored, made), *_file_differences(stored.path, again)]
        if trial.id not in found.evaluated:
            found.evaluated[trial.id] = evaluate_trial(made, with_curves=False)
            files += validity_differences(stored, found.evaluated[trial.id], found)
    except StoreError as error:
        return Difference(trial.id, error=f"the repeated trial left a record that cannot be used: {error}")
    return Difference(trial.id, tuple(files)) if files else None


def _document_differences(stored: TrialResult, made: TrialResult) -> list[FileDifference]:
    """Return how ``trial.json`` differs; of the raw record, of which only digests are stored, which files differ."""
    one, other = (
        {key: value for key, value in trial.document.items() if key not in _RECORD_KEYS} for trial in (stored, made)
    )
    found = []
    what = json_difference(one, json.loads(json.dumps(other)))
    if what is not None:
        found.append(FileDifference(TRIAL, what))
    then, now = stored.record_files, made.record_files
    names = [name for name in sorted(then.keys() | now.keys()) if then.get(name) != now.get(name)]
    if names:
        found.append(FileDifference("raw record", f"the repeated one differs from its digests in {', '.join(names)}"))
    elif stored.record_digest != made.record_digest:
        found.append(FileDifference("raw record", "the repeated one does not have the digest in trial.json"))
    return found


def _file_differences(stored: Path, again: Path) -> list[FileDifference]:
    try:
        then, now = stored_file_digests(stored), stored_file_digests(again)
    except StoreError as error:
        return [FileDifference("*", str(error))]
    found = []
    for name in sorted(then.keys() | now.keys()):
        if then.get(name) == now.get(name):
            continue
        if name not in now:
            what: str | None = "is not a file of this trial"
        elif name not in then:
            what = "is missing"
        else:
            what = file_difference(stored / name, again / name)
        if what is not None:
            found.append(FileDifference(name, what))
    return found
