# SPDX-License-Identifier: Apache-2.0
"""Build a guest image, which consists of a Debian root file system, a kernel and an initramfs that mounts the root.

Images for different kernels differ only in the kernel: the packages of the root file system are the same.

An image is a folder whose name is the digest of its content::

    vmlinuz      the kernel, as its package has it
    boot.cpio    the initramfs: busybox, the modules that are needed to mount the root, and init.sh
    root.erofs   the root file system; the guest sees it as persistent memory, so reading it never waits for a device
    packages     all packages with their versions
    known.json   the algorithms of the kernel and the parameters of tc, for checks
    info.json    the recipe, the kernel, and when the image was built
    files.json   the size and the SHA-256 of each file
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shlex
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

from lab.engine.base import Notice, Step
from lab.engine.debian.archive import packages_of
from lab.engine.debian.bootstrap import (
    SUITE,
    Progress,
    bootstrap,
    check_tools,
    files_for_hooks,
    last_errors,
    package_list,
)
from lab.engine.debian.builds import (
    Build,
    DamagedBuildError,
    content_digest,
    find_build,
    found_or_built,
    list_builds,
    open_build,
    publish_build,
)
from lab.engine.emulator.build import MKFS, Emulator, command_of, emulator_located_beside
from lab.engine.image import cpio
from lab.engine.image.kernel import boot_modules, check_configuration
from lab.engine.image.known import known_in, write_known
from lab.engine.image.package import SHIPPED, PackageError, check_package
from lab.errors import ImageError, InputError
from lab.job import kernels
from lab.store import places
from lab.store.folders import remove_leftovers, unfinished_folder

PACKAGES = (
    "apt", "bpftool", "busybox-static", "ethtool", "iperf3", "iproute2", "iputils-ping", "kmod", "mininet", "mount",
    "procps", "python3-bpfcc",
)  # fmt: skip
BOOT_MODULES = ("nd_pmem", "nfit", "erofs")
ROOT_ALIGNMENT = 2 << 20
"""The size of the root file system is rounded up to this multiple, because QEMU maps it in whole huge pages."""


@dataclass(frozen=True, kw_only=True)
class Image(Build):
    """A finished image in the cache."""

    contents = ("vmlinuz", "boot.cpio", "root.erofs", "packages")

    suite: str
    kernel: str
    """The kernel's release, as ``uname -r`` prints it."""
    kernel_name: str = kernels.DEFAULT
    """The kernel's name in the form of :mod:`lab.job.kernels`."""

    @property
    def kernel_file(self) -> Path:
        """The path of the kernel."""
        return self.path / "vmlinuz"

    @property
    def boot_archive(self) -> Path:
        """The path of the initramfs."""
        return self.path / "boot.cpio"

    @property
    def root_file(self) -> Path:
        """The path of the root file system."""
        return self.path / "root.erofs"


def recipe_digest(kernel: str = kernels.DEFAULT) -> str:
    """Return a digest of everything that determines what :func:`build_image` builds, except package versions."""
    recipe = {
        "suite": SUITE,
        "kernel": kernel,
        "packages": PACKAGES,
        "modules": BOOT_MODULES,
        "machine": platform.machine(),
        # It writes the root file system, and comes from the packages of the emulator.
        "mkfs.erofs": "emulator",
        "customize.sh": _resource("customize.sh").decode(),
        **{name: content.decode() for name, content in package_list().items()},
        "package.py": {name: content.decode() for name, content in _package_reader().items()},
        "init.sh": _resource("init.sh").decode(),
        "known.py": _resource("known.py").decode(),
    }
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()


def find_image(kernel: str = kernels.DEFAULT) -> Image | None:
    """Return the image with this kernel that was last built from the current recipe; None if it is not in the cache.

    Raises:
        DamagedBuildError: It is in the cache, but it is not what was built.
    """
    return find_build(Image, places.images(), recipe_digest(kernel))


def locate_image(step: Step, *, mirror: str | None = None) -> Image:
    """Return the image with the default kernel; build it, from *mirror*, if it is not in the cache, or damaged.

    Raises:
        ImageError: It cannot be built.
    """
    return found_or_built(
        "guest image", find_image, lambda doing: build_image(doing, mirror=mirror), step, kind="image"
    )


def open_image(digest: str) -> Image | None:
    """Return the image with this digest; None if it is not in the cache.  Its files are not checked.

    Raises:
        DamagedBuildError: The description of the image is damaged.
    """
    return open_build(Image, places.images(), digest)


def list_images() -> tuple[list[Image], list[DamagedBuildError]]:
    """Return all images in the cache, oldest first, and what is wrong with those that cannot be used."""
    return list_builds(Image, places.images())


def build_image(
    progress: Progress,
    *,
    kernel: str = kernels.DEFAULT,
    package: Path | None = None,
    mirror: str | None = None,
) -> Image:
    """Build an image from Debian packages, which takes about a minute and downloads about 150 MB.

    Args:
        progress: Called with a description of each step.  If there is no emulator yet, it is built first.
        kernel: The name of the kernel.  For a kernel of the user's own, this is the result of
            :func:`lab.job.kernels.of_package`.
        package: The file of the user's own kernel package; None for Debian's kernels.
        mirror: The Debian mirror to use; None for mmdebstrap's default.

    Raises:
        ImageError: A tool is missing or fails.  The message names the builder's log.
        InputError: The user's package cannot be used.  The message names the reason.
    """
    check_tools("tar")
    if package is not None:
        try:
            check_package(package)
        except PackageError as error:
            raise InputError(str(error)) from error
    # Either of the two takes about a minute, and mostly one processor.
    with emulator_located_beside(progress) as emulator, places.builder_lock("image"):
        for message in remove_leftovers(places.images()):
            progress(Notice(message))
        with unfinished_folder(places.images()) as partial:
            try:
                return _build(partial, progress, emulator, kernel, package, mirror)
            except OSError as exc:
                raise ImageError(f"cannot build the image in {partial}: {exc}") from exc


def _build(
    partial: Path,
    progress: Progress,
    emulator: Callable[[], Emulator],
    kernel_name: str,
    package: Path | None,
    mirror: str | None,
) -> Image:
    work = partial / "work"
    work.mkdir()
    log = places.cache_root() / "image-build.log"
    # The sources may change while the image is built, which takes minutes.
    recipe = recipe_digest(kernel_name)
    packages = packages_of(kernel_name, progress, mirror=mirror) if package is None else [package]
    _bootstrap(work / "root.tar", packages, log, progress, mirror)
    progress("unpacking")
    root = work / "root"
    root.mkdir()
    # Permissions must be those in the archive.  By default, tar applies the umask to them unless the user is root.
    keep = ["--no-same-owner", "--same-permissions"]
    _run("tar", ["tar", "-xf", str(work / "root.tar"), "-C", str(root), *keep, "--exclude=./dev/*"], log)
    kernel = (root / "usr/share/lab/kernel-release").read_text(encoding="ascii").strip()
    check_configuration(root, kernel)
    progress("writing the root file system")
    # All files belong to root and have time 0, so that two builds from the same packages give the same bytes.
    uuid = "00000000-0000-0000-0000-000000000000"
    options = ["-T0", f"-U{uuid}", "--all-root"]
    _run(MKFS, [*command_of(MKFS), *options, str(partial / "root.erofs"), str(root)], log, cwd=emulator().path)
    size = (partial / "root.erofs").stat().st_size
    os.truncate(partial / "root.erofs", -(-size // ROOT_ALIGNMENT) * ROOT_ALIGNMENT)
    shutil.copyfile(root / f"boot/vmlinuz-{kernel}", partial / "vmlinuz")
    shutil.copyfile(root / "usr/share/lab/packages", partial / "packages")
    (partial / "boot.cpio").write_bytes(_boot_archive(root, kernel))
    write_known(partial, known_in(root, kernel))
    shutil.rmtree(work)
    digest = content_digest(partial, Image.contents)
    image = Image(
        digest=digest,
        path=places.images() / digest,
        suite=SUITE,
        kernel=kernel,
        built=datetime.now(UTC).isoformat(timespec="seconds"),
        recipe=recipe,
        kernel_name=kernel_name,
    )
    publish_build(partial, image)
    return image


def _bootstrap(tar: Path, kernel: Sequence[Path], log: Path, progress: Progress, mirror: str | None) -> None:
    """Make the root file system with the kernel in the packages *kernel*."""
    files: dict[str, bytes | Path] = {"customize.sh": _resource("customize.sh"), **package_list(), **_package_reader()}
    # The names of the user's own packages may be any.
    files |= {f"kernel/{number}.deb": package for number, package in enumerate(kernel)}
    with files_for_hooks(files, progress) as folder:
        hook = (
            f'--customize-hook={shlex.quote(str(folder / "customize.sh"))} "$1" {shlex.quote(str(folder / "kernel"))}'
        )
        bootstrap([hook], str(tar), packages=PACKAGES, log=log, progress=progress, mirror=mirror)


def _boot_archive(root: Path, kernel: str) -> bytes:
    modules = boot_modules(root, kernel, BOOT_MODULES)
    files = {f"modules/{name}": content for name, content in modules.items()}
    files["modules/order"] = "".join(f"{name}\n" for name in modules).encode()
    files["bin/busybox"] = (root / "usr/bin/busybox").read_bytes()
    files["init"] = _resource("init.sh")
    return cpio.archive(
        files, executable=frozenset({"init", "bin/busybox"}), directories=("dev", "proc", "sys", "root")
    )


def _package_reader() -> dict[str, bytes]:
    """Return the files with which the root file system takes the kernel from its package, by their paths for hooks."""
    folder = Path(__file__).parents[2]
    return {f"python/lab/{name}": (folder / name).read_bytes() for name in SHIPPED}


def _resource(name: str) -> bytes:
    return resources.files("lab.engine.image").joinpath(name).read_bytes()


def _run(name: str, command: list[str], log: Path, *, cwd: Path | None = None) -> None:
    with open(log, "ab") as file:
        done = subprocess.run(
            command, cwd=cwd, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False
        )
    if done.returncode != 0:
        raise ImageError(f"{name} failed (exit status {done.returncode}); {last_errors(log)} (log: {log})")
