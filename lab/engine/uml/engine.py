# SPDX-License-Identifier: Apache-2.0
"""The UML engine, which runs each trial in User-mode Linux, in deterministic virtual time and without root."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import stat
import tarfile
from collections.abc import Iterable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import BinaryIO

from lab.engine import sources, watch
from lab.engine.base import Notice, Step, VirtualTime, combined, in_thread, processor_of
from lab.engine.bundles import Bundle, note_use
from lab.engine.debian.builds import found_or_built
from lab.engine.emulator.build import recipe_digest as emulator_recipe
from lab.engine.image.build import Image, locate_image
from lab.engine.image.build import recipe_digest as image_recipe
from lab.engine.selftest import self_test_job
from lab.engine.steering import Steering
from lab.engine.uml import arguments
from lab.engine.uml.build import UmlKernel, build_kernel, find_kernel
from lab.engine.uml.build import recipe_digest as kernel_recipe
from lab.engine.uml.zygote import Child, Zygote
from lab.engine.watch import DEFAULT_LIMITS, Limits
from lab.errors import EngineError, GuestError, LostVMError
from lab.job import kernels
from lab.job.folder import SharedFolder
from lab.job.mailbox import MailboxError, State
from lab.job.protocol import Job
from lab.store import places
from lab.store.folders import remove_leftovers, scratch_folder, unfinished_folder

READY_LIMIT_S = 300.0
"""The maximum wall-clock time that a zygote may take to prepare itself."""
FORK_LIMIT_S = 120.0
"""The maximum wall-clock time that a zygote may take to fork, or to report the end of a child that was killed."""
_POLL_S = 0.05
_WATCHED_POLL_S = 0.005
_TAIL_BYTES = 2000
_MESSAGE_BYTES = 1 << 20
_RECORD_BYTES = 4 << 30
"""The largest record: the guest has 4 GiB of memory, and keeps the record there before it writes the archive."""


class UmlEngine:
    """Runs trials in User-mode Linux.  Implements :class:`lab.engine.base.Engine`."""

    name = "uml"
    is_exact = True
    most_at_a_time: int | None = None

    def __init__(
        self, kernel_names: Iterable[str] = (kernels.DEFAULT_UML,), *, limits: Limits = DEFAULT_LIMITS
    ) -> None:
        """Create an engine for jobs with the kernels ``kernel_names``, all of :data:`lab.job.kernels.UML`."""
        self._names = tuple(dict.fromkeys(kernel_names))
        self._limits = limits
        self._image: Image | None = None
        self._kernels: dict[str, UmlKernel] = {}
        self._zygotes: dict[str, Zygote] = {}
        self._identities: dict[str, dict[str, str]] = {}

    def locate(self, step: Step) -> None:
        self._identities.clear()
        for name in self._names:
            what = f"kernel {name}"
            self._kernels[name] = found_or_built(
                what, partial(find_kernel, name), partial(build_kernel, name), step, kind="uml-kernel"
            )
        self._image = locate_image(step)
        for bundle in self.bundles().values():
            note_use(bundle)

    def recipes(self) -> dict[str, str]:
        # The image is written by a program of the emulator.
        images = {"QEMU": emulator_recipe(), f"guest image {kernels.DEFAULT}": image_recipe()}
        return {**images, **{f"kernel {name}": kernel_recipe(name) for name in self._names}}

    def identity(self, job: Job) -> dict[str, str]:
        return self._identity(job["kernel"])

    def _identity(self, name: str) -> dict[str, str]:
        # The result is cached because computing it reads all files of the agent.
        if name not in self._identities:
            setup = [arguments.ARGUMENTS, arguments.init_script().decode(), self_test_job()]
            self._identities[name] = {
                "engine": self.name,
                "bundle_digest": self._bundle(name).digest,
                "agent_digest": sources.digest(sources.agent_files()),
                "bpf_digest": sources.digest(sources.bpf_files()),
                "machine_digest": hashlib.sha256(json.dumps(setup, sort_keys=True).encode()).hexdigest(),
            }
        return self._identities[name]

    def about(self) -> dict[str, str]:
        return combined({name: {**self._identity(name), **self._bundle(name).part_digests()} for name in self._names})

    def _bundle(self, name: str) -> Bundle:
        kernel, image = self.parts(name)
        return Bundle(name, {"uml_kernel": kernel.digest, "image": image.digest})

    def bundles(self) -> dict[str, Bundle]:
        return {name: self._bundle(name) for name in self._names}

    def parts(self, name: str = kernels.DEFAULT_UML) -> tuple[UmlKernel, Image]:
        """Return the kernel *name* and the image that :meth:`locate` found."""
        if self._image is None or name not in self._kernels:
            raise EngineError(f"locate() has not been called for the kernel {name}")
        return self._kernels[name], self._image

    async def prepare(self, step: Step) -> None:
        step("starting User-mode Linux and testing it")
        for name in self._names:
            if name not in self._zygotes:
                self._zygotes[name] = await _started(*self.parts(name), step)

    async def run(self, job: Job, directory: Path, worker: int, on_time: VirtualTime) -> None:
        folder = directory.with_name(directory.name + ".uml")
        folder.mkdir()
        shared = SharedFolder(folder)
        shared.initialise(json.dumps(job, sort_keys=True).encode())
        console = folder / "console.log"
        child = await self._forked(job, folder, worker)
        try:
            await watch.within(
                self._limits,
                job,
                asyncio.ensure_future(_until_end(child)),
                lambda: shared.virtual_ns,
                on_time,
                console=console,
                poll_s=_POLL_S,
            )
            await in_thread(partial(_take_record, shared, directory, console, child))
        finally:
            child.kill()
            await asyncio.wait((asyncio.wrap_future(child.ended),), timeout=FORK_LIMIT_S)
        shutil.rmtree(folder)

    async def watch(self, job: Job, steering: Steering) -> None:
        """Run a job that is watched.  Implements :class:`lab.engine.steering.Watchable`."""
        with scratch_folder("watched", lambda _message: None) as folder:
            shared = SharedFolder(folder)
            shared.initialise(json.dumps(job, sort_keys=True).encode(), is_watched=True)
            child = await self._forked(job, folder, 0)
            try:
                await _steer(child, shared, steering)
                if shared.state is not State.DONE:
                    await in_thread(partial(_take_record, shared, folder, folder / "console.log", child))
            finally:
                child.kill()
                await asyncio.wait((asyncio.wrap_future(child.ended),), timeout=FORK_LIMIT_S)

    async def _forked(self, job: Job, folder: Path, worker: int) -> Child:
        """Return an instance that runs the job in *folder*.

        Raises:
            EngineError: There is none.
        """
        if job["kernel"] not in self._zygotes:
            raise EngineError(f"prepare() has not been called for the kernel {job['kernel']}")
        forked = self._zygotes[job["kernel"]].fork(folder, processor_of(worker))
        try:
            async with asyncio.timeout(FORK_LIMIT_S):
                return await asyncio.wrap_future(forked)
        except TimeoutError:
            raise LostVMError(f"User-mode Linux did not fork within {FORK_LIMIT_S:g} s") from None
        except asyncio.CancelledError:
            # The instance may have been forked in the same moment.
            forked.add_done_callback(_kill_forked)
            raise

    def close(self) -> None:
        while self._zygotes:
            self._zygotes.popitem()[1].close()


def _kill_forked(forked: Future[Child]) -> None:
    if not forked.cancelled() and forked.exception() is None:
        forked.result().kill()


async def _started(kernel: UmlKernel, image: Image, step: Step) -> Zygote:
    """Return a zygote that is ready to fork.

    Raises:
        EngineError: The zygote ended, or was not ready in time.
    """
    parent = places.cache_root() / "zygotes"
    for message in remove_leftovers(parent):
        step(Notice(message))
    # The zygote needs its files only while it boots.
    with unfinished_folder(parent) as folder:
        arguments.put_files(folder, image)
        zygote = Zygote(kernel.program, folder, min(os.sched_getaffinity(0)))
        try:
            async with asyncio.timeout(READY_LIMIT_S):
                await asyncio.wrap_future(zygote.ready)
        except TimeoutError:
            tail = zygote.console_tail()
            zygote.close()
            raise EngineError(
                f"User-mode Linux is not ready after {READY_LIMIT_S:g} s; its console ends with: {tail}"
            ) from None
        except BaseException:
            zygote.close()
            raise
    return zygote


async def _steer(child: Child, shared: SharedFolder, steering: Steering) -> None:
    """Pass frames and control on until the instance ends; stop it while it waits, because it would do so busily.

    Raises:
        GuestError: The guest has written something that is no frame.
    """
    ended = asyncio.ensure_future(_until_end(child))
    is_held = False
    try:
        while True:
            await asyncio.wait((ended,), timeout=_WATCHED_POLL_S)
            try:
                for frame in shared.frames():
                    steering.saw(frame)
            except (MailboxError, ValueError) as exc:
                raise GuestError(f"what the agent tells cannot be read: {exc}") from exc
            if ended.done():
                return
            if (control := steering.control()) is not None:
                shared.control = control
            if is_held != steering.is_held:
                is_held = steering.is_held
                (child.hold if is_held else child.resume)()
    finally:
        ended.cancel()


async def _until_end(child: Child) -> None:
    await asyncio.shield(asyncio.wrap_future(child.ended))


def _take_record(shared: SharedFolder, directory: Path, console: Path, child: Child) -> None:
    state = shared.state
    if state not in (State.DONE, State.FAILED):
        raise LostVMError(
            f"User-mode Linux ended before the trial did ({child.ended.result()}){_ending(console)}", log=console
        )
    try:
        with _opened(shared.record_file) as packed:
            if state is State.FAILED:
                raise watch.agent_failed(state.name, packed.read(_MESSAGE_BYTES).decode(errors="replace"), console)
            watch.extract_record(packed, directory)
    except (_NotARecordError, tarfile.TarError) as exc:
        raise GuestError(f"the agent's record cannot be read: {exc}", log=console) from exc


class _NotARecordError(Exception):
    """The guest has put something else in the place of the record."""


def _opened(path: Path) -> BinaryIO:
    """Open the record, which must be a regular file: a link could lead out of the folder, and a pipe would block.

    Raises:
        _NotARecordError: It is something else, or too large.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as exc:
        raise _NotARecordError(f"{path.name}: {exc.strerror}") from exc
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_size > _RECORD_BYTES:
        os.close(descriptor)
        raise _NotARecordError(f"{path.name} is not a regular file of at most {_RECORD_BYTES >> 30} GiB")
    return os.fdopen(descriptor, "rb")


def _ending(console: Path) -> str:
    """Return the text that reports the end of the console, if it has any content."""
    try:
        text = console.read_bytes()[-_TAIL_BYTES:].decode(errors="replace").strip()
    except FileNotFoundError:
        return ""
    return f"; the console ends with: {' | '.join(text.splitlines()[-4:])}" if text else ""
