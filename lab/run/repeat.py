# SPDX-License-Identifier: Apache-2.0
"""Run the trials of a real-time run again, and compare the means of both runs in view of their random variation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lab.analysis.comparison import CONFIDENCE, Comparison, compare, holm
from lab.engine.base import Engine, Notice
from lab.evaluation.repetition import Measure, Repetition
from lab.evaluation.trial import evaluate_trial
from lab.plan.plan import Plan
from lab.run.runner import Observer, Outcome, Runner
from lab.store.folders import scratch_folder
from lab.store.run import Run, create_run
from lab.store.trial_cache import TrialCache

SIGNIFICANCE = 1 - CONFIDENCE
"""Largest adjusted p-value of a difference that is reported."""

QUANTITIES: dict[str, Measure] = {
    "goodput (Mbit/s)": lambda flow: None if flow.goodput_bps is None else flow.goodput_bps / 1e6,
    "mean smoothed RTT (ms)": lambda flow: None if flow.srtt_mean_us is None else flow.srtt_mean_us / 1e3,
}


@dataclass(frozen=True)
class Compared:
    """The comparison of one quantity, for one group of flows in one cell, between both runs."""

    cell_id: str
    group: str
    quantity: str
    comparison: Comparison | None
    """None if only one of the runs measured the quantity."""
    adjusted_p: float | None
    """The p-value, adjusted for the number of comparisons by Holm's method; None if nothing can be compared."""

    @property
    def differs(self) -> bool | None:
        """Whether the means differ by more than chance may explain; None if they cannot be compared."""
        return None if self.adjusted_p is None else self.adjusted_p <= SIGNIFICANCE

    def __str__(self) -> str:
        where = f"{self.cell_id}, {self.group}: {self.quantity}"
        found = self.comparison
        if found is None:
            return f"{where} cannot be compared: only one of the runs measured it"
        means = f"{found.first:.4g} and {found.second:.4g}"
        if self.adjusted_p is None:
            return f"{where} {means} cannot be compared: a single repetition says nothing about the variation"
        return f"{where} {means}: they {'differ' if self.differs else 'agree'} (adjusted p = {self.adjusted_p:.2g})"


async def repeat(run: Run, plan: Plan, engine: Engine, observer: Observer) -> tuple[Outcome, list[Compared]]:
    """Run the trials of *run* that are in *plan* once more; compare goodput and smoothed RTT, cell by cell."""
    with scratch_folder("verify", lambda message: observer.step(Notice(message))) as scratch:
        again = create_run(scratch, plan.name, run.experiment_text, plan.document())
        cache = TrialCache(scratch / "cache")
        outcome = await Runner(engine, observer, plan, again, jobs=1, cache=cache).run({})
        return outcome, compared(values_of(run, plan), values_of(again, plan))


def compared(
    first: Mapping[tuple[str, str, str], Sequence[float]], second: Mapping[tuple[str, str, str], Sequence[float]]
) -> list[Compared]:
    """Compare the values of each (cell, group, quantity) by Welch's t-test.

    All comparisons together report a difference that does not exist in one of a hundred cases (Holm's method).
    """
    found = {
        key: compare(first[key], second[key]) if key in first and key in second else None
        for key in dict.fromkeys((*first, *second))
    }
    p_values = {key: item.p_value for key, item in found.items() if item is not None and item.p_value is not None}
    adjusted = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    return [Compared(*key, item, adjusted.get(key)) for key, item in found.items()]


def values_of(
    run: Run, plan: Plan, quantities: Mapping[str, Measure] = QUANTITIES
) -> dict[tuple[str, str, str], list[float]]:
    """Return a mapping from cell, group and quantity to the means over the group's flows, one for each trial."""
    cells = {trial.id: trial.cell_id for trial in plan.trials}
    found: dict[tuple[str, str, str], list[float]] = {}
    for trial in run.trials():
        if not trial.ok or trial.id not in cells:
            continue
        evaluated = evaluate_trial(trial, with_curves=False)
        for group in dict.fromkeys(flow.group for flow in evaluated.metrics):
            flows = Repetition(evaluated, tuple(flow for flow in evaluated.metrics if flow.group == group))
            for quantity, measure in quantities.items():
                value = flows.value(measure)
                if value is not None:
                    found.setdefault((cells[trial.id], group, quantity), []).append(value)
    return found
