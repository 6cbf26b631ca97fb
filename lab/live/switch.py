# SPDX-License-Identifier: Apache-2.0
"""Switch a running trace on and off from another terminal, through a Unix socket that only root may use."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path

DIRECTORY = Path("/run/lab")
_TIMEOUT_S = 5.0


class SwitchError(Exception):
    """No trace is running that could be switched, or another trace of the same collector is already running."""


def path_of(name: str) -> Path:
    """Return the path of the socket on which the trace of collector *name* listens."""
    return DIRECTORY / f"trace-{name}.sock"


class Switch:
    """The trace's end of the socket, which receives the commands ``on``, ``off`` and ``status``.

    The trace must call :meth:`look` several times a second.
    """

    def __init__(self, name: str, act: Callable[[str], str]) -> None:
        """Listen on the socket of collector *name*; ``act`` executes a command and returns the answer to it.

        Raises:
            SwitchError: Another trace of this collector is already running.
        """
        self._path = path_of(name)
        self._act = act
        DIRECTORY.mkdir(mode=0o700, exist_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        if _is_alive(self._path):
            raise SwitchError(f"`lab trace {name}` is already running; stop it, or switch it with --on and --off")
        self._path.unlink(missing_ok=True)
        self._socket.bind(str(self._path))
        os.chmod(self._path, 0o600)
        self._socket.listen(4)
        self._socket.setblocking(False)

    def look(self) -> None:
        """Execute the commands that have arrived, without waiting for more."""
        with contextlib.suppress(BlockingIOError):
            while True:
                client, _address = self._socket.accept()
                with client:
                    client.settimeout(_TIMEOUT_S)
                    with contextlib.suppress(OSError):
                        client.sendall(self._act(client.recv(64).decode()).encode())

    def close(self) -> None:
        """Stop listening and remove the socket."""
        self._socket.close()
        self._path.unlink(missing_ok=True)


def tell(name: str, command: str) -> str:
    """Send *command* to the running trace of collector *name* and return its answer.

    Raises:
        SwitchError: No such trace is running.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(_TIMEOUT_S)
        try:
            client.connect(str(path_of(name)))
            client.sendall(command.encode())
            return client.recv(4096).decode()
        except (FileNotFoundError, ConnectionRefusedError):
            raise SwitchError(f"no `lab trace {name}` is running") from None


def _is_alive(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        return client.connect_ex(str(path)) == 0
