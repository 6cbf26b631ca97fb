# SPDX-License-Identifier: Apache-2.0
"""Switch a running trace on and off from another terminal, over a socket that only root may use."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path

DIRECTORY = Path("/run/lab")
_TIMEOUT_S = 5.0


class SwitchError(Exception):
    """Nobody listens, or somebody does already."""


def path_of(name: str) -> Path:
    return DIRECTORY / f"trace-{name}.sock"


class Switch:
    """Listens for ``on``, ``off`` and ``status``; look at it several times a second."""

    def __init__(self, name: str, act: Callable[[str], str]) -> None:
        """``act`` does what it is told and returns the answer."""
        self._path = path_of(name)
        self._act = act
        DIRECTORY.mkdir(mode=0o700, exist_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        if _is_alive(self._path):
            raise SwitchError(f"`lab trace {name}` runs already; end it, or switch it with --on and --off")
        self._path.unlink(missing_ok=True)
        self._socket.bind(str(self._path))
        os.chmod(self._path, 0o600)
        self._socket.listen(4)
        self._socket.setblocking(False)

    def look(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                client, _address = self._socket.accept()
                with client:
                    client.settimeout(_TIMEOUT_S)
                    with contextlib.suppress(OSError):
                        client.sendall(self._act(client.recv(64).decode()).encode())

    def close(self) -> None:
        self._socket.close()
        self._path.unlink(missing_ok=True)


def tell(name: str, command: str) -> str:
    """Tell the running trace; returns its answer.  Raises :class:`SwitchError` if there is none."""
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
