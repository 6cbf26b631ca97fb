# SPDX-License-Identifier: Apache-2.0
"""Take the kernel, its configuration and its modules from Debian packages, and nothing else.

A package may come from anywhere, and an image is often built by root.  So dpkg does not unpack the package; this module
reads the package's archive and decides about each member:

=====================================================  ================================================================
``boot/vmlinuz-RELEASE``, ``boot/config-RELEASE``,     taken; they must be regular files
``lib/modules/RELEASE/…``
``usr/lib/modules/RELEASE/…``                          taken, too: packages of Debian 13 have this path.  ``vmlinuz``
                                                       and ``config`` become ``boot/vmlinuz-RELEASE`` and so on
``lib/modules/RELEASE/build``, ``…/source``            left out if they are symbolic links, as in many packages
``lib/modules/RELEASE/vdso``, ``…/System.map``         left out
other files, folders and links                         left out
folders above those that are taken                     must be folders
devices, names with ``..``, absolute names             refused anywhere
=====================================================  ================================================================

The module is run in the root file system of the image, ``python3 -m lab.engine.image.package``, while the image is
made.  It therefore uses only the standard library, and imports only what :data:`SHIPPED` lists.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

from lab.engine.archives import PlainTarInfo, RefusedMemberError, parts_of

SHIPPED = ("engine/archives.py", "engine/image/package.py")
"""The files that this module consists of when it runs in the root file system, relative to the folder of ``lab``."""

MOST_MEMBERS = 200_000
"""The largest number of members of a package.  Debian's largest kernel has 5000."""
MOST_BYTES = 8 << 30
"""The largest size of all members of a package together."""
MOST_TAKEN_BYTES = 3 << 29
"""The largest size of the files that are taken from all packages: more than 1.5 GiB would not fit beside the guest's
memory into the 4 GiB of its address space (``maxmem`` in :mod:`lab.engine.vm.qemu`)."""

EXPECTED = "expected one kernel (boot/vmlinuz-RELEASE) with its modules (lib/modules/RELEASE)"

_MODULES = ("usr", "lib", "modules")
_FOLDERS = {(), ("boot",), ("usr",), ("usr", "lib"), _MODULES}
"""The folders above those that are taken."""
_LEFT_OUT = ("System.map", "vdso")
"""What else is beside the modules.  ``vdso`` may contain links that are named after build ids."""
_RELEASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_~-]{0,63}")
_TAKEN_NAME = re.compile(r"[!-~]+")
_CONTROL = {"Package": re.compile(r"[a-z0-9][a-z0-9+.-]+"), "Version": re.compile(r"[0-9][A-Za-z0-9.+:~-]*")}
"""Field of a package → what it may be (Debian Policy, sections 5.6.1 and 5.6.12)."""


class PackageError(Exception):
    """A package cannot be used; the message names its file and, if there is one, the member that is the reason."""


class Selection:
    """Which members of one or several packages are taken, and what has been taken so far."""

    def __init__(self) -> None:
        self.release: str | None = None
        """The kernel's release, as in the path of its modules."""
        self.files: set[str] = set()
        """The paths of the taken files in the root file system."""
        self._folders: set[str] = set()
        self._kernels: set[str] = set()
        self._members = self._bytes = self._taken_bytes = 0

    def place_of(self, member: tarfile.TarInfo) -> str | None:
        """Return the path that *member* gets in the root file system; None if it is left out.

        Raises:
            RefusedMemberError: A package with this member cannot be used.
        """
        parts = parts_of(member.name)
        self._members += 1
        self._bytes += member.size
        if self._members > MOST_MEMBERS or self._bytes > MOST_BYTES:
            raise RefusedMemberError(f"more than {MOST_MEMBERS} members, or {MOST_BYTES >> 30} GiB, are in the package")
        if member.ischr() or member.isblk() or member.isfifo():
            raise RefusedMemberError(f"{member.name!r} is {kind_of(member)}")
        # What is now in /usr/lib was in /lib before; in a root file system, /lib is a symbolic link.
        parts = ("usr", *parts) if parts[:1] == ("lib",) else parts
        place = self._wanted(parts, member)
        if place is None:
            return None
        if not member.isreg():
            raise RefusedMemberError(f"{member.name!r} is {kind_of(member)}; expected a regular file")
        if not _TAKEN_NAME.fullmatch(place):
            raise RefusedMemberError(f"{member.name!r} has a space, or a character that is not ASCII, in its name")
        self._add(place, member)
        return place

    def _wanted(self, parts: tuple[str, ...], member: tarfile.TarInfo) -> str | None:
        """Return where a member with the path *parts* would be put; None for folders and what is left out."""
        in_modules = parts[:3] == _MODULES and len(parts) > 3
        if parts in _FOLDERS or (in_modules and len(parts) == 4):
            if not member.isdir():
                raise RefusedMemberError(f"{member.name!r} is {kind_of(member)}; expected a folder")
            if in_modules:
                self._belongs(parts[3], member)
            return None
        if in_modules:
            self._belongs(parts[3], member)
            inside = parts[4:]
            if member.isdir() or inside[0] in _LEFT_OUT or (member.issym() and inside in (("build",), ("source",))):
                return None
            return self._boot(inside[0], parts[3]) if inside in (("vmlinuz",), ("config",)) else "/".join(parts)
        if parts[0] != "boot":
            return None
        name, dash, release = parts[1].partition("-")
        if len(parts) > 2 or not dash or name not in ("vmlinuz", "config"):
            return None
        return self._boot(name, release)

    def _boot(self, name: str, release: str) -> str:
        if name == "vmlinuz":
            self._kernels.add(release)
        return f"boot/{name}-{release}"

    def _belongs(self, release: str, member: tarfile.TarInfo) -> None:
        """Check that the modules are those of the only kernel."""
        if not _RELEASE.fullmatch(release):
            raise RefusedMemberError(f"{member.name!r}: {release!r} cannot be the release of a kernel")
        if self.release not in (None, release):
            raise RefusedMemberError(f"{member.name!r} belongs to another kernel than {self.release}; {EXPECTED}")
        self.release = release

    def _add(self, place: str, member: tarfile.TarInfo) -> None:
        above = {str(folder) for folder in Path(place).parents}
        if place in self.files or place in self._folders or above & self.files:
            raise RefusedMemberError(f"{member.name!r} is there twice, or both a file and a folder")
        self._taken_bytes += member.size
        if self._taken_bytes > MOST_TAKEN_BYTES:
            raise RefusedMemberError(f"kernel and modules have more than {MOST_TAKEN_BYTES / 2**30:g} GiB")
        self.files.add(place)
        self._folders |= above

    def finish(self) -> str:
        """Return the release of the kernel.

        Raises:
            RefusedMemberError: The packages do not contain exactly one kernel with modules.
        """
        if self.release is None or self._kernels != {self.release}:
            kernels = ", ".join(f"boot/vmlinuz-{release}" for release in sorted(self._kernels)) or "no kernel"
            modules = f"the modules of {self.release}" if self.release else "no modules"
            raise RefusedMemberError(f"found {kernels} and {modules}; {EXPECTED}")
        return self.release


def kind_of(member: tarfile.TarInfo) -> str:
    """Return what *member* is, in words."""
    if member.issym() or member.islnk():
        return f"a {'symbolic' if member.issym() else 'hard'} link to {member.linkname!r}"
    kinds = {"a folder": member.isdir, "a regular file": member.isreg, "a named pipe": member.isfifo}
    kinds["a device"] = member.isdev
    return next((kind for kind, applies in kinds.items() if applies()), f"a member of the unknown type {member.type!r}")


def check_package(package: Path) -> str:
    """Check that a kernel can be taken from the file *package*, and return the kernel's release.

    Raises:
        PackageError: It cannot.
    """
    selection = Selection()
    _read(package, selection, lambda _place, _content: None)
    return _release_of(selection, package.name)


def extract(packages: Sequence[Path], root: Path) -> str:
    """Put the kernel in *packages* into the root file system *root*, and return the kernel's release.

    All files have mode 0644, and all new folders have mode 0755.

    Raises:
        PackageError: A package cannot be used.
        OSError: A file cannot be written.
    """
    selection = Selection()

    def write(place: str, content: IO[bytes]) -> None:
        target = root / place
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(target, "xb") as file:
            shutil.copyfileobj(content, file, 1 << 20)
        target.chmod(0o644)

    for package in packages:
        _read(package, selection, write)
    return _release_of(selection, ", ".join(package.name for package in packages))


def _release_of(selection: Selection, names: str) -> str:
    try:
        return selection.finish()
    except RefusedMemberError as error:
        raise PackageError(f"{names}: {error}") from error


def _read(package: Path, selection: Selection, take: Callable[[str, IO[bytes]], None]) -> None:
    """Call *take* with path and content of each file that *selection* chooses in *package*."""
    try:
        with _archive_of(package) as archive:
            for member in archive:
                place = selection.place_of(member)
                if place is not None:
                    content = archive.extractfile(member)
                    assert content is not None
                    take(place, content)
    except tarfile.TarError as error:
        raise PackageError(f"{package}: {error}") from error


@contextlib.contextmanager
def _archive_of(package: Path) -> Iterator[tarfile.TarFile]:
    """Yield the archive of the files in *package*; dpkg-deb unpacks only its compression.

    Raises:
        PackageError: This is not a Debian package, or it is damaged.
    """
    if shutil.which("dpkg-deb") is None:
        raise PackageError(f"{package}: cannot be read, because dpkg-deb is not installed; it is in the package dpkg")
    command = ["dpkg-deb", "--fsys-tarfile", str(package.absolute())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            try:
                archive = tarfile.open(fileobj=process.stdout, mode="r|", tarinfo=PlainTarInfo)  # noqa: SIM115
            except tarfile.ReadError:
                process.stdout.close()
                raise PackageError(f"{package}: {_last_line(process) or 'this is not a Debian package'}") from None
            with archive:
                yield archive
            while process.stdout.read(1 << 20):
                pass
            if process.wait() != 0:
                raise PackageError(f"{package}: {_last_line(process)}")
        finally:
            process.kill()


def _last_line(process: subprocess.Popen[bytes]) -> str:
    assert process.stderr is not None
    lines = process.stderr.read(1 << 16).decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""


def name_and_version(package: Path) -> str:
    """Return the name and the version of *package*, with a space between them.

    Raises:
        PackageError: They are not what Debian's policy allows.
    """
    found = []
    for field, allowed in _CONTROL.items():
        command = ["dpkg-deb", "--field", str(package.absolute()), field]
        done = subprocess.run(command, capture_output=True, check=False)
        value = done.stdout[:1024].decode(errors="replace").strip()
        if not allowed.fullmatch(value):
            raise PackageError(f"{package}: found the {field} {value!r:.80}; expected what Debian's policy allows")
        found.append(value)
    return " ".join(found)


def _sha256(package: Path) -> str:
    with package.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main(arguments: Sequence[str]) -> None:
    """Put the kernel in the packages *arguments* into this root file system; note its release, and what they are."""
    os.umask(0o022)
    packages = [Path(argument) for argument in arguments]
    try:
        versions = "".join(f"{name_and_version(package)} {_sha256(package)}\n" for package in packages)
        release = extract(packages, Path("/"))
        folder = Path("/usr/share/lab")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "kernel-release").write_text(f"{release}\n", encoding="ascii")
        (folder / "kernel-packages").write_text(versions, encoding="ascii")
    except (PackageError, OSError) as error:
        raise SystemExit(f"E: {error}") from error


if __name__ == "__main__":
    main(sys.argv[1:])
