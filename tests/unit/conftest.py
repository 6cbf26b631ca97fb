# SPDX-License-Identifier: Apache-2.0
"""Runs made of the captured records in ``tests/data``: what is behind the engine, without virtual machines or root."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Callable

import pytest

from lab.engine.replay import ReplayEngine
from lab.errors import LabError
from lab.evaluation.trial import evaluate_run
from lab.plan.plan import Trial
from lab.report.model import Report
from lab.run.runner import Runner
from lab.store.run import Run, create_run
from lab.store.trial_cache import TrialCache
from tests.data.capture import EXPERIMENTS, RECORDS, plan_of
from tests.data.raw import RawTrial, raw_trials

STALE = "the captured records are not of these jobs any more: run `python -m tests.data.capture`"


class Silent:
    """An observer that only keeps what failed."""

    def __init__(self) -> None:
        self.failures: dict[str, str] = {}

    def step(self, what: str) -> None: ...

    def started(self, trial: Trial) -> None: ...

    def reached(self, trial: Trial, virtual_ns: int) -> None: ...

    def finished(self, trial: Trial, wall_s: float, *, cached: bool) -> None: ...

    def failed(self, trial: Trial, error: LabError) -> None:
        self.failures[trial.id] = str(error)


def no_step(_what: str) -> None:
    """What engines are given that have nothing to say."""


@pytest.fixture(scope="session")
def replay_engine() -> ReplayEngine:
    """The engine that plays back all captured records."""
    engine = ReplayEngine(RECORDS)
    engine.locate(no_step)
    return engine


@pytest.fixture(scope="session")
def replayed(replay_engine: ReplayEngine, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Run]:
    """The finished run of an experiment in ``tests/data``.  Others read it too: copy it before you change it."""
    root = tmp_path_factory.mktemp("replayed")

    @functools.cache
    def made(name: str) -> Run:
        plan = plan_of(name)
        for trial in plan.trials:
            if replay_engine.identity(trial.job)["capture_digest"] == "none":
                pytest.fail(f"{name}, {trial.id}: {STALE}", pytrace=False)
        text = (EXPERIMENTS / f"{name}.yaml").read_bytes()
        run = create_run(root, plan.name, text, json.loads(plan.to_json()))
        runner = Runner(replay_engine, Silent(), plan, run, jobs=1, cache=TrialCache(root / "cache"), read_cache=False)
        asyncio.run(runner.run({"command": f"lab run {name}.yaml"}))
        return run

    return made


@pytest.fixture(scope="session")
def reports(replayed: Callable[[str], Run]) -> Callable[[str], Report]:
    """The evaluated run of an experiment in ``tests/data``."""

    @functools.cache
    def made(name: str) -> Report:
        run = replayed(name)
        return Report(run, evaluate_run(run))

    return made


@pytest.fixture(scope="session")
def raw() -> Callable[[str], dict[str, RawTrial]]:
    """The captured trials of an experiment by their ids, read by other means than ``lab``'s."""

    @functools.cache
    def read(name: str) -> dict[str, RawTrial]:
        return raw_trials(RECORDS / name)

    return read
