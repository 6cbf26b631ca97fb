# SPDX-License-Identifier: Apache-2.0
"""The VM engine: every trial on an unmodified kernel in deterministic virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import shutil
import tarfile
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lab.engine.base import Step, VirtualTime, in_thread
from lab.engine.vm import machine, qemu
from lab.engine.vm.machine import Machine
from lab.engine.vm.qemu import Qemu
from lab.engine.vm.template import Template, build_template, find_template, identity
from lab.errors import EngineError, GuestError, TrialTimeoutError
from lab.image.build import Image, build_image, find_image
from lab.mailbox import MailboxError, State
from lab.protocol import Job

_POLL_S = 0.2


@dataclass(frozen=True)
class Limits:
    """When a trial is given up, in seconds of wall-clock time."""

    least_wall_s: float = 120.0
    wall_per_virtual_s: float = 20.0
    """On top, for every second of the trial's traffic."""
    stall_s: float = 120.0
    """Without any progress of virtual time."""


DEFAULT_LIMITS = Limits()


class VmEngine:
    """See :class:`lab.engine.base.Engine`."""

    name = "vm"

    def __init__(self, *, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._template: Template | None = None
        self._located: tuple[Qemu, Image] | None = None

    def locate(self, step: Step) -> None:
        found = qemu.find_qemu()
        image = find_image()
        if image is None:
            step("guest image: building it, once")
            image = build_image(lambda what: step(f"guest image: {what}"))
        self._located = (found, image)

    def identity(self) -> dict[str, str]:
        return {"engine": self.name, **identity(*self.machine())}

    async def prepare(self, step: Step) -> None:
        found, image = self.machine()
        self._template = find_template(found, image)
        if self._template is None:
            self._template = await build_template(found, image, lambda what: step(f"template: {what}"))

    def machine(self) -> tuple[Qemu, Image]:
        """The QEMU and the image that :meth:`locate` found."""
        if self._located is None:
            raise EngineError("the engine has not been located")
        return self._located

    def template(self) -> Template:
        """The template that :meth:`prepare` found or made."""
        if self._template is None:
            raise EngineError("the engine is not prepared")
        return self._template

    async def time_to_first_sign(self, job: Job) -> float:
        """Seconds from starting QEMU until the restored agent has written to its mailbox."""
        found, _image = self.machine()
        template = self.template()
        arguments = qemu.machine_arguments(template.image, template.ram, share_ram=False)
        with tempfile.TemporaryDirectory() as scratch:
            began = time.monotonic()
            async with machine.start(
                found,
                arguments,
                json.dumps(job).encode(),
                Path(scratch) / "console.log",
                processor=0,
                state=template.state,
            ) as guest:
                running = asyncio.ensure_future(guest.run_until_stop())
                while guest.mailbox.state is State.BLANK:
                    await asyncio.sleep(0.001)
                elapsed = time.monotonic() - began
                running.cancel()
        return elapsed

    async def run(self, job: Job, directory: Path, worker: int, on_time: VirtualTime) -> None:
        found, _image = self.machine()
        template = self.template()
        console = directory.with_name(directory.name + ".console.log")
        arguments = qemu.machine_arguments(template.image, template.ram, share_ram=False)
        text = json.dumps(job, sort_keys=True).encode()
        processors = sorted(os.sched_getaffinity(0))
        processor = processors[worker % len(processors)]
        async with machine.start(found, arguments, text, console, processor=processor, state=template.state) as guest:
            await _run_within(self._limits, guest, job, on_time)
            await in_thread(partial(_take_record, guest, directory))
        for leftover in (console, console.with_suffix(".qemu")):
            leftover.unlink(missing_ok=True)


async def _run_within(limits: Limits, guest: Machine, job: Job, on_time: VirtualTime) -> None:
    started = time.monotonic()
    limit = limits.least_wall_s + limits.wall_per_virtual_s * job["duration_ns"] / 1e9
    last_time, last_change = -1, started
    running = asyncio.ensure_future(guest.run_until_stop())
    try:
        while not running.done():
            await asyncio.wait((running,), timeout=_POLL_S)
            now, reached = time.monotonic(), guest.mailbox.virtual_ns
            if reached != last_time:
                last_time, last_change = reached, now
                on_time(reached)
            if running.done():
                break
            if now - started > limit:
                raise TrialTimeoutError(
                    f"the trial did not end within {limit:.0f} s of wall-clock time", log=guest.console
                )
            if now - last_change > limits.stall_s:
                raise TrialTimeoutError(
                    f"no virtual time has passed for {limits.stall_s:.0f} s (traffic stands at {reached / 1e9:.3f} s)",
                    log=guest.console,
                )
        running.result()
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await running


def _take_record(guest: Machine, directory: Path) -> None:
    state = guest.mailbox.state
    if state is not State.DONE:
        said = bytes(guest.mailbox.record).decode(errors="replace").strip()
        raise GuestError(
            f"the agent failed ({state.name}): {said.splitlines()[-1] if said else 'no message'}", log=guest.console
        )
    try:
        with tarfile.open(fileobj=io.BytesIO(guest.mailbox.record), mode="r:") as archive:
            _extract(archive, directory)
    except (tarfile.TarError, MailboxError) as exc:
        raise GuestError(f"the agent's record cannot be read: {exc}", log=guest.console) from exc
    except OSError:
        shutil.rmtree(directory, ignore_errors=True)
        raise


def _extract(archive: tarfile.TarFile, directory: Path) -> None:
    """Files and folders only, and none outside ``directory``; Debian 12's tarfile knows no filters yet."""
    for member in archive:
        path = Path(member.name)
        if path.is_absolute() or ".." in path.parts or not (member.isfile() or member.isdir()):
            raise tarfile.TarError(f"{member.name} does not belong in a record")
        target = directory / path
        if member.isdir():
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        source = archive.extractfile(member)
        assert source is not None
        with open(target, "wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
