# SPDX-License-Identifier: Apache-2.0
"""Check that templates of the virtual machine are interchangeable, and what happens when a buffer is too small."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.agent.collectors.loader import BPF_WARNINGS
from lab.engine.vm.engine import VmEngine
from lab.job import kernels
from lab.store.digest import record_digest
from tests.conftest import job_of

pytestmark = pytest.mark.vm

RunJob = Callable[..., Path]


@pytest.fixture
def damaged_copy(engine: VmEngine, lab_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the session's template with one wrong byte of the guest's memory, in a cache of this test.

    The path of the cache has characters that separate words for the shell, for QEMU or for LD_PRELOAD.
    """
    cache = tmp_path / "a cache: here, and"
    (cache / "templates").mkdir(parents=True)
    for part in ("emulators", "images", "recipes"):
        (cache / part).symlink_to((lab_cache / part).resolve())
    copy = cache / "templates" / engine.template().path.name
    # cp keeps the holes of the guest's memory.
    subprocess.run(["cp", "-r", "--sparse=always", str(engine.template().path), str(copy)], check=True)
    with open(copy / "ram.img", "r+b") as file:
        at = os.lseek(file.fileno(), 1 << 20, os.SEEK_DATA)
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))
    monkeypatch.setenv("LAB_CACHE", str(cache))
    yield copy
    shutil.rmtree(cache / "templates", ignore_errors=True)


def test_the_compiler_warns_of_no_program_in_the_guest(engine: VmEngine) -> None:
    console = (engine.template().path / "console.log").read_text(errors="replace")
    assert "erofs: " in console, "the console shows the guest's boot"
    assert BPF_WARNINGS not in console


def test_a_damaged_template_is_not_used(damaged_copy: Path) -> None:
    class BuiltAgainError(Exception):
        pass

    def progress(step: str) -> None:
        assert f"the template {damaged_copy} is damaged: the content of ram.img has changed" in step
        raise BuiltAgainError

    again = VmEngine()
    again.locate(print)
    with pytest.raises(BuiltAgainError):
        asyncio.run(again.prepare(progress))


@pytest.mark.nightly
def test_a_damaged_template_is_built_again_and_gives_the_same(
    run_job: RunJob, damaged_copy: Path, tmp_path: Path
) -> None:
    job = job_of("duration=5s", loss="0.1%", kernel=kernels.DEFAULT)
    expected = record_digest(run_job(job))
    steps: list[str] = []
    again = VmEngine()
    again.locate(print)
    asyncio.run(again.prepare(steps.append))
    assert re.search(r"the template .* is damaged: the content of ram.img has changed .*; it is built again", steps[0])
    assert any("saving the template" in step for step in steps)
    assert again.template().path == damaged_copy
    directory = tmp_path / "record"
    directory.mkdir()
    asyncio.run(again.run(job, directory, 0, lambda _now: None))
    assert record_digest(directory) == expected
