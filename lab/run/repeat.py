# SPDX-License-Identifier: Apache-2.0
"""Run the trials of a real-time run again, and compare the means of both runs in view of their random variation."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.analysis.comparison import Comparison, compare
from lab.engine.base import Engine
from lab.evaluation.repetition import Measure, Repetition
from lab.evaluation.trial import evaluate_trial
from lab.plan.plan import Plan
from lab.run.runner import Observer, Runner
from lab.store.run import Run, create_run
from lab.store.trial_cache import TrialCache

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
    comparison: Comparison

    def __str__(self) -> str:
        found = self.comparison
        means = f"{found.first:.4g} and {found.second:.4g}"
        where = f"{self.cell_id}, {self.group}: {self.quantity} {means}"
        if found.margin is None:
            return f"{where}: a single repetition cannot be compared"
        verdict = "differ" if found.differs else "agree"
        return f"{where}: they {verdict} (differences up to {found.margin:.2g} may be due to chance)"


async def repeat(run: Run, plan: Plan, engine: Engine, observer: Observer) -> list[Compared]:
    """Run the trials of *run* that are in *plan* once more; compare goodput and smoothed RTT, cell by cell."""
    with tempfile.TemporaryDirectory(prefix="lab-verify-") as scratch:
        again = create_run(Path(scratch), plan.name, run.experiment_text, json.loads(plan.to_json()))
        cache = TrialCache(Path(scratch) / "cache")
        await Runner(engine, observer, plan, again, jobs=1, cache=cache).run({})
        then, now = values_of(run, plan), values_of(again, plan)
    return [Compared(*key, compare(values, now[key])) for key, values in then.items() if key in now]


def values_of(
    run: Run, plan: Plan, quantities: Mapping[str, Measure] = QUANTITIES
) -> dict[tuple[str, str, str], list[float]]:
    """Return a mapping from cell, group and quantity to the means over the group's flows, one for each trial."""
    cells = {trial.id: trial.cell_id for trial in plan.trials}
    found: dict[tuple[str, str, str], list[float]] = {}
    for trial in run.trials():
        if not trial.ok or trial.id not in cells:
            continue
        evaluated = evaluate_trial(trial)
        for group in dict.fromkeys(flow.group for flow in evaluated.metrics):
            flows = Repetition(evaluated, tuple(flow for flow in evaluated.metrics if flow.group == group))
            for quantity, measure in quantities.items():
                value = flows.value(measure)
                if value is not None:
                    found.setdefault((cells[trial.id], group, quantity), []).append(value)
    return found
