# SPDX-License-Identifier: Apache-2.0
"""The interface between the runner and an engine."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from lab.engine.bundles import Bundle
from lab.job.protocol import Job

_T = TypeVar("_T")

Step = Callable[[str], None]
"""A function that is called with a short description of each step that takes long."""


class Notice(str):
    """A description for a :data:`Step` that the user should still see when the step is done."""


DAMAGED_ADVICE = "it is built again; what was recorded with it may be wrong, which `lab verify` finds out"
"""The end of the message that a file in the cache is not what was written."""

VirtualTime = Callable[[int], None]
"""A function that is called repeatedly with the time since the start of a trial's traffic, in ns."""


class Engine(Protocol):
    """Runs jobs.  Several workers may use an engine at the same time, each for one job after the other."""

    name: str
    is_exact: bool
    """Whether the same job always gives the same record.  If so, no job has to run twice, and the order of jobs does
    not matter."""
    most_at_a_time: int | None
    """The maximum number of trials that may run at the same time; None means the number of processors."""

    def locate(self, step: Step) -> None:
        """Find, or build, everything that :meth:`identity` describes.

        Raises:
            MachineryError: Something is missing and cannot be built.
        """

    def recipes(self) -> dict[str, str]:
        """Return the digest of the recipe of each thing that :meth:`locate` would build, without building it.

        A recipe is everything that determines what is built, except versions of packages.
        """

    def identity(self, job: Job) -> dict[str, str]:
        """Return the digests and versions of everything besides the job on which the job's record depends.

        :meth:`locate` must have been called before.
        """

    def about(self) -> dict[str, str]:
        """Return the identity for all jobs that the engine was created for, combined for people to read."""

    def bundles(self) -> dict[str, Bundle]:
        """Return the bundles that :meth:`locate` found, by the names of their kernels; none if trials need none."""

    async def prepare(self, step: Step) -> None:
        """Do the work that all trials need once, before the first trial.

        Raises:
            MachineryError: The machine cannot run the trials.
        """

    async def run(self, job: Job, directory: Path, worker: int, on_time: VirtualTime) -> None:
        """Run ``job`` and leave its record in ``directory``, which must exist and be empty.

        ``worker`` is the number of the worker, from 0; trials of different workers run at the same time.

        Raises:
            TrialError: The trial failed.
        """

    def close(self) -> None:
        """Release what :meth:`prepare` has acquired; does nothing if it has not been called."""


def combined(identities: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Return the identities for several kernels (name → identity) as one, for people to read.

    Where they differ, the text names the kernels.
    """
    first = next(iter(identities.values()))
    return {
        key: value
        if all(other[key] == value for other in identities.values())
        else ", ".join(f"{name}: {other[key]}" for name, other in identities.items())
        for key, value in first.items()
    }


def processor_of(worker: int) -> int:
    """Return the host's CPU on which the trials of this worker run."""
    processors = sorted(os.sched_getaffinity(0))
    return processors[worker % len(processors)]


async def cancelled(task: asyncio.Future[Any]) -> None:
    """Cancel the task and wait until it has ended, however it ends.

    A cancellation of the caller is raised.  It would be lost if the caller awaited the task itself and ignored the
    ``CancelledError``, which looks the same for both.
    """
    task.cancel()
    await asyncio.wait((task,))
    if not task.cancelled():
        task.exception()  # Marks the exception as retrieved.


async def in_thread(work: Callable[[], _T]) -> _T:
    """Run ``work`` in a thread, as :func:`asyncio.to_thread` does, but let a cancellation wait until it has ended.

    The caller's cleanup therefore removes no files that ``work`` still uses, and ``work`` writes none afterwards.
    """
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait((running,))
        if not running.cancelled():
            running.exception()  # Marks the exception as retrieved: the cancellation is raised in its place.
        raise
