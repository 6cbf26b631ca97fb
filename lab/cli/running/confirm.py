# SPDX-License-Identifier: Apache-2.0
"""The option ``--confirm`` of ``lab run``: repeat a part of a run on another engine, and compare the means."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from lab.cli.common import all_overrides, engine_named, planned, say, say_what_counts
from lab.errors import EXIT_EXPECTATION_FAILED, EXIT_FAILED, EXIT_OK, InputError
from lab.job import kernels
from lab.plan.plan import Plan
from lab.run import confirm as confirmation
from lab.run.progress import Detail, observing
from lab.store import places
from lab.store.run import Run
from lab.store.trial_cache import TrialCache


def confirming_plan(file: Path, overrides: Sequence[str] | None, plan: Plan, engine: str) -> Plan:
    """Return the plan of the trials that confirm *plan*: some of its cells, for the other engine.

    Raises:
        InputError: The engine cannot confirm this plan.
    """
    if engine != "vm":
        raise InputError(f"--confirm: found {engine!r}; expected 'vm'")
    if plan.engine != "uml":
        raise InputError(
            f"--confirm: found an experiment for the engine {plan.engine}; expected uml, whose results virtual "
            "machines confirm; add --engine uml"
        )
    if len(plan.kernels) > 1:
        raise InputError(f"--confirm: found several kernels, {', '.join(plan.kernels)}; expected one")
    kernel = kernels.CONFIRMING[plan.kernels[0]]
    _loaded, other = planned(file, [*all_overrides(overrides, engine), f"kernel={kernel}"])
    return confirmation.sample(other)


def confirm_run(run: Run, plan: Plan, *, jobs: int, detail: Detail) -> int:
    """Run the trials of *plan*, print how their means compare with those of *run*, and return the exit code."""
    if detail is not Detail.QUIET:
        say(f"confirming {len(plan.cells)} of the run's cells in virtual machines")
    engine, cache = engine_named(plan.engine, plan, {}), TrialCache(places.trials())
    with observing(plan, detail) as observer:
        engine.locate(observer.step)
        say_what_counts(engine, detail)
        outcome, found = asyncio.run(confirmation.confirm(run, plan, engine, observer, jobs=jobs, cache=cache))
    for item in found:
        say(str(item))
    for trial_id, error in outcome.failures.items():
        say(f"lab: trial {trial_id} failed: {error}")
    agreeing = sum(item.agrees for item in found)
    say(f"confirmation: {agreeing} of {len(found)} comparisons agree")
    if outcome.failures or not found:
        return EXIT_FAILED
    return EXIT_OK if agreeing == len(found) else EXIT_EXPECTATION_FAILED
