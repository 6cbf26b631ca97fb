# SPDX-License-Identifier: Apache-2.0
"""Template snapshots: a machine in which the agent is ready, saved once and restored for every trial.

A template is a folder named by the digest of all that went into it::

    ram.img      the guest's memory, sparse; trials map it copy-on-write
    state        what else makes up the machine (some 300 KB)
    console.log  what the guest's kernel printed
    info.json    digests
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from lab.engine import sources
from lab.engine.base import Step
from lab.engine.image.build import Image
from lab.engine.vm import lockstep, machine, qemu
from lab.engine.vm.qemu import Qemu
from lab.engine.vm.selftest import self_test_job
from lab.errors import EngineError, LabError, TrialTimeoutError
from lab.job.mailbox import State
from lab.store import places
from lab.store.folders import by_last_use, mark_used, publish, remove_folder, remove_leftovers, unfinished_folder

BUILD_LIMIT_S = 600.0
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Template:
    path: Path
    image: Image
    identity: dict[str, str]

    @property
    def ram(self) -> Path:
        return self.path / "ram.img"

    @property
    def state(self) -> Path:
        return self.path / "state"


def identity(found: Qemu, image: Image) -> dict[str, str]:
    """All that a trial's record depends on besides its job."""
    arguments = qemu.machine_arguments(image, Path("ram"), share_ram=True)
    # Where the image lies does not matter; QEMU's options have commas doubled.
    place = str(image.path).replace(",", ",,")
    setup = [[argument.replace(place, "") for argument in arguments], qemu.KERNEL_ARGUMENTS, self_test_job()]
    machine_text = json.dumps(setup, sort_keys=True)
    return {
        "qemu_version": found.version,
        "image_digest": image.digest,
        "agent_digest": sources.digest(sources.agent_files()),
        "bpf_digest": sources.digest(sources.bpf_files()),
        "lockstep_digest": lockstep.digest(),
        "machine_digest": hashlib.sha256(machine_text.encode()).hexdigest(),
    }


def key_of(digests: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()


def find_template(found: Qemu, image: Image) -> Template | None:
    digests = identity(found, image)
    path = places.templates() / key_of(digests)
    if not (path / "info.json").exists():
        return None
    mark_used(path)
    return Template(path=path, image=image, identity=digests)


async def build_template(found: Qemu, image: Image, step: Step) -> Template:
    """Boot, let the agent get ready, save.  Raises :class:`~lab.errors.EngineError` with the guest's log."""
    # The lock may be held for a minute by another lab: wait for it without stopping the event loop.
    lock = places.builder_lock("template")
    await asyncio.to_thread(lock.acquire)
    try:
        existing = find_template(found, image)
        if existing is not None:
            return existing
        remove_leftovers(places.templates())
        digests = identity(found, image)
        final = places.templates() / key_of(digests)
        with unfinished_folder(places.templates()) as partial:
            try:
                await asyncio.wait_for(_build(found, image, partial, step), BUILD_LIMIT_S)
                (partial / "info.json").write_text(json.dumps(digests, indent=1) + "\n", encoding="utf-8")
                # What is there without info.json is damaged.
                publish(partial, final, if_there="replace")
            except TimeoutError:
                raise EngineError(f"the template is not ready after {BUILD_LIMIT_S:g} s{_kept_log(partial)}") from None
            except OSError as exc:
                raise EngineError(f"cannot build the template in {partial}: {exc}") from exc
            except TrialTimeoutError as exc:
                raise EngineError(exc.reason) from exc
            except LabError as exc:
                raise EngineError(f"the template cannot be built: {exc}{_kept_log(partial)}") from exc
        return Template(path=final, image=image, identity=digests)
    finally:
        lock.release()


async def _build(found: Qemu, image: Image, partial: Path, step: Step) -> None:
    step("booting the guest")
    initramfs = partial / "initramfs"
    initramfs.write_bytes(image.boot_archive.read_bytes() + sources.archive())
    ram = partial / "ram.img"
    with open(ram, "wb") as file:
        file.truncate(qemu.RAM_MIB << 20)
    arguments = [*qemu.machine_arguments(image, ram, share_ram=True), *qemu.boot_arguments(image, initramfs)]
    job = json.dumps(self_test_job()).encode()
    console = partial / "console.log"
    async with machine.start(found, arguments, job, console, processor=None) as guest:
        running = asyncio.ensure_future(guest.run_until_stop())
        while not running.done() and guest.mailbox.state is not State.STARTED:
            await asyncio.wait((running,), timeout=0.1)
        step("compiling the collectors and testing the guest")
        await running
        if guest.mailbox.state is not State.READY:
            said = bytes(guest.mailbox.record).decode(errors="replace").strip()
            raise EngineError(f"the agent is not ready: {said or guest.mailbox.state.name}")
        step("saving the template")
        await guest.save(partial / "state")
    await asyncio.to_thread(_dig_holes, ram)
    initramfs.unlink()
    console.with_suffix(".qemu").unlink()


def _dig_holes(path: Path) -> None:
    """Make a sparse file of one with stretches of zeros: copy only what is not zero."""
    copy = path.with_suffix(".sparse")
    with open(path, "rb") as source, open(copy, "wb") as target:
        position = 0
        zeros = bytes(_CHUNK)
        page = bytes(4096)
        while chunk := source.read(_CHUNK):
            if chunk != zeros:
                for offset in range(0, len(chunk), 4096):
                    if chunk[offset : offset + 4096] != page:
                        os.pwrite(target.fileno(), chunk[offset : offset + 4096], position + offset)
            position += len(chunk)
        target.truncate(position)
    copy.replace(path)


def _kept_log(partial: Path) -> str:
    """The guest's console outlives the failed build; returns the words that say where."""
    console = partial / "console.log"
    if not console.exists():
        return ""
    kept = places.cache_root() / "template-build.log"
    shutil.copyfile(console, kept)
    return f" (log: {kept})"


def drop_old_templates(*, keep: Collection[Path], most: int = 4) -> None:
    """Keep those of ``keep``, and of the others those that were used last, until there are ``most``."""
    others = [path for path in by_last_use([places.templates()]) if path not in keep]
    for path in others[max(0, most - len(keep)) :]:
        remove_folder(path)
