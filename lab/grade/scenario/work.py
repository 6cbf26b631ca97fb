# SPDX-License-Identifier: Apache-2.0
"""Run one scenario of one submission, give the points of its criteria, and draw their figures."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lab.api.engines import all_overrides, engine_named, plan_of
from lab.api.known import image_lookup
from lab.bundle.choose import bundle_named, bundles_of_run, using
from lab.engine.bundles import Bundle
from lab.errors import ImageError, InputError, LabError, MachineryError, TrialError
from lab.evaluation.expectations.cells import cells_of
from lab.evaluation.expectations.judge import Entry, Outcome, judged
from lab.evaluation.trial import EvaluatedTrial, evaluate_run
from lab.experiment.read.load import load_experiment
from lab.grade.assignment.check import answer_condition, scale_conditions
from lab.grade.assignment.schema import Criterion, kind_of
from lab.grade.scenario import points
from lab.grade.scenario.figures import drawn, figure_of, key_of
from lab.grade.scenario.points import Given
from lab.grade.scenario.task import FIGURES, RUNS, Report, Task
from lab.grade.submission.objects import NO_MODULES, check_calls
from lab.plan.plan import Plan
from lab.report.model import Report as RunReport
from lab.run.modules import has_modules, with_modules
from lab.run.progress import Detail, observing
from lab.run.runner import Outcome as RunOutcome
from lab.run.runner import Runner
from lab.store import places
from lab.store.run import Run, create_run
from lab.store.trial_cache import TrialCache

__all__ = ["carry_out"]

_MOST_LOG = 16_000
"""How much of the end of a failed trial's log is kept, in characters."""


def carry_out(task: Task) -> Report:
    """Run the scenario and return the report, which is also written to the folder of the scenario.

    Nothing that a submission does is an error here.
    """
    began = time.monotonic()
    os.sched_setaffinity(0, task.processors)
    try:
        with using(_bundles(task)):
            report = _run_and_judge(task)
    except InputError as error:
        report = Report(task.name, "refused", _inside_stage(str(error), task))
    except _EndlessError as error:
        report = Report(task.name, "ended", str(error))
    except (MachineryError, OSError) as error:
        report = Report(task.name, "machine", _inside_stage(str(error), task))
    report = replace(report, wall_s=round(time.monotonic() - began, 3), key=task.key)
    report.write(Path(task.output))
    return report


def _bundles(task: Task) -> list[Bundle]:
    """Return the bundles in which the trials run.

    Raises:
        MachineryError: One has been removed since the grading began, for which the submission cannot be blamed.
    """
    try:
        return [bundle_named(digest) for digest in task.bundles]
    except InputError as error:
        raise ImageError(f"the bundle of the scenario is no longer in the cache: {error}") from error


class _EndlessError(Exception):
    """A scenario did not come to an end in its time."""


def _run_and_judge(task: Task) -> Report:
    overrides = all_overrides(task.overrides, task.engine)
    experiment = Path(task.stage, task.experiment)
    loaded, plan = plan_of(lambda: load_experiment(experiment, overrides, image_lookup([])))
    if not task.modules and has_modules(trial.job for trial in plan.trials):
        raise InputError(f"{NO_MODULES}; expected a source in BPF, *.bpf.c")
    run, outcome = _ran(task, plan, loaded.text, loaded.files, loaded.packages)
    evaluated = evaluate_run(run)
    rubric = {name: Criterion.model_validate(fields) for name, fields in task.rubric.items()}
    given = _given(plan, evaluated, rubric, task.answers)
    return Report(
        task.name,
        "run",
        given={name: one.document() for name, one in given.items()},
        figures=_figures(run, evaluated, rubric, Path(task.output, FIGURES)),
        failures={name: _failure(error, task) for name, error in outcome.failures.items()},
        trials=len(plan.trials),
        digest=run.results_digest(),
        bundles={bundle.kernel: bundle.digest for bundle in bundles_of_run(run.provenance)},
    )


def _ran(
    task: Task, plan: Plan, text: bytes, files: Mapping[str, bytes], packages: Mapping[str, Path]
) -> tuple[Run, RunOutcome]:
    """Run the trials; what has run before is in the cache, also what this task has run before it was interrupted.

    Raises:
        InputError: An algorithm calls what it may not call, or is a module that does not compile.
        _EndlessError: They do not come to an end in their time.
        MachineryError: This machine cannot run them.
    """
    engine = engine_named(plan.engine, plan, packages)
    with observing(plan, Detail.QUIET) as observer:
        engine.locate(observer.step)
        plan = with_modules(plan, engine, observer.step)
        check_calls((trial.job for trial in plan.trials), task.may_not_use)
        run = create_run(Path(task.output, RUNS), plan.name, text, plan.document(), dict(files))
        runner = Runner(
            engine,
            observer,
            plan,
            run,
            jobs=len(task.processors),
            cache=TrialCache(places.trials()),
            read_cache=task.read_cache,
        )

        async def limited() -> RunOutcome:
            async with asyncio.timeout(task.wall_s):
                return await runner.run({"command": f"lab grade: scenario {task.name}", "overrides": task.overrides})

        try:
            return run, asyncio.run(limited())
        except TimeoutError:
            reason = f"the scenario did not end within {task.wall_s:g} s of this machine's time, and was stopped"
            raise _EndlessError(reason) from None


def _failure(error: LabError, task: Task) -> dict[str, str]:
    """Return what there is to say of a failed trial."""
    log = error.log if isinstance(error, TrialError) else None
    text = ""
    if log is not None:
        try:
            with log.open("rb") as file:
                file.seek(max(0, log.stat().st_size - 4 * _MOST_LOG))
                text = file.read().decode(errors="replace")[-_MOST_LOG:]
        except OSError:
            text = ""
    reason = error.reason if isinstance(error, TrialError) else str(error)
    return {"kind": type(error).__name__, "reason": _inside_stage(reason, task), "log": text}


def _inside_stage(text: str, task: Task) -> str:
    """Return a message with paths as in the folder of the assignment: those of this machine tell a student nothing."""
    for folder in (task.stage, os.path.realpath(task.stage)):
        text = text.replace(f"{folder}/", "")
    return text.replace(f"{task.output}/", "")


@dataclass(frozen=True)
class _Asked:
    """A condition that is judged, and what it is for."""

    criterion: str
    condition: str


def _given(
    plan: Plan, evaluated: list[EvaluatedTrial], rubric: Mapping[str, Criterion], answers: Mapping[str, str]
) -> dict[str, Given]:
    """Return the points of each criterion of the scenario."""
    document = plan.document()
    setting = cells_of(document, evaluated).setting()
    asked: list[_Asked] = []
    for name, criterion in rubric.items():
        kind = kind_of(criterion)
        if kind == "condition":
            asked.append(_Asked(name, criterion.that or ""))
        elif kind == "scale":
            asked += [_Asked(name, condition) for condition in scale_conditions(criterion)]
        else:
            asked.append(_Asked(name, answer_condition(criterion.value or "", setting)))
    outcomes = judged(document, evaluated, [Entry(one.condition) for one in asked])
    found: dict[str, list[Outcome]] = {name: [] for name in rubric}
    for one, outcome in zip(asked, outcomes, strict=True):
        found[one.criterion].append(outcome)
    given: dict[str, Given] = {}
    for name, criterion in rubric.items():
        match kind_of(criterion):
            case "condition":
                given[name] = points.judged_condition(criterion, found[name][0])
            case "scale":
                given[name] = points.judged_scale(criterion, *found[name])
            case _:
                given[name] = points.answered(criterion, found[name][0], answers.get(criterion.answer or "", ""))
    return given


def _figures(
    run: Run, evaluated: list[EvaluatedTrial], rubric: Mapping[str, Criterion], folder: Path
) -> dict[str, dict[str, str]]:
    """Draw the figures of the criteria, each figure once."""
    report = RunReport(run, evaluated)
    if not report.done:
        return {}
    known: dict[str, dict[str, str] | None] = {}
    found: dict[str, Any] = {}
    for name, criterion in rubric.items():
        figure = figure_of(criterion)
        key = key_of(figure)
        if key not in known:
            known[key] = drawn(report, figure, folder)
        if (one := known[key]) is not None:
            found[name] = one
    return found
