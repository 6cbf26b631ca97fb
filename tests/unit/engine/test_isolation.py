# SPDX-License-Identifier: Apache-2.0
"""What ``lab clean`` finds in the notes of processes that no longer run."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from lab.engine.native import isolation
from lab.errors import EngineError

DEAD = 999_999_999


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(isolation, "STATE", tmp_path)
    return tmp_path


def test_parameters_of_the_dead_are_restored_and_those_of_the_living_stay(state: Path) -> None:
    parameter, other = state / "parameter", state / "other"
    for path in (parameter, other):
        path.write_text("changed")
    (state / f"parameters-{DEAD}.json").write_text(json.dumps({str(parameter): "1"}))
    (state / f"parameters-{os.getpid()}.json").write_text(json.dumps({str(other): "1"}))
    assert isolation.clean().parameters == {str(parameter): "1"}
    assert (parameter.read_text(), other.read_text()) == ("1", "changed")
    assert [path.name for path in state.glob("*.json")] == [f"parameters-{os.getpid()}.json"]
    assert not isolation.clean()


def test_a_note_that_another_process_has_just_removed_is_none(state: Path) -> None:
    (state / f"parameters-{DEAD}.json").symlink_to(state / "removed")
    assert isolation.clean().parameters == {}


def test_a_file_with_another_name_is_no_note(state: Path) -> None:
    (state / "parameters-old.json").write_text("{}")
    assert not isolation.clean()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1}', "\N{EURO SIGN}"])
def test_a_damaged_note_is_named(state: Path, text: str) -> None:
    note = state / f"parameters-{DEAD}.json"
    note.write_text(text)
    with pytest.raises(EngineError, match=rf"^{re.escape(str(note))} is damaged"):
        isolation.clean()
    assert note.exists()


def test_a_parameter_that_cannot_be_written_is_named(state: Path) -> None:
    (state / "folder").mkdir()
    note = state / f"parameters-{DEAD}.json"
    note.write_text(json.dumps({str(state / "folder"): "1"}))
    with pytest.raises(EngineError, match=rf"^cannot restore {re.escape(str(state))}/folder: Is a directory"):
        isolation.clean()
    assert note.exists()
