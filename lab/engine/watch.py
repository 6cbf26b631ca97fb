# SPDX-License-Identifier: Apache-2.0
"""Watch a trial that runs in virtual time, and end it if it takes too long on the wall clock; take over its record."""

from __future__ import annotations

import asyncio
import shutil
import tarfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lab.engine.archives import PlainTarInfo, RefusedMemberError, parts_of
from lab.engine.base import VirtualTime, cancelled
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
        await cancelled(running)


def extract_record(packed: BinaryIO, directory: Path) -> None:
    """Extract the tar archive *packed*, which contains a record, into ``directory``.

    Only files and folders inside ``directory`` are accepted.  All of their data are in the archive, so that they need
    no more space than the archive.

    Raises:
        tarfile.TarError: The archive contains something else, or is damaged.
        OSError: A file cannot be written.
    """
    seen: set[tuple[str, ...]] = {()}
    files: set[tuple[str, ...]] = set()
    with tarfile.open(fileobj=packed, mode="r:", tarinfo=PlainTarInfo) as archive:
        for member in archive:
            try:
                parts = parts_of(member.name)
            except RefusedMemberError as error:
                raise RefusedMemberError(f"{error}; this does not belong in a record") from error
            above = {parts[:end] for end in range(len(parts))}
            twice = parts in files or (member.isfile() and parts in seen)
            if twice or above & files or not (member.isfile() or member.isdir()):
                raise RefusedMemberError(f"{member.name!r} does not belong in a record")
            seen |= {parts, *above}
            target = directory.joinpath(*parts)
            if member.isdir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            files.add(parts)
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
