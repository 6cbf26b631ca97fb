# SPDX-License-Identifier: Apache-2.0
"""The native engine never loads a kernel module, wherever its job comes from."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from lab.engine.native.engine import NativeEngine
from lab.errors import EngineError
from lab.job.protocol import Job
from tests.jobs import job_with


@pytest.fixture
def job() -> Job:
    made = job_with(["s1", "d1"], [("s1", "d1")])
    made["algorithms"] = [{"name": "mine", "source_sha256": "0" * 64, "object": "", "form": "module"}]
    return made


def test_a_plan_with_a_module_is_refused_before_anything_else(job: Job) -> None:
    with pytest.raises(EngineError, match=r"found the kernel module mine .* only virtual machines run modules"):
        NativeEngine([job]).locate(print)


def test_a_job_with_a_module_is_not_run(job: Job, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"found the kernel module mine"):
        asyncio.run(NativeEngine([]).run(job, tmp_path / "record", 0, lambda _now_ns: None))
    assert list(tmp_path.iterdir()) == []
