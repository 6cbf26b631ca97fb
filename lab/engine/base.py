# SPDX-License-Identifier: Apache-2.0
"""What the runner needs of an engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from lab.job.protocol import Job

_T = TypeVar("_T")

Step = Callable[[str], None]
"""Called with what is being done, where it takes long."""

VirtualTime = Callable[[int], None]
"""Called with the time since the start of a trial's traffic, in ns."""


class Engine(Protocol):
    """Runs one job on one worker at a time and returns its raw record."""

    name: str
    is_exact: bool
    """The same job always gives the same record: it need not run twice, and its order among others does not matter."""
    most_at_a_time: int | None
    """Trials that may run at the same time; None: as many as there are processors."""

    def locate(self, step: Step) -> None:
        """Find, or make, what :meth:`identity` speaks of.  Raises :class:`~lab.errors.MachineryError`."""

    def identity(self, job: Job) -> dict[str, str]:
        """Digests of all that the job's record is a function of besides the job.  Call it after :meth:`locate`."""

    def about(self) -> dict[str, str]:
        """The same for all jobs that it was made for, for people to read."""

    async def prepare(self, step: Step) -> None:
        """Do once what all trials need, before the first of them.  Raises :class:`~lab.errors.MachineryError`."""

    async def run(self, job: Job, directory: Path, worker: int, on_time: VirtualTime) -> None:
        """Run ``job`` and leave its record in ``directory``, which exists and is empty.

        ``worker`` counts from 0; trials of different workers run at the same time.
        Raises :class:`~lab.errors.TrialError`.
        """

    def close(self) -> None:
        """Give back what :meth:`prepare` has taken, if it has run."""


async def in_thread(work: Callable[[], _T]) -> _T:
    """As :func:`asyncio.to_thread`, but a cancellation waits until ``work`` has ended.

    So nothing is removed under its hands, and nothing written after the cleaning up.
    """
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait((running,))
        if not running.cancelled():
            running.exception()  # the cancellation is what counts
        raise
