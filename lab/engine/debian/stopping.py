# SPDX-License-Identifier: Apache-2.0
"""End a build early if another thread says that it is not needed any more."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from filelock import FileLock, Timeout


class StoppedError(Exception):
    """What was being built is not needed any more."""


@contextlib.contextmanager
def held(lock: FileLock, stop: threading.Event | None) -> Iterator[None]:
    """Hold *lock* until the block ends.  Another process may hold it for minutes, for as long as its build takes.

    Raises:
        StoppedError: *stop* was set during the wait.
    """
    try:
        acquired = lock.acquire(cancel_check=None if stop is None else stop.is_set)
    except Timeout as error:
        raise StoppedError from error
    with acquired:
        yield
