# SPDX-License-Identifier: Apache-2.0
"""Run tasks in processes of their own, several at a time, so that none of them can do harm to another."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from lab.engine.tethered import tethered
from lab.grade.scenario.task import Report, Task, read_report
from lab.run.runner import run_workers

__all__ = ["run_tasks"]

_MORE_S = 120.0
"""How long a process may take for everything besides its trials, in seconds: evaluation, figures, and cleaning up."""
_END_S = 10.0
"""How long a process may take to end when it is told to, in seconds."""
_MOST_TOLD = 2000


async def run_tasks(
    tasks: Sequence[Task], at_a_time: Sequence[Sequence[int]], done: Callable[[Task, Report], None]
) -> None:
    """Run all tasks; *at_a_time* has the processors of each of those that run at the same time.

    *done* is called with the report of each task when it has ended.  Cancelling the coroutine ends the running
    processes; what they have run by then is in the cache of trials.
    """
    waiting = iter(tasks)

    async def work(processors: Sequence[int]) -> None:
        for task in waiting:
            done(task, await _run(task, processors))

    await run_workers(work(processors) for processors in at_a_time)


async def _run(task: Task, processors: Sequence[int]) -> Report:
    folder = Path(task.output)
    told = folder / "task.json"
    replace(task, processors=list(processors)).write(told)
    log = folder / "process.txt"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            # The process ends with this one, however this one ends; it cleans up what it runs.
            *tethered([sys.executable, "-m", "lab.grade", str(told)], os.getpid(), with_signal=signal.SIGTERM),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(task.wall_s + _MORE_S):
                await process.wait()
        except TimeoutError:
            await _end(process)
            message = f"the scenario did not end within {task.wall_s:g} s of this machine's time, and was stopped"
            return _kept(Report(task.name, "ended", message, key=task.key), folder)
        except BaseException:
            await asyncio.shield(_end(process))
            raise
        finally:
            _kill_group(process)
    report = read_report(folder)
    if report is not None and report.key == task.key:
        return report
    how = (
        f"with the exit code {process.returncode}"
        if (process.returncode or 0) >= 0
        else (f"by the signal {signal.Signals(-(process.returncode or 0)).name}")
    )
    with contextlib.suppress(OSError):
        how += f": {log.read_text(encoding='utf-8', errors='replace')[-_MOST_TOLD:].strip()}"
    return _kept(Report(task.name, "machine", f"the process of the scenario ended {how}", key=task.key), folder)


def _kept(report: Report, folder: Path) -> Report:
    report.write(folder)
    return report


def _kill_group(process: asyncio.subprocess.Process) -> None:
    """Kill what a process that has ended has left of its process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a process: first in an orderly way, then at once."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
        try:
            async with asyncio.timeout(_END_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
