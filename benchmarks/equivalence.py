# SPDX-License-Identifier: Apache-2.0
"""Run experiments in virtual machines and in User-mode Linux, with the same version of Linux, and compare the means.

``python -m benchmarks.equivalence [FILE …]`` prints a table for each experiment.  Trials that are in the cache do not
run again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import SHIPPED, SilentObserver
from lab.analysis.comparison import compare
from lab.cli.common import engine_named
from lab.experiment.read.load import load_experiment
from lab.job import kernels
from lab.plan.plan import make_plan
from lab.run.confirm import COMPARED
from lab.run.repeat import values_of
from lab.run.runner import Runner
from lab.store import places
from lab.store.folders import scratch_folder
from lab.store.run import create_run
from lab.store.trial_cache import TrialCache

ENGINES = {"vm": kernels.CONFIRMING[kernels.DEFAULT_UML], "uml": kernels.DEFAULT_UML}
"""Engine → kernel; both have the same version."""

Key = tuple[str, str, str]
"""A cell, a group of flows, and a quantity."""


def values(file: Path, engine_name: str, overrides: Sequence[str], scratch: Path) -> dict[Key, list[float]]:
    """Run the experiment on an engine and return the mean over each group's flows, one for each repetition."""
    given = [*overrides, f"engine={engine_name}", f"kernel={ENGINES[engine_name]}"]
    loaded = load_experiment(file, given)
    plan = make_plan(loaded.checked)
    engine = engine_named(engine_name, plan, loaded.packages)
    engine.locate(print)
    folder = create_run(scratch / engine_name, plan.name, loaded.text, json.loads(plan.to_json()), loaded.files)
    jobs = len(os.sched_getaffinity(0))
    runner = Runner(engine, SilentObserver(), plan, folder, jobs=jobs, cache=TrialCache(places.trials()))
    outcome = asyncio.run(runner.run({}))
    assert not outcome.failures, outcome.failures
    return values_of(folder, plan, COMPARED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, default=[SHIPPED])
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", dest="overrides")
    chosen = parser.parse_args()
    for file in chosen.files:
        with scratch_folder("equivalence", print) as scratch:
            first, second = (values(file, engine, chosen.overrides, scratch) for engine in ENGINES)
        print(f"\n{file.stem}\n\n| Cell | Flows | Quantity | vm | uml | uml less vm | could be chance up to |")
        print("|---|---|---|---|---|---|---|")
        for key, then in first.items():
            found = compare(then, second[key])
            margin = "–" if found.margin is None else f"{found.margin:.2g}"
            difference = found.second - found.first
            row = (*key, f"{found.first:.4g}", f"{found.second:.4g}", f"{difference:+.2g}", margin)
            print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
