# SPDX-License-Identifier: Apache-2.0
"""Check what ends ``lab trace`` and what does not: other traces, clients of its socket, readers of its output."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

import pytest

from lab.live.switch import path_of
from tests.conftest import lab_command
from tests.live.tracing import BYTES, Tracer, listening, transfer

pytestmark = pytest.mark.live

PORT = 7099
"""Nobody listens on it, so that datagrams to it are dropped."""


def lab_trace(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(lab_command()), "trace", *arguments], capture_output=True, text=True, check=False)


def cause_drops(count: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(count):
            sender.sendto(b"nobody", ("127.0.0.1", PORT))


@pytest.fixture
def drops() -> Iterator[Tracer]:
    tracer = Tracer("drops", "--json", "--port", str(PORT))
    yield tracer
    tracer.kill()


def test_a_second_trace_is_refused_and_the_first_goes_on(drops: Tracer) -> None:
    second = lab_trace("drops", "--duration", "1")
    assert second.returncode == 2
    assert "`lab trace drops` is already running; stop it, or switch it with --on and --off" in second.stderr
    cause_drops(3)
    assert len(drops.rows()) == 3


def test_no_client_ends_a_trace(drops: Tracer) -> None:
    def client() -> socket.socket:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        made.connect(str(path_of("drops")))
        return made

    with ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(client())  # It stays and says nothing.
        for sent in (b"", b"stat", b"\xff\xfe\n", b"destroy\n", b"status\n", b"on\n" * 100, b"status" * 100_000):
            with client() as leaving, suppress(BrokenPipeError, ConnectionResetError):
                leaving.sendall(sent)
        half = stack.enter_context(client())
        half.sendall(b"of")
        with ThreadPoolExecutor() as pool:
            answers = list(pool.map(lambda _number: lab_trace("drops", "--status"), range(6)))
        assert {(told.returncode, told.stdout) for told in answers} == {(0, "drops: on, 0 events so far\n")}
        cause_drops(3)
        assert len(drops.rows()) == 3
    assert not path_of("drops").exists()


def test_a_killed_trace_is_no_obstacle(drops: Tracer) -> None:
    drops.kill()
    assert path_of("drops").exists()
    assert "no `lab trace drops` is running" in lab_trace("drops", "--status").stderr
    again = Tracer("drops", "--json", "--port", str(PORT))
    cause_drops(3)
    assert len(again.rows()) == 3


@contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A trace whose output and messages the test itself reads, or not."""
    command = [str(lab_command()), "trace", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(pipe: IO[str] | None) -> str:
    assert pipe is not None
    return pipe.readline()


def rest_of(pipe: IO[str] | None) -> str:
    assert pipe is not None
    return pipe.read()


def close(pipe: IO[str] | None) -> None:
    assert pipe is not None
    pipe.close()


def test_messages_that_nobody_reads_do_not_end_a_trace() -> None:
    with started("drops", "--json", "--port", str(PORT)) as process:
        assert "tracing" in line_of(process.stderr)
        close(process.stderr)
        for order in ("--off", "--on"):
            told = lab_trace("drops", order)
            assert (told.returncode, told.stderr) == (0, "")
        cause_drops(3)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        assert len(rest_of(process.stdout).splitlines()) == 3
        assert process.wait(timeout=30) == 0


def test_it_ends_when_its_reader_has_ended_though_nothing_happens() -> None:
    with started("drops", "--port", "1") as process:
        assert "SOURCE" in line_of(process.stdout)
        assert path_of("drops").exists()
        close(process.stdout)
        # A shell shows this as 128 + 13 = 141, as for `yes | head`.
        assert process.wait(timeout=10) == -signal.SIGPIPE
        assert rest_of(process.stderr) == "lab: drops: tracing; press Ctrl-C to stop\n"
        assert not path_of("drops").exists()


@pytest.mark.parametrize("arguments", [("list",), ("states", "--duration", "5"), ("drops", "--status")])
def test_an_output_that_cannot_be_written(arguments: tuple[str, ...]) -> None:
    with ExitStack() as stack:
        if "--status" in arguments:
            stack.callback(Tracer("drops", "--port", "1").stop)
        for redirection, said in (
            (">/dev/full", "cannot write to standard output: No space left on device"),
            (">&-", "standard output is closed"),
        ):
            command = f"{lab_command()} trace {' '.join(arguments)} {redirection}"
            done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False, timeout=60)
            assert done.returncode == 2
            lines = [line for line in done.stderr.splitlines() if "tracing" not in line]
            assert lines == [f"lab trace {arguments[0]}: {said}"]


def test_without_standard_error_no_message_gets_among_the_rows() -> None:
    command = f"{lab_command()} trace states --json --port 1 --duration 0.2 2>&-"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")


def test_an_interrupt_before_tracing_begins() -> None:
    with started("states") as process:
        maps = Path(f"/proc/{process.pid}/maps")
        deadline = time.monotonic() + 60
        while "libbcc.so" not in maps.read_text():  # The programs are about to be compiled.
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == -signal.SIGINT
        assert rest_of(process.stderr) == ""


def test_a_second_interrupt_ends_a_trace_that_waits_for_its_reader() -> None:
    with listening() as server, started("tcp_probe", "--json", "--port", str(server.getsockname()[1])) as process:
        assert "tracing" in line_of(process.stderr)
        transfer(server, 50 * BYTES)
        deadline = time.monotonic() + 30
        while "pipe_write" not in Path(f"/proc/{process.pid}/wchan").read_text():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=1)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == -signal.SIGINT


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["states", "--timestamps", "utc"], "argument --timestamps: invalid choice: 'utc' (choose from "),
        (["flow", "--interval", "0"], "found '0'; expected at least 0.01 seconds"),
        (["flow", "--pid", "4294967297"], "found '4294967297'; expected the number of a process, from 1 to 4194304"),
        (["states", "--port", "²"], "found '²'; expected a port from 1 to 65535"),
        (["states", "--count", "²"], "found '²'; expected a whole number of at least 1"),
    ],
)
def test_values_that_mean_nothing_are_refused(arguments: list[str], said: str) -> None:
    done = lab_trace(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
