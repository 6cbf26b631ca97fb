# SPDX-License-Identifier: Apache-2.0
"""The VM engine, which runs each trial on an unmodified kernel in deterministic virtual time."""

from __future__ import annotations

import asyncio
import io
import json
import shutil
import tarfile
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

from lab.engine import watch
from lab.engine.base import Step, VirtualTime, combined, in_thread, processor_of
from lab.engine.bundles import Bundle, note_use
from lab.engine.debian.builds import found_or_built
from lab.engine.emulator.build import Emulator, locate_emulator
from lab.engine.emulator.build import recipe_digest as emulator_recipe
from lab.engine.image.build import Image, build_image, find_image
from lab.engine.image.build import recipe_digest as image_recipe
from lab.engine.steering import Steering
from lab.engine.vm import machine, qemu
from lab.engine.vm.machine import Machine
from lab.engine.vm.template import Template, build_template, drop_old_templates, find_template, identity
from lab.engine.watch import DEFAULT_LIMITS, Limits
from lab.errors import EngineError, GuestError
from lab.job import kernels
from lab.job.mailbox import MailboxError, State
from lab.job.protocol import Job
from lab.store.folders import scratch_folder

_POLL_S = 0.2
_WATCHED_POLL_S = 0.01


class VmEngine:
    """Runs trials in QEMU virtual machines.  Implements :class:`lab.engine.base.Engine`."""

    name = "vm"
    is_exact = True
    most_at_a_time: int | None = None

    def __init__(
        self,
        kernel_names: Iterable[str] = (kernels.DEFAULT,),
        *,
        packages: Mapping[str, Path] = {},
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        """Create an engine for jobs with the kernels ``kernel_names``.

        ``packages`` maps the names of kernels that are not Debian's to the files of their packages.  A file is needed
        only if the cache has no image with that kernel yet.
        """
        self._kernels = tuple(dict.fromkeys(kernel_names))
        self._packages = packages
        self._limits = limits
        self._emulator: Emulator | None = None
        self._images: dict[str, Image] = {}
        self._templates: dict[str, Template] = {}
        self._identities: dict[str, dict[str, str]] = {}

    def locate(self, step: Step) -> None:
        self._identities.clear()
        for kernel in self._kernels:
            package = self._packages.get(kernel)
            name = package.name if package else kernel
            what = "guest image" if kernel == kernels.DEFAULT else f"guest image with {name}"
            self._images[kernel] = found_or_built(
                what, partial(find_image, kernel), partial(self._build_image, kernel), step, kind="image"
            )
        self._emulator = locate_emulator(step)
        for bundle in self.bundles().values():
            note_use(bundle)

    def _build_image(self, kernel: str, step: Step) -> Image:
        package = self._packages.get(kernel)
        if kernels.is_package(kernel) and package is None:
            raise EngineError(
                f"there is no guest image with the kernel {kernel} (the name contains the SHA-256 of its package); "
                "build the image from the package's file with `lab bundle build --kernel FILE.deb`"
            )
        return build_image(step, kernel=kernel, package=package)

    def recipes(self) -> dict[str, str]:
        images = {f"guest image {kernel}": image_recipe(kernel) for kernel in self._kernels}
        return {"QEMU": emulator_recipe(), **images}

    def identity(self, job: Job) -> dict[str, str]:
        return self._identity(job["kernel"])

    def _identity(self, kernel: str) -> dict[str, str]:
        # The result is cached because computing it reads all files of the agent.
        if kernel not in self._identities:
            self._identities[kernel] = {"engine": self.name, **identity(*self.machine(kernel))}
        return self._identities[kernel]

    def about(self) -> dict[str, str]:
        return combined({kernel: self._about(kernel) for kernel in self._kernels})

    def _about(self, kernel: str) -> dict[str, str]:
        emulator, _image = self.machine(kernel)
        return {
            **self._identity(kernel),
            "qemu_version": emulator.version,
            **self.bundles()[kernel].part_digests(),
        }

    def bundles(self) -> dict[str, Bundle]:
        found = {kernel: self.machine(kernel) for kernel in self._kernels}
        return {
            kernel: Bundle(kernel, {"emulator": emulator.digest, "image": image.digest})
            for kernel, (emulator, image) in found.items()
        }

    async def prepare(self, step: Step) -> None:
        for kernel in self._kernels:
            found = find_template(*self.machine(kernel), step)
            self._templates[kernel] = found or await self._build_template(kernel, step)

    async def _build_template(self, kernel: str, step: Step) -> Template:
        emulator, image = self.machine(kernel)
        what = "template" if kernel == kernels.DEFAULT else f"template with {image.kernel}"
        built = await build_template(emulator, image, lambda doing: step(f"{what}: {doing}"))
        drop_old_templates(keep=[built.path, *(template.path for template in self._templates.values())])
        return built

    def machine(self, kernel: str = kernels.DEFAULT) -> tuple[Emulator, Image]:
        """Return the emulator and the image with *kernel* that :meth:`locate` found."""
        if self._emulator is None or kernel not in self._images:
            raise EngineError(f"locate() has not been called for the kernel {kernel}")
        return self._emulator, self._images[kernel]

    def template(self, kernel: str = kernels.DEFAULT) -> Template:
        """Return the template with *kernel* that :meth:`prepare` found or built."""
        if kernel not in self._templates:
            raise EngineError(f"prepare() has not been called for the kernel {kernel}")
        return self._templates[kernel]

    async def run(self, job: Job, directory: Path, worker: int, on_time: VirtualTime) -> None:
        emulator, _image = self.machine(job["kernel"])
        template = self.template(job["kernel"])
        console = directory.with_name(directory.name + ".console.log")
        arguments = qemu.machine_arguments(template.image, template.ram, share_ram=False)
        text = json.dumps(job, sort_keys=True).encode()
        processor = processor_of(worker)
        async with machine.start(
            emulator, arguments, text, console, processor=processor, state=template.state
        ) as guest:
            await watch.within(
                self._limits,
                job,
                asyncio.ensure_future(guest.run_until_stop()),
                lambda: guest.mailbox.virtual_ns,
                on_time,
                console=console,
                poll_s=_POLL_S,
            )
            await in_thread(partial(_take_record, guest, directory))
        for leftover in (console, console.with_suffix(".qemu")):
            leftover.unlink(missing_ok=True)

    async def watch(self, job: Job, steering: Steering) -> None:
        """Run a job that is watched.  Implements :class:`lab.engine.steering.Watchable`."""
        found, _image = self.machine(job["kernel"])
        template = self.template(job["kernel"])
        arguments = qemu.machine_arguments(template.image, template.ram, share_ram=False)
        text = json.dumps(job, sort_keys=True).encode()
        with scratch_folder("watched", lambda _message: None) as folder:
            async with machine.start(
                found,
                arguments,
                text,
                folder / "console.log",
                processor=processor_of(0),
                state=template.state,
                is_watched=True,
            ) as guest:
                await _steer(guest, steering)
                if _state_of(guest) is not State.DONE:
                    await in_thread(partial(_take_record, guest, folder))

    def close(self) -> None:
        """Do nothing: :meth:`prepare` acquires nothing that would have to be released."""


async def _steer(guest: Machine, steering: Steering) -> None:
    """Pass frames and control on until the trial has ended.  The guest stops the machine when it has to wait.

    Raises:
        GuestError: The guest has written something that is no frame.
    """
    while True:
        stopped = asyncio.ensure_future(guest.run_until_stop())
        try:
            while not stopped.done():
                await asyncio.wait((stopped,), timeout=_WATCHED_POLL_S)
                _exchange(guest, steering)
        finally:
            stopped.cancel()
        stopped.result()
        if _state_of(guest) is not State.RUNNING:
            return
        while steering.is_held:
            await asyncio.sleep(_WATCHED_POLL_S)
            _exchange(guest, steering)


def _exchange(guest: Machine, steering: Steering) -> None:
    try:
        for frame in guest.mailbox.frames():
            steering.saw(frame)
    except (MailboxError, ValueError) as exc:
        raise GuestError(f"what the agent tells cannot be read: {exc}", log=guest.console) from exc
    if (control := steering.control()) is not None:
        guest.mailbox.control = control


def _state_of(guest: Machine) -> State:
    try:
        return guest.mailbox.state
    except ValueError as exc:  # The guest has written a number that means nothing.
        raise GuestError(f"the agent's state cannot be read: {exc}", log=guest.console) from exc


def _take_record(guest: Machine, directory: Path) -> None:
    state = _state_of(guest)
    if state is not State.DONE:
        message = bytes(guest.mailbox.record).decode(errors="replace")
        raise watch.agent_failed(state.name, message, guest.console)
    try:
        watch.extract_record(io.BytesIO(guest.mailbox.record), directory)
    except (tarfile.TarError, MailboxError) as exc:
        raise GuestError(f"the agent's record cannot be read: {exc}", log=guest.console) from exc
    except OSError:
        shutil.rmtree(directory, ignore_errors=True)
        raise
