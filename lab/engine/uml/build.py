# SPDX-License-Identifier: Apache-2.0
"""Compile the kernel of User-mode Linux from Debian's source package, and find it in the cache.

A kernel is a folder whose name is the digest of the kernel and its configuration::

    linux      the kernel, a program that needs nothing of the host but its kernel
    config     its complete configuration
    packages   the source package and all packages of the compiler's root file system, with their versions
    info.json  the recipe, the release, and when the kernel was built
    files.json the size and the SHA-256 of each file

Packages are not part of the digest: an update that does not change the kernel does not make it another one.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from lab.engine.base import Notice
from lab.engine.debian.bootstrap import SUITE, Progress, bootstrap, check_tools, files_for_hooks, package_list
from lab.engine.debian.builds import (
    Build,
    DamagedBuildError,
    content_digest,
    find_build,
    list_builds,
    publish_build,
)
from lab.errors import ImageError
from lab.job import kernels
from lab.store import places
from lab.store.folders import remove_leftovers, unfinished_folder

PACKAGES = (
    "apt", "bc", "bison", "flex", "gcc", "libc6-dev", "libelf-dev", "make", "pahole", "patch", "python3-minimal",
    "xz-utils", "zlib1g-dev",
)  # fmt: skip
"""What is needed to compile a kernel."""


@dataclass(frozen=True, kw_only=True)
class UmlKernel(Build):
    """A finished kernel in the cache."""

    contents = ("linux", "config")
    programs = ("linux",)

    name: str
    """The kernel's name in the form of :mod:`lab.job.kernels`."""
    release: str
    """The kernel's release, as ``uname -r`` prints it."""

    @property
    def program(self) -> Path:
        """The path of the kernel."""
        return self.path / "linux"


def recipe_digest(name: str) -> str:
    """Return a digest of everything that determines what :func:`build_kernel` builds, except package versions."""
    total = hashlib.sha256()
    head = [SUITE, kernels.UML[name], PACKAGES, platform.machine()]
    total.update(json.dumps(head).encode())
    for path, content in _sources():
        total.update(f"{path} {len(content)}\n".encode() + content)
    return total.hexdigest()


def find_kernel(name: str) -> UmlKernel | None:
    """Return the kernel *name* that was last built from the current recipe; None if it is not in the cache.

    Raises:
        DamagedBuildError: It is in the cache, but it is not what was built.
    """
    return find_build(UmlKernel, places.uml_kernels(), recipe_digest(name))


def list_kernels() -> tuple[list[UmlKernel], list[DamagedBuildError]]:
    """Return all kernels in the cache, oldest first, and what is wrong with those that cannot be used."""
    return list_builds(UmlKernel, places.uml_kernels())


def build_kernel(name: str, progress: Progress, *, mirror: str | None = None) -> UmlKernel:
    """Compile the kernel *name* (one of :data:`lab.job.kernels.UML`).

    This downloads about 300 MB, needs 3 GB in ``/var/tmp``, and takes about 8 minutes of processor time.

    Args:
        name: The kernel.
        progress: Called with a description of each step.
        mirror: The Debian mirror to use; None for mmdebstrap's default.

    Raises:
        ImageError: A tool is missing or fails, or this is another kind of processor.  The message names the log.
    """
    if platform.machine() != "x86_64":
        raise ImageError(f"lab builds User-mode Linux for x86_64 only; this machine is {platform.machine()}")
    check_tools()
    with places.builder_lock("uml-kernel"):
        for message in remove_leftovers(places.uml_kernels()):
            progress(Notice(message))
        with unfinished_folder(places.uml_kernels()) as partial:
            try:
                return _build(partial, name, progress, mirror)
            except OSError as exc:
                raise ImageError(f"cannot build the kernel in {partial}: {exc}") from exc


def _build(partial: Path, name: str, progress: Progress, mirror: str | None) -> UmlKernel:
    results = [*UmlKernel.contents, "packages", "release"]
    log = places.cache_root() / "uml-kernel-build.log"
    # The sources may change while the kernel is built, which takes minutes.
    recipe = recipe_digest(name)
    with files_for_hooks(dict(_sources()), progress) as folder:
        script, given = shlex.quote(str(folder / "build.sh")), shlex.quote(str(folder))
        arguments = [
            "--format=null",
            f'--customize-hook={script} "$1" {kernels.UML[name]} {given}',
            *(f"--customize-hook=download /var/tmp/lab/{file} {shlex.quote(str(partial / file))}" for file in results),
        ]
        bootstrap(arguments, "/dev/null", packages=PACKAGES, log=log, progress=progress, mirror=mirror)
    release = (partial / "release").read_text(encoding="ascii").strip()
    (partial / "release").unlink()
    (partial / "linux").chmod(0o755)
    digest = content_digest(partial, UmlKernel.contents)
    kernel = UmlKernel(
        digest=digest,
        path=places.uml_kernels() / digest,
        name=name,
        release=release,
        built=datetime.now(UTC).isoformat(timespec="seconds"),
        recipe=recipe,
    )
    publish_build(partial, kernel)
    return kernel


def _sources() -> Iterator[tuple[str, bytes]]:
    """Yield (relative path, content) of the build script, the configuration and the patches, sorted by path."""
    folder = resources.files("lab.engine.uml").joinpath("kernel")
    yield from sorted([*_files_in(folder, ""), *package_list().items()])


def _files_in(folder: Traversable, prefix: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        path = f"{prefix}{entry.name}"
        if entry.is_dir():
            yield from _files_in(entry, f"{path}/")
        elif path in ("build.sh", "config") or path.endswith(".patch"):
            yield path, entry.read_bytes()
