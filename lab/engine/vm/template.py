# SPDX-License-Identifier: Apache-2.0
"""Build and find templates: snapshots of a virtual machine in which the agent is ready to run a job.

A template is saved once and restored for every trial.  It is a folder whose name is the digest of everything that went
into it::

    ram.img      the guest's memory, as a sparse file; trials map it copy-on-write
    state        the rest of the machine's state (about 300 KB)
    console.log  the output of the guest's kernel
    info.json    the digests of everything that went into the template
    files.json   the size and the SHA-256 of each file
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import mmap
import os
import shutil
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.engine import sources
from lab.engine.base import DAMAGED_ADVICE, Notice, Step
from lab.engine.bundles import digest_of
from lab.engine.emulator.build import Emulator
from lab.engine.image.build import Image
from lab.engine.selftest import self_test_job
from lab.engine.vm import machine, qemu
from lab.errors import EngineError, LabError, TrialError
from lab.job.mailbox import State
from lab.store import integrity, places
from lab.store.folders import by_last_use, mark_used, publish, remove_folder, remove_leftovers, unfinished_folder

BUILD_LIMIT_S = 600.0
"""The maximum time that building a template may take."""
_CHUNK = 1 << 20
_NEEDED = ("ram.img", "state", "info.json")


@dataclass(frozen=True)
class Template:
    """A finished template in the cache."""

    path: Path
    image: Image
    identity: dict[str, str]

    @property
    def ram(self) -> Path:
        """The path of the guest's memory."""
        return self.path / "ram.img"

    @property
    def state(self) -> Path:
        """The path of the rest of the machine's state."""
        return self.path / "state"


def identity(emulator: Emulator, image: Image) -> dict[str, str]:
    """Return the digests of everything besides the job on which a trial's record depends."""
    arguments = qemu.machine_arguments(image, Path("ram"), share_ram=True)
    # The path of the image is removed because it has no influence.  In QEMU's options, its commas are doubled.
    place = str(image.path).replace(",", ",,")
    setup = [[argument.replace(place, "") for argument in arguments], qemu.KERNEL_ARGUMENTS, self_test_job()]
    machine_text = json.dumps(setup, sort_keys=True)
    return {
        "bundle_digest": digest_of({"emulator": emulator.digest, "image": image.digest}),
        "agent_digest": sources.digest(sources.agent_files()),
        "bpf_digest": sources.digest(sources.bpf_files()),
        "machine_digest": hashlib.sha256(machine_text.encode()).hexdigest(),
    }


def key_of(digests: dict[str, str]) -> str:
    """Return the name of the folder of a template with this identity."""
    return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()


def find_template(emulator: Emulator, image: Image, step: Step = lambda _what: None) -> Template | None:
    """Return the template for this emulator and image from the cache, or None if there is none.

    A damaged template counts as none; ``step`` is called with a message that says what is wrong with it.
    """
    digests = identity(emulator, image)
    path = places.templates() / key_of(digests)
    if not path.exists():
        return None
    problem = integrity.problem_in(path, _NEEDED) or _problem_of_info(path, digests)
    if problem is not None:
        step(Notice(f"the template {path} is damaged: {problem}; {DAMAGED_ADVICE}"))
        return None
    mark_used(path)
    return Template(path=path, image=image, identity=digests)


def _problem_of_info(path: Path, digests: dict[str, str]) -> str | None:
    """Return a message if the description in the folder *path* is not that of a template with this identity."""
    try:
        same = json.loads((path / "info.json").read_bytes()) == digests
    except (OSError, ValueError):
        same = False
    return None if same else "info.json describes another template"


async def build_template(emulator: Emulator, image: Image, step: Step) -> Template:
    """Build the template for this emulator and image, unless another process has just built it.

    The machine is booted, runs the self-test, and is saved when the agent is ready.

    Raises:
        EngineError: The template cannot be built.  The message names the log of the guest's console.
    """
    # Another lab may hold the lock for a minute, so waiting for it must not block the event loop.
    lock = places.builder_lock("template")
    stop = threading.Event()
    try:
        await asyncio.to_thread(lock.acquire, cancel_check=stop.is_set)
    finally:
        stop.set()  # A wait that is cancelled ends.
    try:
        existing = find_template(emulator, image)
        if existing is not None:
            return existing
        for message in remove_leftovers(places.templates()):
            step(Notice(message))
        digests = identity(emulator, image)
        final = places.templates() / key_of(digests)
        with unfinished_folder(places.templates()) as partial:
            try:
                async with asyncio.timeout(BUILD_LIMIT_S):
                    await _build(emulator, image, partial, step)
                (partial / "info.json").write_text(json.dumps(digests, indent=1) + "\n", encoding="utf-8")
                await asyncio.to_thread(integrity.write_list, partial, becomes=final)
                # A folder of this name can only be a damaged one.
                publish(partial, final, if_there="replace")
            except TimeoutError:
                raise EngineError(f"the template is not ready after {BUILD_LIMIT_S:g} s{_kept_log(partial)}") from None
            except OSError as exc:
                raise EngineError(f"cannot build the template in {partial}: {exc}") from exc
            except LabError as exc:
                # The log that a TrialError names goes away with the folder.
                reason = exc.reason if isinstance(exc, TrialError) else exc
                raise EngineError(f"the template cannot be built: {reason}{_kept_log(partial)}") from exc
        return Template(path=final, image=image, identity=digests)
    finally:
        lock.release()


async def _build(emulator: Emulator, image: Image, partial: Path, step: Step) -> None:
    step("booting the guest")
    initramfs = partial / "initramfs"
    initramfs.write_bytes(image.boot_archive.read_bytes() + sources.archive())
    ram = partial / "ram.img"
    with open(ram, "wb") as file:
        file.truncate(qemu.RAM_MIB << 20)
    arguments = [*qemu.machine_arguments(image, ram, share_ram=True), *qemu.boot_arguments(image, initramfs)]
    job = json.dumps(self_test_job()).encode()
    console = partial / "console.log"
    async with machine.start(emulator, arguments, job, console, processor=None) as guest:
        running = asyncio.ensure_future(guest.run_until_stop())
        while not running.done() and guest.mailbox.state is not State.STARTED:
            await asyncio.wait((running,), timeout=0.1)
        step("compiling the collectors and testing the guest")
        await running
        if guest.mailbox.state is not State.READY:
            message = bytes(guest.mailbox.record).decode(errors="replace").strip()
            raise EngineError(f"the agent is not ready: {message or guest.mailbox.state.name}")
        step("saving the template")
        await guest.save(partial / "state")
    await asyncio.to_thread(_dig_holes, ram)
    initramfs.unlink()
    console.with_suffix(".qemu").unlink()


def _dig_holes(path: Path) -> None:
    """Make a file sparse: copy only the pages that are not all zeros, and replace the file by the copy."""
    copy = path.with_suffix(".sparse")
    page = bytes(mmap.PAGESIZE)
    with open(path, "rb") as source, open(copy, "wb") as target:
        for begin, end in _extents(source.fileno()):
            for start in range(begin, end, _CHUNK):
                chunk = os.pread(source.fileno(), min(_CHUNK, end - start), start)
                for offset in range(0, len(chunk), len(page)):
                    if chunk[offset : offset + len(page)] != page:
                        os.pwrite(target.fileno(), chunk[offset : offset + len(page)], start + offset)
        target.truncate(os.fstat(source.fileno()).st_size)
    copy.replace(path)


def _extents(file: int) -> Iterator[tuple[int, int]]:
    """Yield the beginning and the end of each part of a file that is not a hole already."""
    end = 0
    while True:
        try:
            begin = os.lseek(file, end, os.SEEK_DATA)
        except OSError as exc:
            if exc.errno != errno.ENXIO:
                raise
            return  # There are no more data.
        end = os.lseek(file, begin, os.SEEK_HOLE)
        yield begin, end


def _kept_log(partial: Path) -> str:
    """Copy the guest's console out of the folder of a failed build, and return a text that names the copy."""
    console = partial / "console.log"
    if not console.exists():
        return ""
    kept = places.cache_root() / "template-build.log"
    shutil.copyfile(console, kept)
    return f" (log: {kept})"


def drop_old_templates(*, keep: Collection[Path], most: int = 4) -> None:
    """Remove old templates from the cache.

    The templates in ``keep`` stay.  Of the others, the most recently used ones stay, up to ``most`` templates in total.
    """
    others = [path for path in by_last_use([places.templates()]) if path not in keep]
    for path in others[max(0, most - len(keep)) :]:
        remove_folder(path)
