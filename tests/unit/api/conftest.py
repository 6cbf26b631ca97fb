# SPDX-License-Identifier: Apache-2.0
"""The interface for Python, with runs of captured records and an engine that plays them back."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

import lab
from lab.engine.base import Engine
from lab.engine.replay import ReplayEngine
from lab.plan.plan import Plan
from lab.store.run import Run
from tests.data.capture import RECORDS
from tests.unit.cli.conftest import drawn_before, lab_command, quick

__all__ = ["drawn_before", "lab_command"]

Loaded = Callable[[str], lab.Run]


def bare_copy(run: Path, copy: Path) -> Path:
    """Copy a run without what is computed from the other files: checks, metrics and the report."""
    derived = shutil.ignore_patterns("metrics.parquet", "validity.json", "report")
    return Path(shutil.copytree(run, copy, ignore=derived))


@pytest.fixture(scope="session")
def loaded(replayed: Callable[[str], Run], tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    """The loaded run of an experiment in ``tests/data``; other tests read it, too."""
    root = tmp_path_factory.mktemp("loaded")

    def made(name: str) -> lab.Run:
        copy = root / name / replayed(name).id
        if not copy.exists():
            bare_copy(replayed(name).path, copy)
        return lab.load(copy)

    return made


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Engine]:
    """The engine that ``lab.run`` takes; the test has a cache and a working directory of its own."""
    found: list[Engine] = [ReplayEngine(RECORDS)]

    def named(_name: str, _plan: Plan, _packages: Mapping[str, Path]) -> Engine:
        return found[0]

    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lab.api.running.engine_named", named)
    monkeypatch.setattr("lab.report.figures.saving.save", quick)
    return found
