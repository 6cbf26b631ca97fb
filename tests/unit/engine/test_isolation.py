# SPDX-License-Identifier: Apache-2.0
"""What the clean-up of native trials ends, and what it must not touch: other runs, and those in containers."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from lab.cli.machine.commands import clean
from lab.engine.native import isolation
from lab.engine.native.engine import NativeEngine, left_alone
from lab.errors import EngineError
from lab.store.owner import own_name
from tests.owners import dead_name


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    monkeypatch.setattr(isolation, "STATE", folder)
    return folder


@contextmanager
def of_trial(owner: str, *wrapper: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process of a trial that belongs to *owner*."""
    environment = {**os.environ, isolation.MARK: owner}
    process = subprocess.Popen([*wrapper, "sleep", "60"], env=environment)
    try:
        # Between fork and exec, the process still has the environment of this one.
        deadline = time.monotonic() + 10
        while isolation.MARK.encode() not in Path(f"/proc/{process.pid}/environ").read_bytes():
            assert time.monotonic() < deadline
        yield process
    finally:
        process.kill()
        process.wait()


def test_what_has_no_owner_any_more_is_ended_and_nothing_else() -> None:
    pid, _start, place = own_name().split("-")
    owners = {
        "dead": dead_name(),
        "of this process": own_name(),
        "id used again": f"{pid}-1-{place}",
        "of a container whose ids this host does not have": f"999999999-1-{'f' * 16}",
        "of an earlier version": "999999999",
    }
    with ExitStack() as stack:
        running = {what: stack.enter_context(of_trial(owner)) for what, owner in owners.items()}
        found = isolation.clean()
        ended = {"dead", "id used again"}
        for what in ended:
            assert running[what].wait(10) == -9, what
        time.sleep(0.1)
        assert {what for what, process in running.items() if process.poll() is not None} == ended
        assert {running[what].pid for what in ended} <= set(found.processes)
        foreign = {running[what].pid for what in owners if what.startswith(("of a ", "of an "))}
        assert foreign <= set(found.foreign)
        assert all(str(process) in left_alone(found) for process in foreign)


@pytest.mark.skipif(os.geteuid() != 0, reason="a PID namespace needs root")
def test_a_trial_in_a_container_is_left_alone() -> None:
    # As in a container, the ids that its lab knows are not those that the host sees.
    script = (
        "import os, subprocess; from lab.engine.native import isolation; from lab.store.owner import own_name\n"
        "subprocess.Popen(['sleep', '60'], env={**os.environ, isolation.MARK: own_name()})\n"
        "print(own_name(), flush=True); input()"
    )
    command = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as container:
        assert container.stdout is not None
        owner = container.stdout.readline().strip()
        marked = f"{isolation.MARK}={owner}".encode()
        try:
            deadline = time.monotonic() + 10
            while not (before := having(marked)):  # The environment is there a moment after the program has started.
                assert time.monotonic() < deadline
            found = isolation.clean()
            assert having(marked) == before
            assert set(before) <= set(found.foreign)
        finally:
            container.kill()


def having(variable: bytes) -> list[int]:
    """Return the processes with this variable in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if variable in path.read_bytes():
                found.append(int(path.parent.name))
    return found


def test_saved_parameters_are_restored_under_the_lock_whoever_saved_them(state: Path, tmp_path: Path) -> None:
    parameter = tmp_path / "hystart"
    parameter.write_text("2")
    # The first has the original value.  The second was saved by a lab that did not clean up.
    for number, value in ((1, "1"), (2, "0")):
        note = state / f"parameters-7-1-{str(number) * 16}.json"
        note.write_text(json.dumps({str(parameter): value}))
        os.utime(note, (number, number))
    with isolation.only_one():
        found = isolation.clean()
    assert found.parameters == {str(parameter): "1"}
    assert parameter.read_text() == "1"
    assert not list(state.glob("parameters-*"))


def test_parameters_of_a_lab_that_runs_natively_are_left_alone(state: Path, tmp_path: Path) -> None:
    # Its ids are those of a container, which shares the folder with this one.
    parameter, note = tmp_path / "hystart", state / f"parameters-999999999-1-{'f' * 16}.json"
    parameter.write_text("0")
    note.write_text(json.dumps({str(parameter): "1"}))
    with isolation.only_one():
        with pytest.raises(EngineError, match="another lab runs native trials on this machine"):
            asyncio.run(NativeEngine([]).prepare(print))
        with pytest.raises(EngineError, match="another lab runs native trials on this machine"):
            clean()
    assert (parameter.read_text(), note.exists()) == ("0", True)


def test_the_command_says_what_it_has_done(state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parameter = tmp_path / "hystart"
    parameter.write_text("0")
    (state / f"parameters-999999999-1-{'f' * 16}.json").write_text(json.dumps({str(parameter): "1"}))
    with of_trial("999999999") as foreign:
        clean()
        assert foreign.poll() is None
    said = capsys.readouterr().err
    assert f"cleaned up: {parameter} (restored to 1)" in said
    assert "left alone: processes of native trials whose lab runs in another container, if it runs: " in said
    assert str(foreign.pid) in said
    assert parameter.read_text() == "1"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1}', "\N{EURO SIGN}"])
def test_a_damaged_note_is_named(state: Path, text: str) -> None:
    note = state / f"parameters-{dead_name()}.json"
    note.write_text(text, encoding="utf-8")
    with pytest.raises(EngineError, match=rf"^{re.escape(str(note))} is damaged"):
        isolation.leftovers()
    assert note.exists()


def test_a_note_that_another_process_has_just_removed_is_none(state: Path) -> None:
    (state / f"parameters-{dead_name()}.json").symlink_to(state / "removed")
    assert isolation.leftovers().parameters == {}


def test_a_parameter_that_cannot_be_written_is_named(state: Path) -> None:
    (state / "folder").mkdir()
    note = state / f"parameters-{dead_name()}.json"
    note.write_text(json.dumps({str(state / "folder"): "1"}))
    with isolation.only_one(), pytest.raises(EngineError, match=rf"^cannot restore {re.escape(str(state))}/folder: "):
        isolation.clean()
    assert note.exists()
