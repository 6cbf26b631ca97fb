# SPDX-License-Identifier: Apache-2.0
"""Fixtures that grade captured trials."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lab.engine.replay import ReplayEngine
from lab.grade.grading import Options


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replay_engine: ReplayEngine) -> Options:
    """Options with which scenarios are played back in this process, and grades written below ``tmp_path``."""
    from tests.unit.grade.classes import in_this_process

    monkeypatch.setattr("lab.grade.scenario.work.engine_named", lambda *_arguments: replay_engine)
    monkeypatch.setattr("lab.grade.grading.run_tasks", in_this_process)
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    return Options(tmp_path / "grades", tuple(sorted(os.sched_getaffinity(0))))
