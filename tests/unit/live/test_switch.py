# SPDX-License-Identifier: Apache-2.0
"""Check that a running trace can be switched by many clients, and that no client can hold it up or end it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lab.live.switch import LIMIT_S, Switch, SwitchError, path_of, tell

NAME = "drops"
PAUSE_S = 0.005

CHILD = """
import sys, time
from pathlib import Path
from lab.live.switch import Switch, SwitchError

try:
    switch = Switch("drops", str.upper, Path(sys.argv[1]))
except SwitchError as error:
    print(error, flush=True)
    sys.exit(2)
print("listening", flush=True)
time.sleep(60)
"""


class Trace:
    """A trace that looks at its switch again and again, in a thread of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.commands: list[str] = []
        self.longest_s = 0.0
        self._switch = Switch(NAME, self._act, directory)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _act(self, command: str) -> str:
        self.commands.append(command)
        if command == "off":
            raise SwitchError("it cannot be switched off")
        return f"done: {command}"

    def _run(self) -> None:
        while not self._is_over.wait(PAUSE_S):
            began = time.monotonic()
            self._switch.look()
            self.longest_s = max(self.longest_s, time.monotonic() - began)

    def is_alive(self) -> bool:
        return self._thread.is_alive() and tell(NAME, "status", self.directory) == "done: status"

    def stop(self) -> None:
        self._is_over.set()
        self._thread.join()
        self._switch.close()


@pytest.fixture
def trace(tmp_path: Path) -> Iterator[Trace]:
    made = Trace(tmp_path)
    yield made
    made.stop()
    # Nobody has held it up: it looks at a socket several times a second.
    assert made.longest_s < 0.2


@contextlib.contextmanager
def client(trace: Trace) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as made:
        made.connect(str(path_of(NAME, trace.directory)))
        yield made


def answer_to(trace: Trace, sent: bytes) -> bytes:
    with client(trace) as asking:
        asking.sendall(sent)
        return asking.recv(4096)


def test_commands_are_executed_and_answered(trace: Trace) -> None:
    assert tell(NAME, "on", trace.directory) == "done: on"
    with pytest.raises(SwitchError, match=r"^it cannot be switched off$"):
        tell(NAME, "off", trace.directory)
    assert tell(NAME, "status", trace.directory) == "done: status"
    assert trace.commands == ["on", "off", "status"]


@pytest.mark.parametrize("sent", [b"destroy\n", b"\xff\xfe\x00\n", b"status" * 1_000_000, b"x" * 65, b"\n\n"])
def test_what_is_no_command_is_refused(trace: Trace, sent: bytes) -> None:
    with client(trace) as asking:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            asking.sendall(sent)
        with contextlib.suppress(ConnectionResetError):
            answer = asking.recv(4096)
            assert answer == b"" or (answer.startswith(b"error: found ") and b"expected on, off or status" in answer)
    assert trace.commands == []
    assert trace.is_alive()


def test_a_command_may_come_in_pieces(trace: Trace) -> None:
    with client(trace) as asking:
        for byte in b"status\n":
            asking.sendall(bytes([byte]))
            time.sleep(4 * PAUSE_S)
        assert asking.recv(4096) == b"done: status\n"
    with client(trace) as asking:
        asking.sendall(b"status")
        asking.shutdown(socket.SHUT_WR)
        assert asking.recv(4096) == b"done: status\n"


def test_clients_that_say_nothing_are_sent_away(trace: Trace) -> None:
    with client(trace) as silent, client(trace) as half:
        half.sendall(b"stat")
        assert trace.is_alive()
        began = time.monotonic()
        silent.settimeout(2 * LIMIT_S)
        half.settimeout(2 * LIMIT_S)
        assert silent.recv(1) == half.recv(1) == b""
        assert time.monotonic() - began == pytest.approx(LIMIT_S, abs=1)
    assert trace.commands == ["status"]


def test_a_crowd_of_silent_clients_does_not_keep_others_from_being_heard(trace: Trace) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(client(trace))
        began = time.monotonic()
        assert trace.is_alive()
        assert time.monotonic() - began < 1


def test_clients_leave_at_any_moment(trace: Trace) -> None:
    for sent in (b"", b"sta", b"status\n"):
        for _ in range(50):
            with client(trace) as leaving:
                leaving.sendall(sent)
    assert trace.is_alive()


def test_many_clients_at_once(trace: Trace) -> None:
    with ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(lambda _number: tell(NAME, "status", trace.directory), range(200)))
    assert set(answers) == {"done: status"}
    assert len(answers) == len(trace.commands) == 200


def test_a_second_trace_is_refused_and_the_first_goes_on(trace: Trace) -> None:
    with pytest.raises(SwitchError, match="`lab trace drops` is already running; stop it, or switch it with --on"):
        Switch(NAME, str, trace.directory)
    assert trace.is_alive()
    assert trace.commands == ["status"]
    Switch("queue", str, trace.directory).close()


def listening(directory: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", CHILD, str(directory)], stdout=subprocess.PIPE, text=True)


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_what_a_killed_trace_leaves_does_not_matter(tmp_path: Path) -> None:
    process = listening(tmp_path)
    assert first_line(process) == "listening"
    end(process)
    assert path_of(NAME, tmp_path).is_socket()
    with pytest.raises(SwitchError, match="no `lab trace drops` is running"):
        tell(NAME, "status", tmp_path)
    trace = Trace(tmp_path)
    try:
        assert trace.is_alive()
    finally:
        trace.stop()
    assert not path_of(NAME, tmp_path).exists()


def test_of_several_that_start_at_once_one_wins(tmp_path: Path) -> None:
    processes = [listening(tmp_path) for _ in range(8)]
    try:
        said = sorted(map(first_line, processes))
        assert [line for line in said if "already running" not in line] == ["listening"]
    finally:
        for process in processes:
            end(process)


def test_a_trace_that_does_not_answer(tmp_path: Path) -> None:
    process = listening(tmp_path)
    try:
        assert first_line(process) == "listening"
        os.kill(process.pid, signal.SIGSTOP)
        began = time.monotonic()
        with pytest.raises(SwitchError, match="`lab trace drops` does not answer: it is stopped"):
            tell(NAME, "status", tmp_path)
        assert time.monotonic() - began == pytest.approx(LIMIT_S, abs=1)
    finally:
        end(process)


def test_a_trace_that_ends_before_it_answers(tmp_path: Path) -> None:
    switch = Switch(NAME, str, tmp_path)
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(tell, NAME, "status", tmp_path)
        time.sleep(0.2)
        switch.close()
        with pytest.raises(SwitchError, match="`lab trace drops` has ended without an answer"):
            asked.result()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SwitchError, match=r"cannot listen on .*trace-drops\.sock for --on and --off: Not a directory"):
        Switch(NAME, str, tmp_path / "file" / "lab")
