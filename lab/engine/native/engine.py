# SPDX-License-Identifier: Apache-2.0
"""The native engine, which runs the agent as root on this host's own kernel and in real time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from lab.engine.base import Notice, Step, VirtualTime
from lab.engine.bundles import Bundle
from lab.engine.native import isolation
from lab.engine.native.interpreter import PYTHON_PATH, find_interpreter
from lab.engine.sources import agent_files, bpf_files, digest
from lab.errors import EngineError, GuestError, TrialTimeoutError
from lab.job.protocol import Job
from lab.store.folders import scratch_folder
from lab.store.owner import own_name
from lab.words import listed

PACKAGES = {"mininet": "mininet"}
_BEYOND_S = 180.0
"""Time that a trial may take beyond the duration of its traffic: for building the topology, for calibration and for the
last flows to end."""
_TAIL_BYTES = 2000


class NativeEngine:
    """Runs trials on this host's kernel, one at a time.  Implements :class:`lab.engine.base.Engine`."""

    name = "native"
    is_exact = False
    most_at_a_time: int | None = 1

    def __init__(self, jobs: Sequence[Job]) -> None:
        """Create an engine for ``jobs``; :meth:`prepare` checks that the machine offers what they need."""
        self._jobs = jobs
        self._interpreter: str | None = None
        self._lock: IO[str] | None = None

    def locate(self, step: Step) -> None:
        for job in self._jobs:
            _refuse_modules(job)
        if sys.platform != "linux":
            raise EngineError(f"the native engine needs Linux; this is {sys.platform}")
        if os.geteuid() != 0:
            raise EngineError(
                "the native engine requires root for network namespaces, tc and BPF; run the command with sudo"
            )
        missing = [name for name in ("setpriv", "unshare") if shutil.which(name) is None]
        if missing:
            raise EngineError(f"cannot find {listed(missing)}; install the package util-linux")
        self._interpreter = find_interpreter(PACKAGES)

    def recipes(self) -> dict[str, str]:
        return {}

    def identity(self, job: Job) -> dict[str, str]:
        return self.about()

    def about(self) -> dict[str, str]:
        system = os.uname()
        return {
            "engine": self.name,
            "host_kernel": f"{system.release} {system.version}",
            "agent_digest": digest(agent_files()),
            "bpf_digest": digest(bpf_files()),
        }

    def bundles(self) -> dict[str, Bundle]:
        return {}

    async def prepare(self, step: Step) -> None:
        self._lock = isolation.only_one()
        found = isolation.clean()
        if found:
            step(Notice(f"cleaned up after a lab process that was killed: {describe(found)}"))
        if found.foreign:
            step(Notice(left_alone(found)))
        step("checking that this machine offers what the experiment needs")
        capabilities = await self.capabilities(self._jobs, step=step)
        lacking = [capability for capability in capabilities if not capability["works"]]
        if lacking:
            lines = [
                f"  {missing['kind']} {missing['name']}: {missing['why']}"
                + (f"; {missing['fix']}" if missing["fix"] else "")
                for missing in lacking
            ]
            raise EngineError("this machine lacks what the experiment needs:\n" + "\n".join(lines))
        isolation.note_parameters(self._jobs)

    async def capabilities(self, jobs: Sequence[Job] = (), *, step: Step) -> list[dict[str, Any]]:
        """Run :mod:`lab.agent.capabilities` and return the capabilities that *jobs* need; without jobs, return all."""
        # Repetitions differ only in their seeds and need the same capabilities, so one job stands for all of them.
        different = {json.dumps({**job, "seed": 0}, sort_keys=True): job for job in jobs}
        with scratch_folder("native", lambda message: step(Notice(message))) as scratch:
            files = [scratch / f"{number}.json" for number in range(len(different))]
            for file, job in zip(files, different.values(), strict=True):
                file.write_text(json.dumps(job), encoding="utf-8")
            process = await asyncio.create_subprocess_exec(
                *isolation.isolated([self.interpreter(), "-m", "lab.agent.capabilities", *map(str, files)]),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=self._environment(),
            )
            printed, errors = await process.communicate()
        if process.returncode != 0:
            raise EngineError(f"cannot find out what this machine offers: {_last_line(errors)}")
        found: list[dict[str, Any]] = json.loads(printed)
        return found

    def interpreter(self) -> str:
        """Return the path of the Python interpreter that :meth:`locate` found."""
        if self._interpreter is None:
            raise EngineError("locate() has not been called")
        return self._interpreter

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": PYTHON_PATH, isolation.MARK: own_name()}

    async def run(self, job: Job, directory: Path, worker: int, on_time: VirtualTime) -> None:
        _refuse_modules(job)
        log = directory.with_name(directory.name + ".agent.log")
        given = directory.with_name(directory.name + ".job.json")
        given.write_text(json.dumps(job), encoding="utf-8")
        with log.open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                *isolation.isolated([self.interpreter(), "-m", "lab.agent", str(given), str(directory)]),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env=self._environment(),
            )
        limit_s = job["duration_ns"] / 1e9 + _BEYOND_S
        try:
            async with asyncio.timeout(limit_s):
                await _follow(process, on_time)
        except TimeoutError:
            raise TrialTimeoutError(f"the trial did not end within {limit_s:.0f} s", log=log) from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if not (directory / "record.json").exists():
            raise GuestError(f"the agent wrote no record; its last message: {_last_line(log.read_bytes())}", log=log)
        for leftover in (log, given):
            leftover.unlink(missing_ok=True)

    def close(self) -> None:
        isolation.restore()
        if self._lock is not None:
            self._lock.close()


def describe(found: isolation.Leftovers) -> str:
    """Return a list, in words, of the leftovers that have been removed."""
    parts = [f"{len(found.processes)} processes"] if found.processes else []
    parts += [f"{path} (restored to {value})" for path, value in found.parameters.items()]
    return ", ".join(parts)


def left_alone(found: isolation.Leftovers) -> str:
    """Return a message that names the processes whose owner cannot be judged."""
    processes = ", ".join(map(str, found.foreign))
    return f"left alone: processes of native trials whose lab runs in another container, if it runs: {processes}"


def _refuse_modules(job: Job) -> None:
    """Raise an :class:`EngineError` if a job brings a kernel module.

    Experiments with modules are refused earlier, but a stored run may come from anybody.
    """
    for algorithm in job.get("algorithms", ()):
        if "form" in algorithm:
            raise EngineError(
                f"found the kernel module {algorithm['name']} in a job for the engine native, which would load it into "
                "the kernel of this machine; only virtual machines run modules"
            )


async def _follow(process: asyncio.subprocess.Process, on_time: VirtualTime) -> None:
    assert process.stdout is not None
    async for line in process.stdout:
        if line.strip().isdigit():
            on_time(int(line))
    await process.wait()


def _last_line(output: bytes) -> str:
    lines = output[-_TAIL_BYTES:].decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "no message"
