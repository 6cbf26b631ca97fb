# SPDX-License-Identifier: Apache-2.0
"""The folders of the cache: what killed processes have left in any of them goes."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.store import places
from lab.store.files import temporary_name
from tests.owners import dead_name


def test_what_killed_processes_left_anywhere_in_the_cache_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_CACHE", str(tmp_path))
    dead = dead_name()
    parts = [places.images(), places.recipes(), places.uml_kernels(), places.templates(), places.checked()]
    parts += [places.figures(), places.trials() / "ab", tmp_path / "zygotes", tmp_path / "lockstep", tmp_path]
    for part in parts:
        part.mkdir(parents=True, exist_ok=True)
        (part / f".tmp-{dead}-folder").mkdir()
        (part / f".tmp-{dead}-file").write_text("half")
    finished, at_work = places.images() / "digest", temporary_name(places.images())
    finished.mkdir()
    at_work.mkdir()
    assert places.remove_leftovers() == []
    assert list(tmp_path.rglob(".tmp-*")) == [at_work]
    assert finished.exists()


def test_a_cache_that_is_not_there_has_no_leftovers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    for name in ("nowhere", "file"):
        monkeypatch.setenv("LAB_CACHE", str(tmp_path / name))
        assert places.remove_leftovers() == []
