# SPDX-License-Identifier: Apache-2.0
"""Share work between forks of this process."""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")

_NUMBER_BYTES = 4
_MOST = 8
"""The largest number of processes: each has memory of its own for what it computes."""


def shared_out(work: Callable[[int], _T], count: int, processes: int | None = None) -> list[_T]:
    """Return ``[work(0), …, work(count - 1)]``, which as many processes compute as there are processors.

    The others are forks of this process: they have all that *work* needs already, and pickle what it returns.  Each
    process takes the next number that nobody has taken.  What a fork does not finish, for whatever reason, this process
    does itself, so that errors are raised as without forks.

    If another thread runs, nothing is forked, because it may hold a lock that the fork would wait for.  *processes* is
    for tests: the number of processors, but at most :data:`_MOST`, unless it is given.
    """
    wanted = min(_MOST, len(os.sched_getaffinity(0))) if processes is None else processes
    number = min(wanted, count) if threading.active_count() == 1 else 1
    if number <= 1:
        return [work(place) for place in range(count)]
    found = _computed(work, count, number)
    return [found[place] if place in found else work(place) for place in range(count)]


def _computed(work: Callable[[int], _T], count: int, number: int) -> dict[int, _T]:
    # Processes share the place in a file up to which they have read.
    numbers = os.memfd_create("numbers")
    forks: list[tuple[int, int]] = []
    found: dict[int, _T] = {}
    try:
        os.pwrite(numbers, b"".join(place.to_bytes(_NUMBER_BYTES, "big") for place in range(count)), 0)
        forks += [_fork(work, numbers) for _ in range(number - 1)]
        _take(work, numbers, found)
        for _process, answer in forks:
            with os.fdopen(answer, "rb", closefd=False) as file:
                found |= _unpickled(file.read())
    finally:
        # After an error, nobody finds another number.
        os.ftruncate(numbers, 0)
        os.close(numbers)
        # All ends are closed before any fork is waited for: a later fork has the ends of those before it, too.
        for _process, answer in forks:
            os.close(answer)
        for process, _answer in forks:
            os.waitpid(process, 0)
    return found


def _fork(work: Callable[[int], _T], numbers: int) -> tuple[int, int]:
    """Return the id of a new process, and where its results can be read."""
    answer, give = os.pipe()
    process = os.fork()
    if process:
        os.close(give)
        return process, answer
    # Nobody but the other end may read, or writing to it would wait forever after an error there.
    os.close(answer)
    try:
        found: dict[int, _T] = {}
        try:
            _take(work, numbers, found)
        finally:
            with os.fdopen(give, "wb") as file:
                pickle.dump(found, file, pickle.HIGHEST_PROTOCOL)
    finally:
        # Whatever happened, this process must not return to where the work comes from.
        os._exit(0)


def _take(work: Callable[[int], _T], numbers: int, found: dict[int, _T]) -> None:
    while number := os.read(numbers, _NUMBER_BYTES):
        place = int.from_bytes(number, "big")
        found[place] = work(place)


def _unpickled(answer: bytes) -> dict[int, _T]:
    """Return the results of a fork; none if it was ended before it could write all of them."""
    try:
        found: dict[int, _T] = pickle.loads(answer)
    except (EOFError, pickle.UnpicklingError):
        return {}
    return found
