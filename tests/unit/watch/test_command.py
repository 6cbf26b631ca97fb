# SPDX-License-Identifier: Apache-2.0
"""Which engine runs the trial that ``lab watch`` shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.api.known import image_lookup
from lab.cc.starter import algorithm_starter
from lab.cli.running.watch import _planned
from lab.errors import InputError
from lab.experiment.schema.starter import own_algorithm_starter


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """An experiment with an algorithm of the user's own."""
    (tmp_path / "my_cc.bpf.c").write_text(algorithm_starter("my_cc", "reno"))
    (tmp_path / "my_cc.yaml").write_text(own_algorithm_starter("my_cc", "my_cc.bpf.c"))
    return tmp_path / "my_cc.yaml"


def engine_of(file: Path, overrides: list[str], engine: str | None = None) -> str:
    return _planned(file, overrides, engine, image_lookup([]))[1].engine


def test_the_fastest_engine_that_can_run_it_is_taken(own: Path) -> None:
    assert engine_of(own, ["matrix.flows.bulk.cc=[cubic, bbr]"]) == "uml"
    assert engine_of(own, []) == "vm"
    assert engine_of(own, ["matrix.flows.bulk.cc=[cubic]"], "vm") == "vm"


@pytest.mark.parametrize("engine", ["uml", "native"])
def test_an_engine_that_is_asked_for_is_not_replaced(own: Path, engine: str) -> None:
    with pytest.raises(InputError, match=engine):
        engine_of(own, [], engine)
