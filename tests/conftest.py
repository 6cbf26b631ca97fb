# SPDX-License-Identifier: Apache-2.0
"""Fixtures that run the real thing.  Image and template are built once per machine, all else is the test's own."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.engine.vm.engine import VmEngine
from lab.image import cache
from lab.plan import Plan, make_plan
from lab.protocol import Job
from lab.spec.load import load_experiment

SHIPPED = Path(__file__).parents[1] / "experiments" / "cubic_vs_bbr.yaml"
SHARED_PARTS = ("images", "recipes", "templates", "locks", "lockstep")


@pytest.fixture(scope="session")
def lab_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache with no finished trials in it; what is costly to build is the user's own."""
    real = cache.cache_root()
    mine = tmp_path_factory.mktemp("cache")
    for part in SHARED_PARTS:
        (real / part).mkdir(parents=True, exist_ok=True)
        (mine / part).symlink_to(real / part)
    before = os.environ.get("LAB_CACHE")
    os.environ["LAB_CACHE"] = str(mine)
    yield mine
    if before is None:
        del os.environ["LAB_CACHE"]
    else:
        os.environ["LAB_CACHE"] = before


@pytest.fixture(scope="session")
def engine(lab_cache: Path) -> VmEngine:
    """The VM engine, prepared: the first test that asks for it pays for image and template."""
    made = VmEngine()
    made.locate(print)
    asyncio.run(made.prepare(print))
    return made


def plan_of(*overrides: str) -> Plan:
    """The shipped experiment, one repetition, changed by ``PATH=VALUE`` overrides."""
    return make_plan(load_experiment(SHIPPED, ["repeat=1", *overrides]).raw)


def job_of(*overrides: str, cc: str = "cubic", loss: str = "0%") -> Job:
    """The job of a single trial."""
    matrix = (f"matrix.flows.bulk.cc=[{cc}]", f"matrix.topology.bottleneck.loss=[{loss}]")
    (trial,) = plan_of(*overrides, *matrix).trials
    return trial.job


@pytest.fixture(scope="session")
def run_job(engine: VmEngine, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Job], Path]:
    """Runs a job in the guest; returns its record's directory."""

    def run(job: Job) -> Path:
        directory = tmp_path_factory.mktemp("trial") / "record"
        directory.mkdir()
        asyncio.run(engine.run(job, directory, 0, lambda _now: None))
        return directory

    return run


def record_in(directory: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((directory / "record.json").read_text())
    return record


@pytest.fixture
def lab(lab_cache: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the ``lab`` command to its end."""

    def run(*arguments: str, timeout: float = 300, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(lab_command()), *arguments],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env={**os.environ, **environment},
        )

    return run


def lab_command() -> Path:
    return Path(sys.executable).with_name("lab")
