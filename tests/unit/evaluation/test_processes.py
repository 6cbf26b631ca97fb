# SPDX-License-Identifier: Apache-2.0
"""Work that is shared out between forks."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from lab.evaluation.processes import shared_out


def test_the_results_are_those_of_one_process_in_the_same_order() -> None:
    for processes in (1, 2, 5):
        assert shared_out(lambda place: place**2, 40, processes) == [place**2 for place in range(40)]
    assert shared_out(lambda place: place, 0) == []


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not count the thread in which a worker of pytest-xdist waits for messages."""
    others = threading.active_count() - 1
    count = threading.active_count
    monkeypatch.setattr(threading, "active_count", lambda: count() - others)


def slow(_place: int) -> int:
    """Take a while, and return the id of the process that did it."""
    time.sleep(0.01)
    return os.getpid()


def test_several_processes_take_part() -> None:
    assert len(set(shared_out(slow, 30, 3))) == 3
    assert os.getpid() in shared_out(slow, 30, 3)


@pytest.mark.parametrize("processes", [1, 3])
def test_an_error_is_raised_wherever_it_happens(processes: int) -> None:
    def work(place: int) -> bytes:
        time.sleep(0.005)
        if place % 4 == 3:
            raise ValueError(f"at {place % 4}")
        # More than a pipe holds, so that a fork waits until somebody reads, or nobody can any more.
        return bytes(1 << 20)

    with pytest.raises(ValueError, match="at 3"):
        shared_out(work, 20, processes)


def test_what_a_killed_process_leaves_is_done_here() -> None:
    own = os.getpid()

    def work(place: int) -> int:
        time.sleep(0.01)
        if os.getpid() != own:
            os._exit(9)
        return place

    assert shared_out(work, 20, 3) == list(range(20))


def test_nothing_is_forked_beside_another_thread() -> None:
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        assert set(shared_out(lambda _place: os.getpid(), 20, 3)) == {os.getpid()}
    finally:
        done.set()
        thread.join()


def test_no_process_and_no_file_is_left() -> None:
    before = set(os.listdir("/proc/self/fd"))
    processes = set(shared_out(slow, 20, 3)) - {os.getpid()}
    assert set(os.listdir("/proc/self/fd")) == before
    assert processes
    assert not any(Path(f"/proc/{process}").exists() for process in processes)
