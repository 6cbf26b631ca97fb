# SPDX-License-Identifier: Apache-2.0
"""The runner, with an engine that leaves records which say failed or nothing but a few bytes."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from lab.engine.base import Step, VirtualTime
from lab.errors import LabError, LostVMError, StoreError
from lab.plan import Plan, Trial, make_plan
from lab.protocol import PROTOCOL_FORMAT, Job, Record
from lab.runner import Outcome, Runner, remove_abandoned_scratch
from lab.spec.load import load_experiment
from lab.store import Run, TrialCache, create_run

SHIPPED = Path(__file__).parents[2] / "experiments" / "cubic_vs_bbr.yaml"


def record() -> Record:
    return {
        "format": PROTOCOL_FORMAT, "status": "ok", "traffic_start_ns": 0, "traffic_end_ns": 0, "kernel": "6.12",
        "versions": {}, "sysctls": {}, "available_congestion_control": [], "flows": [], "interfaces": [],
        "calibration": [], "cpu": {"total_ns": 1, "busy_ns": 0, "processors": 1}, "collectors": {},
    }  # fmt: skip


class ScriptedEngine:
    name = "scripted"

    def __init__(self, *, lose: str = "", stop_at: str = "", full: bool = False) -> None:
        self.ran: list[str] = []
        self.lose, self.stop_at, self.full = lose, stop_at, full
        self.whole_run: asyncio.Task[object] | None = None

    def locate(self, step: Step) -> None: ...

    def identity(self) -> dict[str, str]:
        return {"engine": self.name}

    async def prepare(self, step: Step) -> None:
        self.whole_run = asyncio.current_task()

    async def run(self, job: Job, directory: Path, worker: int, on_time: VirtualTime) -> None:
        self.ran.append(directory.name)
        if directory.name == self.lose:
            raise LostVMError("the virtual machine ended")
        if directory.name == self.stop_at:
            assert self.whole_run is not None
            self.whole_run.cancel()
            await asyncio.sleep(60)
        if self.full:
            raise OSError(28, "No space left on device")
        (directory / "record.json").write_text(json.dumps(record()))
        (directory / "seed").write_text(str(job["seed"]))


class Silent:
    def step(self, what: str) -> None: ...
    def started(self, trial: Trial) -> None: ...
    def reached(self, trial: Trial, virtual_ns: int) -> None: ...
    def finished(self, trial: Trial, wall_s: float, *, cached: bool) -> None: ...
    def failed(self, trial: Trial, error: LabError) -> None: ...


@pytest.fixture
def plan() -> Plan:
    return make_plan(load_experiment(SHIPPED, ["repeat=2", "matrix.topology.bottleneck.loss=[0%]"]).raw)


def run(
    plan: Plan, root: Path, engine: ScriptedEngine, *, jobs: int = 1, read_cache: bool = True
) -> tuple[Run, Outcome]:
    folder = create_run(root / "results", plan.name, b"", json.loads(plan.to_json()))
    cache = TrialCache(root / "cache")
    runner = Runner(engine, Silent(), plan, folder, jobs=jobs, cache=cache, read_cache=read_cache)
    return folder, asyncio.run(runner.run({}))


@pytest.mark.parametrize("jobs", [1, 3])
def test_every_trial_runs_once_then_comes_from_the_cache(plan: Plan, tmp_path: Path, jobs: int) -> None:
    engine = ScriptedEngine()
    first, outcome = run(plan, tmp_path, engine, jobs=jobs)
    assert sorted(engine.ran) == sorted(trial.id for trial in plan.trials)
    assert first.finished_ids() == {trial.id for trial in plan.trials}
    again, cached = run(plan, tmp_path, engine)
    assert len(engine.ran) == 4
    assert (outcome.cached, cached.cached) == (0, 4)
    assert again.provenance["results_digest"] == first.provenance["results_digest"]


def test_without_reading_the_cache_every_trial_runs_again(plan: Plan, tmp_path: Path) -> None:
    engine = ScriptedEngine()
    run(plan, tmp_path, engine)
    run(plan, tmp_path, engine, read_cache=False)
    assert len(engine.ran) == 8


def test_a_lost_machine_costs_its_trial_only(plan: Plan, tmp_path: Path) -> None:
    lost = plan.trials[1].id
    folder, outcome = run(plan, tmp_path, ScriptedEngine(lose=lost))
    assert list(outcome.failures) == [lost]
    assert folder.finished_ids() == {trial.id for trial in plan.trials} - {lost}
    assert folder.trial(lost).error == "the virtual machine ended"
    assert folder.provenance["status"] == "failed"


def test_an_interrupted_run_keeps_what_is_finished(plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(asyncio.CancelledError):
        run(plan, tmp_path, ScriptedEngine(stop_at=plan.trials[2].id))
    engine = ScriptedEngine()
    _, outcome = run(plan, tmp_path, engine)
    assert outcome.cached == 2
    assert engine.ran == [trial.id for trial in plan.trials[2:]]
    assert not list(tmp_path.rglob(".work-*"))


def test_a_full_disk_is_said_plainly(plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot store trial .*No space left on device"):
        run(plan, tmp_path, ScriptedEngine(full=True))


def test_scratch_of_the_dead_goes_and_of_the_living_stays(tmp_path: Path) -> None:
    dead, living = tmp_path / "run" / ".work-999999999-x", tmp_path / "run" / f".work-{os.getpid()}-x"
    dead.mkdir(parents=True)
    living.mkdir()
    remove_abandoned_scratch(tmp_path)
    assert (dead.exists(), living.exists()) == (False, True)
