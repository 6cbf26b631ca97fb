# SPDX-License-Identifier: Apache-2.0
"""Runs of several processes that share a cache, which one of them prunes all the time: each run is whole and right."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

from lab.experiment.read.load import load_experiment
from lab.plan.plan import Plan, make_plan
from lab.run.runner import Runner
from lab.store.run import create_run
from lab.store.trial_cache import TrialCache
from tests.unit.run.test_runner import SHIPPED, Heard, ScriptedEngine

PRUNING = """
import random, sys, time
from pathlib import Path
from lab.store.trial_cache import TrialCache

print("ready", flush=True)
while True:
    time.sleep(random.uniform(0, 0.3))
    TrialCache(Path(sys.argv[1])).prune(0)
    TrialCache(Path(sys.argv[1])).size_bytes()
"""
SECONDS = 6


def small_plan() -> Plan:
    return make_plan(load_experiment(SHIPPED, ["repeat=6", "matrix.topology.bottleneck.loss=[0%]"]).checked)


def test_runs_beside_processes_that_prune_their_cache(tmp_path: Path) -> None:
    plan, cache = small_plan(), TrialCache(tmp_path / "cache")
    pruning = [
        subprocess.Popen([sys.executable, "-c", PRUNING, cache.root], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        for process in pruning:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        digests, cached, ran = set(), 0, 0
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            engine = ScriptedEngine()
            folder = create_run(tmp_path / "results", plan.name, b"", json.loads(plan.to_json()))
            runner = Runner(engine, Heard(), plan, folder, jobs=2, cache=cache)
            outcome = asyncio.run(runner.run({}))
            assert outcome.failures == {}
            assert len(list(folder.trials())) == len(plan.trials)
            assert runner.continues, "pruning is no trouble"
            digests.add(folder.results_digest())
            cached, ran = cached + outcome.cached, ran + len(engine.ran)
    finally:
        for process in pruning:
            process.kill()
            process.communicate()
    assert len(digests) == 1
    assert cached > 0
    assert ran > 0
