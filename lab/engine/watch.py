# SPDX-License-Identifier: Apache-2.0
"""Watch a trial that runs in virtual time, and end it if it takes too long on the wall clock; take over its record."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tarfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lab.engine.base import VirtualTime
from lab.errors import GuestError, TrialTimeoutError
from lab.job.protocol import Job

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Limits:
    """How long a trial may take, in seconds of wall-clock time."""

    least_wall_s: float = 120.0
    """The time that every trial may take, whatever the duration of its traffic."""
    wall_per_virtual_s: float = 20.0
    """The time that a trial may take in addition for each second of its traffic."""
    stall_s: float = 120.0
    """The time that may pass without any progress of virtual time."""


DEFAULT_LIMITS = Limits()


async def within(
    limits: Limits,
    job: Job,
    running: asyncio.Future[None],
    virtual_ns: Callable[[], int],
    on_time: VirtualTime,
    *,
    console: Path,
    poll_s: float,
) -> None:
    """Wait until ``running`` is done, and cancel it if the trial exceeds ``limits``.

    ``virtual_ns`` returns the virtual time since the start of traffic.  It is read every ``poll_s`` seconds and passed
    to ``on_time``.

    Raises:
        TrialTimeoutError: A limit is exceeded; ``console`` is named as the log.
    """
    started = time.monotonic()
    limit = limits.least_wall_s + limits.wall_per_virtual_s * job["duration_ns"] / 1e9
    last_time, last_change = -1, started
    try:
        while not running.done():
            await asyncio.wait((running,), timeout=poll_s)
            now, reached = time.monotonic(), virtual_ns()
            if reached != last_time:
                last_time, last_change = reached, now
                on_time(reached)
            if running.done():
                break
            if now - started > limit:
                raise TrialTimeoutError(f"the trial did not end within {limit:.0f} s of wall-clock time", log=console)
            if now - last_change > limits.stall_s:
                raise TrialTimeoutError(
                    f"no virtual time has passed for {limits.stall_s:.0f} s "
                    f"(the time since the start of traffic stays at {reached / 1e9:.3f} s)",
                    log=console,
                )
        running.result()
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await running


def extract_record(archive: tarfile.TarFile, directory: Path) -> None:
    """Extract the tar archive of a record into ``directory``.

    Only files and folders inside ``directory`` are accepted.  The filters of newer versions of tarfile would do the
    same, but Debian 12's version has none yet.

    Raises:
        tarfile.TarError: The archive contains something else.
        OSError: A file cannot be written.
    """
    for member in archive:
        path = Path(member.name)
        if path.is_absolute() or ".." in path.parts or not (member.isfile() or member.isdir()):
            raise tarfile.TarError(f"{member.name!r} does not belong in a record")
        target = directory / path
        if member.isdir():
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        source = archive.extractfile(member)
        assert source is not None
        with open(target, "wb") as file:
            shutil.copyfileobj(source, file, _CHUNK)


def agent_failed(state: str, message: str, console: Path) -> GuestError:
    """Return the error for an agent that ended in ``state`` with a traceback, or another message, in place of a record.

    ``console`` is named as the log.
    """
    lines = message.strip().splitlines()
    return GuestError(f"the agent failed ({state}): {lines[-1] if lines else 'no message'}", log=console)
