# SPDX-License-Identifier: Apache-2.0
"""Builds in the cache: who builds what is not there."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from lab.engine.base import Step
from lab.engine.debian.builds import DamagedBuildError, found_or_built
from lab.engine.emulator.build import Emulator
from tests.emulators import write_emulator


def test_of_several_that_need_a_build_one_makes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_CACHE", str(tmp_path))
    made: list[Emulator] = []
    got: list[Emulator] = []
    said: list[str] = []

    def find() -> Emulator | None:
        return made[0] if made else None

    def build(step: Step) -> Emulator:
        step("unpacking")
        time.sleep(0.3)
        made.append(write_emulator())
        return made[-1]

    def need() -> None:
        got.append(found_or_built("QEMU", find, build, said.append, kind="emulator"))

    several = [threading.Thread(target=need) for _ in range(3)]
    for one in several:
        one.start()
    for one in several:
        one.join()
    assert len(made) == 1
    assert got == made * 3
    assert said == ["QEMU: building it (this is necessary only once)", "QEMU: unpacking"]


def test_what_is_damaged_is_built_again_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_CACHE", str(tmp_path))
    made: list[Emulator] = []
    said: list[str] = []

    def find() -> Emulator | None:
        raise DamagedBuildError(tmp_path / "emulator", "info.json is missing")

    def build(_step: Step) -> Emulator:
        made.append(write_emulator())
        return made[-1]

    assert found_or_built("QEMU", find, build, said.append, kind="emulator") == made[0]
    assert said[0].startswith(f"QEMU: {tmp_path}/emulator is damaged: info.json is missing; it is built again")
    assert said[1:] == ["QEMU: building it (this is necessary only once)"]
