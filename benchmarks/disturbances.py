# SPDX-License-Identifier: Apache-2.0
"""What other work on a machine does to processes, on purpose: none of it may change a result."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from lab.engine.tethered import tethered


@contextlib.contextmanager
def busy(_pid: int) -> Iterator[None]:
    """Let four processes compute all the time."""
    loop = tethered(["sh", "-c", "while :; do :; done"], os.getpid())
    loops = [subprocess.Popen(loop) for _ in range(4)]
    try:
        yield
    finally:
        for process in loops:
            process.kill()
            process.wait()


@contextlib.contextmanager
def stopped_and_continued(pid: int) -> Iterator[None]:
    """Stop and continue a process and its descendants, all of them or one by chance, at random moments."""
    done = threading.Event()

    def blow() -> None:
        while not done.wait(random.random() * 0.02):
            found = family(pid)
            chosen = found if random.random() < 0.3 else [random.choice(found)]
            for member in chosen:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(member, signal.SIGSTOP)
            time.sleep(random.random() * 0.02)
            for member in chosen:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(member, signal.SIGCONT)

    storm = threading.Thread(target=blow)
    storm.start()
    try:
        yield
    finally:
        done.set()
        storm.join()


def family(pid: int) -> list[int]:
    """Return the process *pid* and its descendants; processes that end meanwhile may be missing."""
    found, waiting = [], [pid]
    while waiting:
        found.append(member := waiting.pop())
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            children = Path(f"/proc/{member}/task/{member}/children").read_text(encoding="ascii")
            waiting += map(int, children.split())
    return found
