# SPDX-License-Identifier: Apache-2.0
"""Run some cells of a run again on another engine, and compare the means that both engines measured.

User-mode Linux is a kernel that lab compiles, and its processes compute in no time.  A virtual machine runs Debian's
own kernel.  If both give the same results, neither of these differences matters for the experiment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

from lab.analysis.comparison import CONFIDENCE, compare
from lab.engine.base import Engine
from lab.errors import InputError
from lab.evaluation.repetition import Measure
from lab.plan.plan import Plan
from lab.run.repeat import QUANTITIES, values_of
from lab.run.runner import Observer, Outcome, Runner
from lab.store.confirmation import Confirmed
from lab.store.run import Run, create_run
from lab.store.trial_cache import TrialCache

MOST_CELLS = 3
"""Number of cells that run again, with all of their repetitions."""
RELEVANT = 0.01
"""The smallest relative difference between two means that matters.

Exact engines can measure differences that are real and mean nothing: a packet takes some microseconds less where
computing takes no time.
"""
RELEVANT_RETRANSMISSIONS = 0.05
"""The same for retransmissions: of a burst that a full queue drops, some microseconds decide about single packets."""

RETRANSMISSIONS = "retransmissions"
COMPARED: Mapping[str, Measure] = {**QUANTITIES, RETRANSMISSIONS: lambda flow: flow.retransmits}
"""What is compared: a mapping from the name of a quantity, with its unit, to its value for a flow."""


def sample(plan: Plan) -> Plan:
    """Return the plan with at most :data:`MOST_CELLS` of its cells, spread evenly, and with all of their trials.

    Raises:
        InputError: The cells have only one repetition each, so that nothing is known about their variation.
    """
    if max(trial.repetition for trial in plan.trials) < 2:
        raise InputError("--confirm: found an experiment with repeat: 1; expected at least 2 repetitions to compare")
    number = min(MOST_CELLS, len(plan.cells))
    last = len(plan.cells) - 1
    places = [round(place * last / (number - 1)) if number > 1 else 0 for place in range(number)]
    cells = tuple(plan.cells[place] for place in places)
    kept = {cell.id for cell in cells}
    return replace(plan, cells=cells, trials=tuple(trial for trial in plan.trials if trial.cell_id in kept))


async def confirm(
    run: Run, plan: Plan, engine: Engine, observer: Observer, *, jobs: int, cache: TrialCache
) -> tuple[Outcome, list[Confirmed]]:
    """Run the trials of *plan* with *engine*, and compare them with the trials of *run* in the same cells.

    The new trials are stored as a run of their own in the folder ``confirmation`` of *run*, and the comparison is
    stored in *run*.

    Raises:
        MachineryError: The engine cannot be prepared, or the results cannot be stored.
    """
    folder = create_run(run.path / "confirmation", plan.name, run.experiment_text, plan.document())
    outcome = await Runner(engine, observer, plan, folder, jobs=jobs, cache=cache).run({})
    confirmed = compared(values_of(run, plan, COMPARED), values_of(folder, plan, COMPARED))
    run.put_confirmation(
        {
            "engine": engine.name,
            "kernel": folder.provenance["kernel"],
            "run": str(folder.path.relative_to(run.path)),
            "comparisons": [asdict(item) for item in confirmed],
        }
    )
    return outcome, confirmed


def compared(
    first: Mapping[tuple[str, str, str], Sequence[float]], second: Mapping[tuple[str, str, str], Sequence[float]]
) -> list[Confirmed]:
    """Compare the values of each (cell, group, quantity) that both have, by Welch's t-test.

    All comparisons together report a difference that does not exist in one of a hundred cases: the confidence of each
    of them is higher by Bonferroni's correction.
    """
    keys = [key for key in first if key in second]
    confidence = 1 - (1 - CONFIDENCE) / max(1, len(keys))
    confirmed = []
    for key in keys:
        found = compare(first[key], second[key], confidence)
        if found.margin is None:
            continue
        difference = abs(found.first - found.second)
        relevant = RELEVANT_RETRANSMISSIONS if key[2] == RETRANSMISSIONS else RELEVANT
        agrees = difference <= found.margin or difference <= relevant * abs(found.first)
        confirmed.append(Confirmed(*key, found.first, found.second, found.margin, agrees))
    return confirmed
