# SPDX-License-Identifier: Apache-2.0
"""Take QEMU and ``mkfs.erofs`` from Debian's packages, with all that they load, and find them in the cache.

An emulator is a folder whose name is the digest of its content.  It needs nothing of the host but its kernel: the
programs are started by the folder's own dynamic loader, and find their libraries and firmware in the folder::

    ld-linux-x86-64.so.2  the dynamic loader
    qemu-system-x86_64    QEMU
    mkfs.erofs            which writes the root file systems of guest images
    lockstep.so           the library that makes QEMU's threads take turns, compiled from lockstep.c
    *.so.*, *.bin         the libraries that they load, and the firmware
    packages              all packages with their versions and the SHA-256 of their files
    info.json             the recipe, the version of QEMU, and when the emulator was built
    files.json            the size and the SHA-256 of each file

The list of packages is not part of the digest: an update that changes none of the files does not make it another
emulator.
"""

from __future__ import annotations

import contextlib
import contextvars
import hashlib
import json
import platform
import re
import shlex
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib import resources
from pathlib import Path

from lab.engine.base import Notice, Step
from lab.engine.debian.bootstrap import SUITE, Progress, bootstrap, check_tools, files_for_hooks
from lab.engine.debian.builds import (
    DESCRIPTIONS,
    Build,
    DamagedBuildError,
    content_digest,
    find_build,
    found_or_built,
    list_builds,
    open_build,
    publish_build,
)
from lab.engine.debian.stopping import held
from lab.errors import ImageError
from lab.store import places
from lab.store.folders import remove_leftovers, unfinished_folder

PACKAGES = ("base-files", "coreutils", "dpkg", "erofs-utils", "gcc", "libc6-dev", "qemu-system-x86", "seabios")
LOADER = "ld-linux-x86-64.so.2"
LOCKSTEP = "lockstep.so"
MKFS = "mkfs.erofs"
QEMU = "qemu-system-x86_64"
_COMPILER_FLAGS = ("-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC")


@dataclass(frozen=True, kw_only=True)
class Emulator(Build):
    """A finished emulator in the cache."""

    contents = (LOADER, LOCKSTEP, MKFS, QEMU, "packages")
    programs = (LOADER, MKFS, QEMU)

    version: str
    """The version of QEMU, as ``qemu-system-x86_64 --version`` prints it."""

    def content_names(self) -> list[str]:
        return _content_names(self.path)


def command_of(program: str, *, preload: str | None = None) -> list[str]:
    """Return the command that starts *program* (:data:`QEMU` or :data:`MKFS`) with the emulator's own libraries.

    It must be run in the folder of the emulator: the dynamic loader takes lists of paths, in which a colon or a space
    separates them, so the path of the cache cannot be in the command.  *preload* is the name of a library of the
    emulator that is loaded before all others.
    """
    more = [] if preload is None else ["--preload", f"./{preload}"]
    return [f"./{LOADER}", "--library-path", ".", *more, f"./{program}"]


def recipe_digest() -> str:
    """Return a digest of everything that determines what :func:`build_emulator` builds, except package versions."""
    recipe = {
        "suite": SUITE,
        "packages": PACKAGES,
        "flags": _COMPILER_FLAGS,
        "machine": platform.machine(),
        **{name: content.decode() for name, content in _sources().items()},
    }
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()


def find_emulator() -> Emulator | None:
    """Return the emulator that was last built from the current recipe; None if it is not in the cache.

    Raises:
        DamagedBuildError: It is in the cache, but it is not what was built.
    """
    return find_build(Emulator, places.emulators(), recipe_digest())


def locate_emulator(step: Step, *, stop: threading.Event | None = None) -> Emulator:
    """Return the current emulator; build it if it is not in the cache, or damaged.

    Raises:
        ImageError: It cannot be built.
        StoppedError: *stop* was set while it was being built.
    """
    build = partial(build_emulator, stop=stop)
    return found_or_built("QEMU", find_emulator, build, step, kind="emulator", stop=stop)


@contextlib.contextmanager
def emulator_located_beside(step: Step) -> Iterator[Callable[[], Emulator]]:
    """Let another thread do what :func:`locate_emulator` does while the block does something else.

    Yields a function that waits for the emulator and returns it.  If the block fails, the build is stopped.
    """
    stop = threading.Event()
    with ThreadPoolExecutor(1, "emulator") as pool:
        # Which builds are chosen is part of the context, which threads do not share.
        found = pool.submit(contextvars.copy_context().run, partial(locate_emulator, step, stop=stop))
        try:
            yield found.result
        except BaseException:
            stop.set()
            raise


def open_emulator(digest: str) -> Emulator | None:
    """Return the emulator with this digest; None if it is not in the cache.  Its files are not checked.

    Raises:
        DamagedBuildError: The description of the emulator is damaged.
    """
    return open_build(Emulator, places.emulators(), digest)


def list_emulators() -> tuple[list[Emulator], list[DamagedBuildError]]:
    """Return all emulators in the cache, oldest first, and what is wrong with those that cannot be used."""
    return list_builds(Emulator, places.emulators())


def build_emulator(progress: Progress, *, mirror: str | None = None, stop: threading.Event | None = None) -> Emulator:
    """Make an emulator from Debian packages, which takes less than a minute and downloads about 110 MB.

    Args:
        progress: Called with a description of each step.
        mirror: The Debian mirror to use; None for mmdebstrap's default.
        stop: Another thread sets it to end the build early.

    Raises:
        ImageError: A tool is missing or fails, or this is another kind of processor.  The message names the log.
        StoppedError: *stop* was set.
    """
    if platform.machine() != "x86_64":
        raise ImageError(
            f"this machine is {platform.machine()}, and lab's QEMU is for x86_64 (docs/explanation/engines.md says "
            "what is known of other hosts)"
        )
    check_tools()
    with held(places.builder_lock("emulator"), stop):
        for message in remove_leftovers(places.emulators()):
            progress(Notice(message))
        with unfinished_folder(places.emulators()) as folder:
            try:
                return _build(folder, progress, mirror, stop)
            except OSError as exc:
                raise ImageError(f"cannot build the emulator in {folder}: {exc}") from exc


def _build(folder: Path, progress: Progress, mirror: str | None, stop: threading.Event | None) -> Emulator:
    log = places.cache_root() / "emulator-build.log"
    # The sources may change while the emulator is built.
    recipe = recipe_digest()
    with files_for_hooks(dict(_sources()), progress) as given:
        script = shlex.join([str(given / "collect.sh")])
        hooks = [
            "--format=null",
            f'--extract-hook={script} "$1" {shlex.join(_COMPILER_FLAGS)}',
            f"--extract-hook=copy-out /emulator {shlex.quote(str(folder))}",
        ]
        bootstrap(
            hooks, "/dev/null", packages=PACKAGES, log=log, progress=progress, mirror=mirror, installs=False, stop=stop
        )
    for file in (folder / "emulator").iterdir():
        file.rename(folder / file.name)
    (folder / "emulator").rmdir()
    digest = content_digest(folder, _content_names(folder))
    emulator = Emulator(
        digest=digest,
        path=places.emulators() / digest,
        version=_version(folder),
        built=datetime.now(UTC).isoformat(timespec="seconds"),
        recipe=recipe,
    )
    publish_build(folder, emulator)
    return emulator


def _content_names(folder: Path) -> list[str]:
    """Return the names of the files that are started or loaded, sorted."""
    return sorted({path.name for path in folder.iterdir()} - {"packages", *DESCRIPTIONS})


def _version(folder: Path) -> str:
    """Return what the QEMU in *folder* says about its version.

    Raises:
        ImageError: It does not run.
    """
    done = subprocess.run(
        [*command_of(QEMU), "--version"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    first = done.stdout.partition("\n")[0]
    found = re.fullmatch(r"QEMU emulator version (\d+\.\d+\S*.*)", first)
    if found is None:
        raise ImageError(f"QEMU of Debian's package does not run here: {QEMU} --version printed {first!r}")
    return found[1]


def _sources() -> dict[str, bytes]:
    """Return the files of the hook, by name."""
    folder = resources.files("lab.engine.emulator")
    return {name: folder.joinpath(name).read_bytes() for name in ("collect.sh", "lockstep.c")}
