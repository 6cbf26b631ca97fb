# SPDX-License-Identifier: Apache-2.0
"""Debian's kernels: which versions Debian's archive offers, and the packages of those that have been used.

The archive keeps only some versions.  So the packages of each kernel of which an image was built stay in the cache: a
trial on an old kernel can still run after the archive has dropped it.  The folder of a kernel is named after its
release, package and version, and has a list of its files with their digests (:mod:`lab.store.integrity`).
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cmp_to_key
from importlib import resources
from pathlib import Path

from lab.engine.base import DAMAGED_ADVICE, Notice
from lab.engine.debian.bootstrap import Progress, bootstrap, files_for_hooks
from lab.errors import ImageError, InputError
from lab.job import kernels
from lab.names import kernel_and_version
from lab.store import integrity, places
from lab.store.folders import finished_folders, new_folder, unfinished_folder

_PACKAGE = re.compile(r"linux-image-([0-9][a-z0-9.+~-]*)")
_VERSION = re.compile(r"[0-9][A-Za-z0-9.+~-]*")


@dataclass(frozen=True)
class DebianKernel:
    """A kernel in Debian's archive, or in the cache."""

    name: str
    """The name of the release's kernel, as in :data:`lab.job.kernels.DEBIAN`."""
    package: str
    version: str

    @property
    def release(self) -> str:
        """The kernel's release, as ``uname -r`` prints it and as the package's name has it."""
        return self.package.removeprefix("linux-image-")

    @property
    def full_name(self) -> str:
        """The name with which experiments ask for exactly this kernel."""
        return f"{self.name}={self.version}"

    @property
    def folder(self) -> Path:
        """The folder of its packages in the cache."""
        return places.kernel_packages() / f"{self.name}_{self.package}_{self.version}"


def offered(names: Iterable[str], progress: Progress, *, mirror: str | None = None) -> list[DebianKernel]:
    """Return all kernels of these releases that the archive offers or the cache keeps, the oldest first.

    Each release takes some seconds, in which APT reads the lists of its packages.

    Raises:
        ImageError: The archive cannot be read.
    """
    found = [kernel for name in names for kernel in {*_in_archive(name, progress, mirror)[0], *kept(name)}]
    return in_order(found)


def kept(name: str) -> list[DebianKernel]:
    """Return the kernels of the release whose packages are in the cache."""
    found = []
    for folder in finished_folders(places.kernel_packages()):
        found_name, _, rest = folder.name.partition("_")
        package, _, version = rest.partition("_")
        if found_name == name and _PACKAGE.fullmatch(package) and _VERSION.fullmatch(version):
            found.append(DebianKernel(name, package, version))
    return found


def packages_of(kernel: str, progress: Progress, *, mirror: str | None = None) -> list[Path]:
    """Return the files of the packages of a Debian kernel, such as ``debian-13`` or ``debian-13=6.12.115-1``.

    Without a version, it is the newest kernel that the archive offers now.  The version may also be the kernel's
    release.  Packages that are in the cache are not downloaded again; without a network, they still serve.

    Raises:
        ImageError: The archive cannot be read.
        InputError: Neither the archive nor the cache has this version; the message lists what they have.
    """
    name, version = kernel_and_version(kernel)
    wanted = [found for found in kept(name) if version in (found.version, found.release)]
    if version and wanted and (files := _intact(wanted[0], progress)):
        return files
    found, newest = _in_archive(name, progress, mirror)
    wanted = [one for one in found if (version in (one.version, one.release) if version else one.package == newest)]
    if not wanted:
        raise InputError(_not_offered(kernel, name, found, kept(name)))
    # Parts of the archive may offer different versions of the same package.
    chosen = in_order(wanted)[-1]
    return _intact(chosen, progress) or _download(chosen, progress, mirror)


def in_order(found: Iterable[DebianKernel]) -> list[DebianKernel]:
    """Return kernels by their versions, the oldest first."""

    def compared(one: DebianKernel, other: DebianKernel) -> int:
        return compare_versions(one.version, other.version)

    return sorted(found, key=cmp_to_key(compared))


def _not_offered(kernel: str, name: str, found: Iterable[DebianKernel], own: Iterable[DebianKernel]) -> str:
    versions = {one.version for one in (*found, *own)}
    told = ", ".join(sorted(versions, key=cmp_to_key(compare_versions))) or "no kernel"
    return f"kernel: found {kernel}, which Debian's archive does not offer; of {name}, it offers {told}"


def _intact(kernel: DebianKernel, progress: Progress) -> list[Path]:
    """Return the packages of a kernel in the cache; none if they are not there, or not as they were written."""
    if not kernel.folder.is_dir():
        return []
    problem = integrity.problem_in(kernel.folder, ())
    if problem is not None:
        progress(Notice(f"the packages in {kernel.folder} are damaged: {problem}; {DAMAGED_ADVICE}"))
        return []
    return sorted(kernel.folder.glob("*.deb"))


def _in_archive(name: str, progress: Progress, mirror: str | None) -> tuple[set[DebianKernel], str]:
    """Return the kernels of a release that the archive offers, and the package of the newest."""
    progress(f"listing the kernels of {name}")
    with unfinished_folder(places.kernel_packages()) as partial:
        _run(name, [], partial, progress, mirror)
        lines = (partial / "out" / "kernels").read_text(encoding="ascii").splitlines()
        newest = (partial / "out" / "newest").read_text(encoding="ascii").strip()
    found = set()
    for package, _, version in (line.partition(" ") for line in lines):
        if not _PACKAGE.fullmatch(package) or not _VERSION.fullmatch(version):
            raise ImageError(f"Debian's archive offers {package!r} {version!r}; expected the package of a kernel")
        found.add(DebianKernel(name, package, version))
    return found, newest


def _download(kernel: DebianKernel, progress: Progress, mirror: str | None) -> list[Path]:
    progress(f"downloading {kernel.package} {kernel.version}")
    with unfinished_folder(places.kernel_packages()) as partial:
        _run(kernel.name, [kernel.package, kernel.version], partial, progress, mirror)
        files = sorted((partial / "out").glob("*.deb"))
        if not files:
            raise ImageError(f"APT has downloaded nothing for {kernel.package} {kernel.version}")
        with new_folder(kernel.folder, if_there="replace") as folder:
            for file in files:
                shutil.copyfile(file, folder / file.name)
            integrity.write_list(folder, becomes=kernel.folder)
    return sorted(kernel.folder.glob("*.deb"))


def _run(name: str, arguments: Sequence[str], target: Path, progress: Progress, mirror: str | None) -> None:
    """Run ``kernels.sh`` in an empty root file system of the release; what it leaves comes to *target*/out."""
    release = kernels.DEBIAN[name]
    script = resources.files("lab.engine.debian").joinpath("kernels.sh").read_bytes()
    log = places.cache_root() / "kernel-packages.log"
    with files_for_hooks({"kernels.sh": script}, progress) as folder:
        words = shlex.join([release, *arguments])
        hooks = [
            "--format=null",
            f'--customize-hook={shlex.quote(str(folder / "kernels.sh"))} "$1" {words}',
            f"--customize-hook=copy-out /out {shlex.quote(str(target))}",
        ]
        suite = release.removesuffix("-backports")
        bootstrap(hooks, "/dev/null", suite=suite, log=log, progress=lambda _step: None, mirror=mirror)


def compare_versions(one: str, other: str) -> int:
    """Return -1, 0 or 1, as *one* is older than *other*, the same, or newer (Debian Policy, section 5.6.12).

    Raises:
        ImageError: dpkg is not installed.
    """
    for answer, relation in ((-1, "lt"), (1, "gt")):
        try:
            done = subprocess.run(["dpkg", "--compare-versions", one, relation, other], check=False)
        except OSError as error:
            raise ImageError(f"cannot run dpkg, which compares versions: {error.strerror}") from error
        if done.returncode == 0:
            return answer
    return 0
