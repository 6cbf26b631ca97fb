# SPDX-License-Identifier: Apache-2.0
"""Switch a running trace on and off from another terminal, through a Unix socket that only root may use.

A client sends one command and a newline, and gets one line in answer; then the trace closes the connection.  Nothing
that a client does may hold up or end the trace.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lab.words import listed

DIRECTORY = Path("/run/lab")
LIMIT_S = 5.0
"""How long a client waits for its answer, and how long the trace waits for a client's command, in seconds."""

COMMANDS = ("on", "off", "status")
_LINE_BYTES = 64
_ANSWER_BYTES = 4096
_CLIENTS = 64
"""How many clients may be connected without having sent a command; when more come, the oldest ones have to leave."""
_BACKLOG = 128
_REFUSED = "error: "
"""How an answer begins if the command was not executed."""


class SwitchError(Exception):
    """A trace cannot be switched, or another trace of the same collector is already running."""


def path_of(name: str, directory: Path = DIRECTORY) -> Path:
    """Return the path of the socket on which the trace of collector *name* listens."""
    return directory / f"trace-{name}.sock"


@dataclass
class _Client:
    """A client that has not sent its whole command yet."""

    connection: socket.socket
    until: float
    """When to stop waiting for it, on the clock of :func:`time.monotonic`."""
    received: bytearray = field(default_factory=bytearray)


class Switch:
    """The trace's end of the socket, which receives the commands ``on``, ``off`` and ``status``.

    The trace must call :meth:`look` several times a second.
    """

    def __init__(self, name: str, act: Callable[[str], str], directory: Path = DIRECTORY) -> None:
        """Listen on the socket of collector *name*; ``act`` executes a command and returns the answer to it.

        If ``act`` raises :exc:`SwitchError`, its message is the answer.

        Raises:
            SwitchError: Another trace of this collector is already running, or the socket cannot be created.
        """
        self._path = path_of(name, directory)
        self._act = act
        self._clients: list[_Client] = []
        with contextlib.ExitStack() as made:
            try:
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._lock = _lock(self._path.with_suffix(".lock"))
                made.callback(os.close, self._lock)
                # Nobody else has the lock, so the socket is one that a killed trace has left behind.
                self._path.unlink(missing_ok=True)
                self._socket = made.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
                self._socket.bind(str(self._path))
                self._path.chmod(0o600)
                self._socket.listen(_BACKLOG)
                self._socket.setblocking(False)
            except BlockingIOError:
                raise SwitchError(
                    f"`lab trace {name}` is already running; stop it, or switch it with --on and --off"
                ) from None
            except OSError as exc:
                raise SwitchError(f"cannot listen on {self._path} for --on and --off: {exc.strerror or exc}") from exc
            made.pop_all()

    def look(self) -> None:
        """Execute the commands that have arrived, without waiting for more."""
        for _ in range(_BACKLOG):
            try:
                connection, _address = self._socket.accept()
            except OSError:  # Nobody is waiting any more, or this process cannot open more files.
                break
            connection.setblocking(False)
            self._clients.append(_Client(connection, time.monotonic() + LIMIT_S))
            if len(self._clients) > _CLIENTS:
                self._serve()
                for client in self._clients[:-_CLIENTS]:
                    client.connection.close()
                del self._clients[:-_CLIENTS]
        self._serve()

    def close(self) -> None:
        """Stop listening and remove the socket."""
        for client in self._clients:
            client.connection.close()
        self._clients = []
        self._socket.close()
        self._path.unlink(missing_ok=True)
        # The file of the lock stays: if it were removed, another trace could hold a lock on a file without a name.
        os.close(self._lock)

    def _serve(self) -> None:
        self._clients = [client for client in self._clients if not self._is_done(client)]

    def _is_done(self, client: _Client) -> bool:
        """Serve *client* if its command has arrived; return whether the connection is closed."""
        command = _received(client)
        if command is None and time.monotonic() < client.until:
            return False
        with client.connection:
            if command:
                answer = f"{self._answer(command)}\n".encode()
                with contextlib.suppress(OSError):  # The client may have left without waiting.
                    client.connection.send(answer, socket.MSG_NOSIGNAL)
        return True

    def _answer(self, command: bytes) -> str:
        text = command.decode(errors="replace")
        if text not in COMMANDS:
            return f"{_REFUSED}found {text!r}; expected {listed(COMMANDS, 'or')}"
        try:
            return self._act(text)
        except SwitchError as exc:
            return f"{_REFUSED}{exc}"


def tell(name: str, command: str, directory: Path = DIRECTORY) -> str:
    """Send *command* to the running trace of collector *name* and return its answer.

    Raises:
        SwitchError: No such trace is running, it does not answer, or it cannot execute the command.
    """
    answer = bytearray()
    # Python's own timeout would make the socket a non-blocking one, and the kernel would then not let it wait for its
    # turn when many clients connect at the same time.
    limit = struct.pack("@qq", round(LIMIT_S), 0)  # struct timeval
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        try:
            client.connect(str(path_of(name, directory)))
            client.send(f"{command}\n".encode(), socket.MSG_NOSIGNAL)
            while not answer.endswith(b"\n"):
                received = client.recv(_ANSWER_BYTES)
                if not received:
                    raise ConnectionResetError
                answer += received
        except (FileNotFoundError, ConnectionRefusedError):
            raise SwitchError(f"no `lab trace {name}` is running") from None
        except (BrokenPipeError, ConnectionResetError):
            raise SwitchError(f"`lab trace {name}` has ended without an answer") from None
        except BlockingIOError:
            raise SwitchError(f"`lab trace {name}` does not answer: it is stopped, or waits for its reader") from None
        except OSError as exc:
            raise SwitchError(f"cannot reach `lab trace {name}`: {exc.strerror or exc}") from exc
    text = answer.decode(errors="replace").rstrip("\n")
    if text.startswith(_REFUSED):
        raise SwitchError(text.removeprefix(_REFUSED))
    return text


def _lock(path: Path) -> int:
    """Return the file descriptor of a lock that the kernel releases when this process ends, however it ends.

    Raises:
        BlockingIOError: Another process has the lock.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _received(client: _Client) -> bytes | None:
    """Read what *client* has sent; return its command, nothing if it has sent none, or None if more may come."""
    room = _LINE_BYTES + 1 - len(client.received)
    try:
        data = client.connection.recv(room)
    except BlockingIOError:
        return None
    except OSError:
        return b""
    client.received += data
    line, newline, _rest = bytes(client.received).partition(b"\n")
    if newline or len(client.received) > _LINE_BYTES:
        return line[:_LINE_BYTES]
    return None if data else line  # At the end of what the client sends, the newline may be missing.
