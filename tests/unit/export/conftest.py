# SPDX-License-Identifier: Apache-2.0
"""Exported files of captured runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lab.export.formats import export
from lab.store.run import Run

Exported = Callable[..., Path]


@pytest.fixture
def exported(replayed: Callable[[str], Run], tmp_path: Path) -> Exported:
    """A function that exports one trial of an experiment in ``tests/data`` and returns the path of its file."""

    def made(name: str, trial: str, kind: str) -> Path:
        (path,) = export(replayed(name), kind, tmp_path / "out", [trial])
        return path

    return made
