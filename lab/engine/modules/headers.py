# SPDX-License-Identifier: Apache-2.0
"""Get the headers of exactly a guest's kernel from Debian, with the compiler of the same release, and keep them.

They are a folder in the cache whose name is the digest of its content::

    tools.tar    a root file system with the headers, the compiler and make
    packages     all packages with their versions
    info.json    the recipe, the kernel, and when this was built
    files.json   the size and the SHA-256 of each file
"""

from __future__ import annotations

import hashlib
import json
import shlex
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

from lab.engine.base import Notice
from lab.engine.debian.bootstrap import Progress, bootstrap, check_tools, files_for_hooks, package_list
from lab.engine.debian.builds import Build, content_digest, find_build, publish_build
from lab.engine.image.build import Image
from lab.errors import ImageError, InputError
from lab.job import kernels
from lab.names import kernel_and_version
from lab.store import places
from lab.store.folders import remove_leftovers, unfinished_folder

PACKAGES = ("apt",)
"""What the root file system begins with, besides Debian's essential packages."""


@dataclass(frozen=True, kw_only=True)
class Headers(Build):
    """The headers of a kernel, and what modules are compiled with, in the cache."""

    contents = ("tools.tar", "packages")

    kernel: str
    """The kernel's release, as ``uname -r`` prints it."""
    version: str
    """The version of the kernel's package."""

    @property
    def archive(self) -> Path:
        """The path of the root file system, a tar archive."""
        return self.path / "tools.tar"

    @property
    def folder(self) -> str:
        """The folder of the headers in the root file system."""
        return f"/usr/src/linux-headers-{self.kernel}"

    @property
    def packages_sha256(self) -> str:
        """The SHA-256 of the list of packages, in hexadecimal."""
        return hashlib.sha256((self.path / "packages").read_bytes()).hexdigest()


def version_in(image: Image) -> str:
    """Return the version of the package with the kernel of an image.

    Raises:
        InputError: The kernel is not Debian's own.
    """
    name = kernel_and_version(image.kernel_name)[0]
    wanted = f"linux-image-{image.kernel} "
    lines = (image.path / "packages").read_text(encoding="utf-8").splitlines()
    found = [line.split()[1] for line in lines if line.startswith(wanted)]
    if name not in kernels.DEBIAN or len(found) != 1:
        raise InputError(
            f"kernel: found {image.kernel_name}, whose headers lab does not know; expected one of Debian's kernels "
            f"({', '.join(kernels.DEBIAN)}) for a congestion control that is a kernel module"
        )
    return found[0]


def recipe_digest(image: Image) -> str:
    """Return a digest of what :func:`build_headers` builds for the kernel of an image, except package versions."""
    return _digest([common_recipe(), _suite(image), image.kernel, version_in(image)])


def common_recipe() -> str:
    """Return a digest of what the recipes for all kernels have in common, which is known before there is an image."""
    return _digest([PACKAGES, {name: content.decode() for name, content in _hook().items()}])


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def find_headers(image: Image) -> Headers | None:
    """Return the headers for the kernel of an image; None if they are not in the cache.

    Raises:
        DamagedBuildError: They are in the cache, but they are not what was built.
    """
    return find_build(Headers, places.kernel_headers(), recipe_digest(image))


def build_headers(image: Image, progress: Progress, *, mirror: str | None = None) -> Headers:
    """Get the headers for the kernel of an image from Debian, which takes about a minute.

    Raises:
        ImageError: mmdebstrap is missing or fails, or Debian's archive no longer offers them.  The message names the
            log.
    """
    check_tools()
    with places.builder_lock("kernel-headers"):
        for message in remove_leftovers(places.kernel_headers()):
            progress(Notice(message))
        with unfinished_folder(places.kernel_headers()) as partial:
            try:
                return _build(partial, image, progress, mirror)
            except OSError as exc:
                raise ImageError(f"cannot get the headers of {image.kernel} in {partial}: {exc}") from exc


def _build(partial: Path, image: Image, progress: Progress, mirror: str | None) -> Headers:
    recipe, version = recipe_digest(image), version_in(image)
    suite = _suite(image)
    with files_for_hooks(_hook(), progress) as folder:
        words = shlex.join([suite, image.kernel, version])
        hooks = [
            f'--customize-hook={shlex.quote(str(folder / "headers.sh"))} "$1" {words}',
            f"--customize-hook=download /lab-packages {shlex.quote(str(partial / 'packages'))}",
        ]
        log = places.cache_root() / "kernel-headers.log"
        target, first = str(partial / "tools.tar"), suite.removesuffix("-backports")
        bootstrap(hooks, target, packages=PACKAGES, suite=first, log=log, progress=progress, mirror=mirror)
    digest = content_digest(partial, Headers.contents)
    headers = Headers(
        digest=digest,
        path=places.kernel_headers() / digest,
        kernel=image.kernel,
        version=version,
        built=datetime.now(UTC).isoformat(timespec="seconds"),
        recipe=recipe,
    )
    publish_build(partial, headers)
    return headers


def _suite(image: Image) -> str:
    return kernels.DEBIAN.get(kernel_and_version(image.kernel_name)[0], "")


def _hook() -> dict[str, bytes]:
    """Return the files of the hook, by name."""
    script = resources.files("lab.engine.modules").joinpath("headers.sh").read_bytes()
    return {"headers.sh": script, **package_list()}
