# SPDX-License-Identifier: Apache-2.0
"""Run ``lab trace`` on this machine, and send bytes over connections that it can see."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.conftest import lab_command

Rows = list[dict[str, Any]]
BYTES = 1_000_003


class Tracer:
    """A running ``lab trace``."""

    def __init__(self, *arguments: str, prefix: tuple[str, ...] = ()) -> None:
        self._process = subprocess.Popen(
            [*prefix, str(lab_command()), "trace", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stderr is not None
        first = self._process.stderr.readline()
        assert "tracing" in first, first + self._process.stderr.read()

    def stop(self, number: int = signal.SIGINT) -> tuple[str, str]:
        """Wait until outstanding events have arrived, stop the trace, and return (standard output, standard error)."""
        time.sleep(0.5)
        self._process.send_signal(number)
        output, errors = self._process.communicate(timeout=30)
        assert self._process.returncode == 0, errors
        return output, errors

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    def rows(self) -> Rows:
        output, errors = self.stop()
        found = [json.loads(line) for line in output.splitlines()]
        assert re.search(rf"{len(found)} events, 0 lost$", errors.strip())
        return found


@contextmanager
def listening(address: str = "127.0.0.1") -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as server:
        server.bind((address, 0))
        server.listen()
        yield server


def transfer(server: socket.socket, count: int = BYTES) -> None:
    """Send *count* bytes over one connection; the client closes first."""

    def serve() -> None:
        connection, _peer = server.accept()
        with connection:
            while connection.recv(1 << 16):
                pass

    thread = threading.Thread(target=serve)
    thread.start()
    with socket.create_connection(server.getsockname()[:2]) as client:
        client.sendall(bytes(count))
    thread.join()
