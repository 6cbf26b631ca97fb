# SPDX-License-Identifier: Apache-2.0
"""Run trials of a finished run again, and compare their records byte by byte."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from lab.engine.base import Engine
from lab.errors import GuestError, InputError, StoreError, TrialError
from lab.plan.plan import Plan, Trial
from lab.run.runner import Observer, remove_what_killed_runs_left, run_workers
from lab.store.digest import file_digests, record_digest
from lab.store.folders import unfinished_folder
from lab.store.run import Run
from lab.store.trial import read_record


@dataclass(frozen=True)
class Difference:
    """A trial whose repetition gave another record, or failed."""

    trial_id: str
    files: tuple[str, ...]
    """The names of the files that differ, or that only one of the two records has."""
    error: str | None = None
    """The error of the repeated trial, if it failed."""

    def __str__(self) -> str:
        return f"{self.trial_id}: {self.error or 'differs in ' + ', '.join(self.files)}"


def chosen_trials(plan: Plan, run: Run, number: int | None) -> list[Trial]:
    """Return ``number`` of the run's finished trials, spread evenly over the plan, or all of them if it is None.

    Raises:
        InputError: The run has no finished trial.
    """
    finished = run.finished_ids()
    trials = [trial for trial in plan.trials if trial.id in finished]
    if not trials:
        raise InputError(f"{run.path} has no finished trial")
    if number is None or number >= len(trials):
        return trials
    return [trials[index * len(trials) // number] for index in range(number)]


def changed_inputs(run: Run, engine: Engine) -> list[str]:
    """Return one line for each property of the engine that differs between this machine and that of the run."""
    then, now = run.provenance, engine.about()
    return [
        f"{name}: the run had {then.get(name)}, but this machine has {value}"
        for name, value in now.items()
        if then.get(name) != value
    ]


async def verify(run: Run, trials: list[Trial], engine: Engine, observer: Observer, *, jobs: int) -> list[Difference]:
    """Run ``trials`` again, and return the differences, in the order of the trials."""
    waiting = iter(trials)
    differences: list[Difference] = []

    async def work(worker: int, scratch: Path) -> None:
        for trial in waiting:
            observer.started(trial)
            began = time.monotonic()
            directory = scratch / trial.id
            try:
                directory.mkdir()
                await engine.run(
                    trial.job,
                    directory,
                    worker,
                    lambda now, trial=trial: observer.reached(trial, now),  # type: ignore[misc]
                )
                found = _compare(run, trial, directory)
            except TrialError as error:
                found = Difference(trial.id, (), error.reason)
            except OSError as error:
                raise StoreError(f"cannot keep the repeated trial {trial.id} in {directory}: {error}") from error
            finally:
                shutil.rmtree(directory, ignore_errors=True)
            if found is None:
                observer.finished(trial, time.monotonic() - began, cached=False)
            else:
                differences.append(found)
                observer.failed(trial, GuestError(str(found)))

    remove_what_killed_runs_left(run.path.parent)
    try:
        await engine.prepare(observer.step)
        with unfinished_folder(run.path) as scratch:
            await run_workers(work(worker, scratch) for worker in range(min(jobs, len(trials))))
    finally:
        engine.close()
    order = [trial.id for trial in trials]
    return sorted(differences, key=lambda difference: order.index(difference.trial_id))


def _compare(run: Run, trial: Trial, directory: Path) -> Difference | None:
    stored = run.trial(trial.id)
    if stored.record_digest == record_digest(directory):
        return None
    then = stored.record_files
    now = file_digests(directory)
    names = tuple(name for name in sorted(then.keys() | now.keys()) if then.get(name) != now.get(name))
    try:
        record = read_record(directory)
        error = record.get("error", "no reason given") if record["status"] != "ok" else None
    except StoreError as exc:
        error = str(exc)
    return Difference(trial.id, names or ("(file list)",), f"the repeated trial failed: {error}" if error else None)
