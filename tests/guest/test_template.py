# SPDX-License-Identifier: Apache-2.0
"""Check that templates of the virtual machine are interchangeable, and what happens when a buffer is too small."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.agent.collectors.loader import BPF_WARNINGS
from lab.engine.vm.engine import VmEngine
from lab.job import kernels
from lab.job.protocol import Job
from lab.store import places
from lab.store.digest import record_digest
from tests.conftest import job_of

pytestmark = pytest.mark.vm

RunJob = Callable[..., Path]


@pytest.fixture
def other_template(lab_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunJob]:
    """A function that runs a job from a template that is built for this test.

    The path of its cache has characters that separate words for the shell, for QEMU or for LD_PRELOAD.
    """
    cache = tmp_path / "a cache: here, and"
    cache.mkdir()
    for part in ("images", "recipes"):
        (cache / part).symlink_to((lab_cache / part).resolve())
    monkeypatch.setenv("LAB_CACHE", str(cache))
    again = VmEngine()

    def run(job: Job, steps: list[str] | None = None) -> Path:
        again.locate(print)
        asyncio.run(again.prepare(print if steps is None else steps.append))
        directory = tmp_path / "record"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        asyncio.run(again.run(job, directory, 0, lambda _now: None))
        return directory

    yield run
    shutil.rmtree(cache / "templates", ignore_errors=True)


def test_the_compiler_warns_of_no_program_in_the_guest(engine: VmEngine) -> None:
    console = (engine.template().path / "console.log").read_text(errors="replace")
    assert "erofs: " in console, "the console shows the guest's boot"
    assert BPF_WARNINGS not in console


def test_a_template_built_again_gives_the_same(other_template: RunJob, run_job: RunJob) -> None:
    job = job_of("duration=5s", loss="0.1%", kernel=kernels.DEFAULT)
    expected = record_digest(run_job(job))
    assert record_digest(other_template(job)) == expected
    (ram,) = places.templates().glob("*/ram.img")
    with open(ram, "r+b") as file:
        at = os.lseek(file.fileno(), 1 << 20, os.SEEK_DATA)
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))
    steps: list[str] = []
    assert record_digest(other_template(job, steps)) == expected
    assert re.search(r"the template .* is damaged: the content of ram.img has changed .*; it is built again", steps[0])
    assert any("saving the template" in step for step in steps)
