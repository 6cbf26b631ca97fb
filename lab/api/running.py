# SPDX-License-Identifier: Apache-2.0
"""Run an experiment from a program or a notebook, as ``lab run`` does from the command line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.api.building import loaded, overrides_of
from lab.api.engines import all_overrides, engine_named, plan_of
from lab.api.known import image_lookup
from lab.api.loops import run_in_own_loop
from lab.api.results import Run, load
from lab.api.starting import runner_for
from lab.api.summary import counts_of
from lab.bundle.choose import check_kernels, using
from lab.bundle.transfer import bundles_named
from lab.engine.base import Notice
from lab.errors import InputError, TrialsFailedError
from lab.plan.description import notes
from lab.report import build_report
from lab.run.progress import Detail, PlainObserver, observing
from lab.run.runner import Outcome, Runner
from lab.store import places
from lab.store.run import Run as StoredRun

if TYPE_CHECKING:
    from lab.experiment.schema.experiment import Experiment
    from lab.plan.plan import Plan

_NAMED = 3
"""The number of failed trials whose errors a message contains."""


def run(
    experiment: str | os.PathLike[str] | Experiment | Mapping[str, Any],
    *,
    set: Mapping[str, Any] | None = None,
    engine: str | None = None,
    bundle: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
    jobs: int | None = None,
    output: str | os.PathLike[str] = "results",
    cache: bool = True,
    progress: bool = True,
) -> Run:
    """Run an experiment, write its report, and return the loaded run.

    *experiment* is the path of a file, an :class:`lab.Experiment`, or the mapping that a file would contain.  The run's
    folder has it as YAML in any case, so that ``lab run`` and ``lab verify`` can repeat it.  The other arguments are
    the options of ``lab run``: *set* maps paths of fields to values, such as ``{"repeat": 3, "flows.bulk.cc": "bbr"}``;
    *engine* is ``vm``, ``uml`` or ``native`` (default: the experiment's); *bundle* names one bundle, or several for
    experiments with several kernels, each by its digest, its file, which is imported, or an address of it (default:
    those that ``lab bundle use`` has chosen, or that were built last); *jobs* is the number of trials that run in
    parallel (default: one per processor); *output* is the folder in which runs are stored.  Without *cache*, all trials
    run, even those whose results are in the cache.

    With *progress*, a progress bar is shown: in the cell of a notebook, or on standard error.  Running trials does not
    disturb an event loop that runs in the calling thread, as it does in a notebook; the call itself waits.

    An interrupt (Ctrl-C, or a notebook's stop button) keeps the trials that are finished, and the same call continues
    with the others, if the engine is exact.

    Expectations of the experiment that are not met are no error; :attr:`Run.expectations` has their outcome.

    Raises:
        SpecError: The experiment has problems; the message names each with its field.
        InputError: An argument cannot be used.
        MachineryError: This machine lacks something that the engine needs, or the results cannot be written.
        TrialsFailedError: Trials failed; the others are stored, and the error's ``run`` is the loaded run.
    """
    if jobs is not None and jobs < 1:
        raise InputError(f"jobs: found {jobs}; expected 1 or more")
    overrides = all_overrides(overrides_of(set or {}), engine)
    names = [bundle] if isinstance(bundle, str | os.PathLike) else bundle
    with ExitStack() as stack:
        bundles = bundles_named([os.fspath(name) for name in names], lambda _step: None)
        stack.enter_context(using(bundles))
        found, plan = plan_of(lambda: loaded(experiment, overrides, image_lookup([])))
        check_kernels(bundles, plan.kernels, plan.engine)
        chosen = engine_named(plan.engine, plan, found.packages)
        observer = stack.enter_context(observing(plan, Detail.NORMAL if progress else Detail.QUIET))
        at_a_time = jobs or len(os.sched_getaffinity(0))
        runner = runner_for(chosen, found, plan, Path(output), observer, jobs=at_a_time, read_cache=cache)
        command = _call(experiment, {"set": dict(set or {}), "engine": engine, "bundle": list(map(str, names))})
        outcome = _carried_out(runner, plan, {"command": command, "overrides": overrides}, observer)
    result = load(runner.folder)
    if outcome.failures:
        raise TrialsFailedError(_failed(outcome, plan), result)
    return result


def imported(names: Sequence[str]) -> list[str]:
    """Return the digests of bundles that are named as for :func:`run`; those in files or at addresses are imported.

    Raises:
        InputError: A name is none of a bundle, or a file is not what it should be.
    """
    return [bundle.digest for bundle in bundles_named(names, lambda _step: None)]


def _carried_out(runner: Runner, plan: Plan, about: Mapping[str, Any], observer: PlainObserver) -> Outcome:
    """Run the trials, write the report, and say what is wrong with the run."""
    with _saying_what_is_kept(runner, plan):
        outcome = run_in_own_loop(lambda: runner.run({**about, "notes": notes(plan)}), observer.refresh)
        observer.step("writing the report")
        observer.refresh()
        build_report(runner.folder, places.figures(), lambda line: observer.step(Notice(line)))
    for message in _concerns(outcome.run, plan):
        observer.step(Notice(message))
    return outcome


def _concerns(folder: StoredRun, plan: Plan) -> Iterator[str]:
    """Yield what is wrong with a run whose report has been written: invalid trials, expectations that are not met."""
    if invalid := counts_of(folder)["invalid"]:
        yield f"{invalid} of {len(plan.trials)} trials are invalid: `run.checks` says why"
    path = folder.report_dir / "expectations.json"
    counts = json.loads(path.read_text(encoding="utf-8"))["counts"] if path.exists() else {}
    total = sum(counts.values())
    if missed := total - counts.get("met", 0):
        be = "is" if missed == 1 else "are"
        yield f"{missed} of {total} expectations {be} not met: `run.expectations` says why"


@contextmanager
def _saying_what_is_kept(runner: Runner, plan: Plan) -> Iterator[None]:
    """If the user interrupts the block, add to the interrupt what is kept, and what happens to it."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        kept = f"{runner.finished} of {len(plan.trials)} trials are finished and kept in {runner.folder}"
        if runner.finished == len(plan.trials):
            again = f"`lab report {runner.folder}` writes the report"
        else:
            again = f"the same call {'continues with the others' if runner.continues else 'runs all of them again'}"
        interrupt.add_note(f"{kept}; {again}")
        raise


def _failed(outcome: Outcome, plan: Plan) -> str:
    named = [f"{trial_id}: {error}" for trial_id, error in list(outcome.failures.items())[:_NAMED]]
    more = len(outcome.failures) - len(named)
    texts = "; ".join([*named, *([f"and {more} more"] if more else [])])
    return f"{len(outcome.failures)} of {len(plan.trials)} trials failed: {texts}"


def _call(experiment: Any, options: Mapping[str, Any]) -> str:
    """Return the call as text, for the provenance."""
    given = repr(os.fspath(experiment)) if isinstance(experiment, str | os.PathLike) else "experiment"
    return f"lab.run({', '.join([given, *(f'{name}={value!r}' for name, value in options.items() if value)])})"
