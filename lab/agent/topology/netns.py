# SPDX-License-Identifier: Apache-2.0
"""Enter the network namespace of a node without starting a process."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def _setns(fd: int) -> None:
    # os.setns exists since Python 3.12, but the agent also runs on Python 3.11 of Debian 12.
    if _libc.setns(fd, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")


@contextmanager
def network_namespace(pid: int) -> Iterator[None]:
    """Move the calling thread into the network namespace of process ``pid`` for the duration of the block.

    Sockets that are opened inside the block stay in that namespace for good.  Inside the block, ``/proc/sys/net`` and
    ``/proc/thread-self/net`` show the values of that namespace.
    """
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        other = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _setns(other)
        finally:
            os.close(other)
        try:
            yield
        finally:
            _setns(own)
    finally:
        os.close(own)


def write_sysctl(name: str, value: str) -> None:
    """Set a ``net.*`` sysctl in the calling thread's network namespace."""
    path = "/proc/sys/" + name.replace(".", "/")
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(value)
    except OSError as exc:
        raise OSError(exc.errno, f"cannot set the sysctl {name}={value}: {exc.strerror}") from exc


def read_sysctl(name: str) -> str:
    """Return the value of a sysctl in the calling thread's namespace, with single spaces between its fields."""
    with open("/proc/sys/" + name.replace(".", "/"), encoding="ascii") as file:
        return " ".join(file.read().split())
