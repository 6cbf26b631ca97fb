# SPDX-License-Identifier: Apache-2.0
"""Build the guest image: a Debian root, its kernel, and what the kernel needs to find that root.

An image is a folder named by the digest of its content::

    vmlinuz      the kernel, as Debian ships it
    boot.cpio    initramfs: busybox, the modules that mount the image, init
    root.erofs   the root; the guest sees it as persistent memory, so reading it never waits for a device
    packages     every package and its version
    info.json    what, when, from what
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import lzma
import os
import platform
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import TextIO

from lab.errors import ImageError
from lab.image import cache, cpio

SUITE = "trixie"
PACKAGES = (
    "apt", "bpftool", "busybox-static", "ethtool", "iperf3", "iproute2", "iputils-ping", "kmod", "mininet", "mount",
    "procps", "python3-bpfcc",
)  # fmt: skip
ROOT_ALIGNMENT = 2 << 20
"""QEMU maps the root in whole huge pages."""

_BOOT_MODULES = ("nd_pmem", "nfit", "erofs")
_NO_ADDED_TIME = "1735689600"
_TOOLS = {"mmdebstrap": "mmdebstrap", "mkfs.erofs": "erofs-utils", "tar": "tar"}

_POLL_S = 0.1
_STOP_LIMIT_S = 20.0
"""mmdebstrap removes what it has unpacked."""

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Image:
    """A finished image in the cache."""

    digest: str
    path: Path
    suite: str
    kernel: str
    built: str
    recipe: str

    @property
    def kernel_file(self) -> Path:
        return self.path / "vmlinuz"

    @property
    def boot_archive(self) -> Path:
        return self.path / "boot.cpio"

    @property
    def root_file(self) -> Path:
        return self.path / "root.erofs"

    def bytes_on_disk(self) -> int:
        return sum(file.stat().st_blocks * 512 for file in self.path.iterdir())


def recipe_digest() -> str:
    """Identifies what :func:`build_image` would build, short of the packages' versions."""
    recipe = {
        "suite": SUITE,
        "packages": PACKAGES,
        "modules": _BOOT_MODULES,
        "machine": platform.machine(),
        "customize.sh": _resource("customize.sh").decode(),
        "init.sh": _resource("init.sh").decode(),
    }
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()


def find_image() -> Image | None:
    """The image that was last built from today's recipe, if it is in the cache."""
    try:
        digest = (cache.recipes() / recipe_digest()).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None
    return open_image(digest)


def open_image(digest: str) -> Image | None:
    path = cache.images() / digest
    try:
        info = json.loads((path / "info.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as exc:
        raise ImageError(f"{path / 'info.json'} is damaged ({exc}); remove the folder and build again") from exc
    return Image(path=path, digest=digest, **info)


def list_images() -> list[Image]:
    if not cache.images().is_dir():
        return []
    found = (open_image(path.name) for path in cache.images().iterdir() if not path.name.startswith("."))
    return sorted((image for image in found if image is not None), key=lambda image: image.built)


def build_image(progress: Progress, *, mirror: str | None = None) -> Image:
    """Build the image from Debian's packages; a minute and some 150 MB of downloads.

    Raises :class:`ImageError`, with the builder's log, when a tool is missing or fails.
    """
    for tool, package in _TOOLS.items():
        if shutil.which(tool) is None:
            raise ImageError(f"{tool} is not installed; it is in the package {package} (make setup installs it)")
    with cache.builder_lock("image"):
        cache.remove_partial(cache.images())
        partial = cache.partial_directory(cache.images())
        try:
            image = _build(partial, progress, mirror)
        except OSError as exc:
            raise ImageError(f"cannot build the image in {partial}: {exc}") from exc
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return image


def _build(partial: Path, progress: Progress, mirror: str | None) -> Image:
    work = partial / "work"
    work.mkdir()
    log = cache.cache_root() / "image-build.log"
    _bootstrap(work / "root.tar", log, progress, mirror)
    progress("unpacking")
    root = work / "root"
    root.mkdir()
    # Permissions as they are: without this, tar takes the user's umask off them, unless the user is root.
    keep = ["--no-same-owner", "--same-permissions"]
    _run(["tar", "-xf", str(work / "root.tar"), "-C", str(root), *keep, "--exclude=./dev/*"], log)
    kernel = (root / "usr/share/lab/kernel-release").read_text(encoding="ascii").strip()
    progress("writing the root file system")
    # Everything belongs to root and has time 0: two builds from the same packages are the same bytes.
    uuid = "00000000-0000-0000-0000-000000000000"
    _run(["mkfs.erofs", "-T0", f"-U{uuid}", "--all-root", str(partial / "root.erofs"), str(root)], log)
    size = (partial / "root.erofs").stat().st_size
    os.truncate(partial / "root.erofs", -(-size // ROOT_ALIGNMENT) * ROOT_ALIGNMENT)
    shutil.copyfile(root / f"boot/vmlinuz-{kernel}", partial / "vmlinuz")
    shutil.copyfile(root / "usr/share/lab/packages", partial / "packages")
    (partial / "boot.cpio").write_bytes(_boot_archive(root, kernel))
    shutil.rmtree(work)
    digest = _content_digest(partial)
    image = Image(
        digest=digest,
        path=cache.images() / digest,
        suite=SUITE,
        kernel=kernel,
        built=datetime.now(UTC).isoformat(timespec="seconds"),
        recipe=recipe_digest(),
    )
    info = {key: value for key, value in asdict(image).items() if key not in ("digest", "path")}
    (partial / "info.json").write_text(json.dumps(info, indent=1) + "\n", encoding="utf-8")
    cache.publish(partial, image.path)
    cache.recipes().mkdir(parents=True, exist_ok=True)
    pointer = cache.recipes() / f".{image.recipe}.{os.getpid()}"
    pointer.write_text(digest + "\n", encoding="ascii")
    pointer.replace(cache.recipes() / image.recipe)
    return image


def _bootstrap(tar: Path, log: Path, progress: Progress, mirror: str | None) -> None:
    script = tar.parent / "customize.sh"
    script.write_bytes(_resource("customize.sh"))
    script.chmod(0o755)
    command = [
        *("setpriv", "--pdeathsig", "TERM", "sh", "-c", _resource("supervise.sh").decode(), "sh"),
        "mmdebstrap",
        "--variant=essential",
        f"--include={','.join(PACKAGES)}",
        '--aptopt=APT::Install-Recommends "false"',
        "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/locale/*",
        f'--customize-hook={script} "$1"',
        SUITE,
        str(tar),
    ]
    if mirror is not None:
        command.append(mirror)
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ,
        "SOURCE_DATE_EPOCH": _NO_ADDED_TIME,
        "LC_ALL": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    # To a file, not a pipe: when lab is gone, mmdebstrap can still say that it is cleaning up, and does.
    with open(log, "wb") as out, open(log, encoding="utf-8", errors="replace") as said:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        try:
            _follow(process, said, progress)
        except BaseException:
            _stop(process)
            raise
    if process.returncode != 0:
        raise ImageError(f"mmdebstrap failed (exit {process.returncode}); {_last_errors(log)} (log: {log})")


def _follow(process: subprocess.Popen[bytes], said: TextIO, progress: Progress) -> None:
    """Tell ``progress`` of every step, until the process has ended."""
    rest = ""
    running = True
    while running:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_POLL_S)
        running = process.returncode is None
        *lines, rest = (rest + said.read()).split("\n")
        for line in lines:
            if line.startswith("I: ") and line.endswith("..."):
                progress(line[3:].rstrip("."))


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)


def _last_errors(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    errors = [line for line in lines if line.startswith(("E:", "Err:", "W: Failed"))]
    return "; ".join((errors or lines)[-3:])


def _boot_archive(root: Path, kernel: str) -> bytes:
    modules = root / "usr/lib/modules" / kernel
    order = _module_order(modules / "modules.dep")
    files = {f"modules/{Path(path).name.removesuffix('.xz')}": _decompressed(modules / path) for path in order}
    files["modules/order"] = "".join(f"{Path(path).name.removesuffix('.xz')}\n" for path in order).encode()
    files["bin/busybox"] = (root / "usr/bin/busybox").read_bytes()
    files["init"] = _resource("init.sh")
    return cpio.archive(
        files, executable=frozenset({"init", "bin/busybox"}), directories=("dev", "proc", "sys", "root")
    )


def _module_order(dependencies: Path) -> list[str]:
    """Paths of the boot modules and what they depend on, in the order they load."""
    needs = {}
    for line in dependencies.read_text(encoding="ascii").splitlines():
        path, _, rest = line.partition(":")
        needs[path] = rest.split()
    order: dict[str, None] = {}

    def visit(path: str) -> None:
        for needed in reversed(needs[path]):
            visit(needed)
        order[path] = None

    for name in _BOOT_MODULES:
        visit(next(path for path in needs if Path(path).name.split(".")[0] == name))
    return list(order)


def _decompressed(path: Path) -> bytes:
    data = path.read_bytes()
    return lzma.decompress(data) if path.suffix == ".xz" else data


def _content_digest(directory: Path) -> str:
    total = hashlib.sha256()
    for name in ("vmlinuz", "boot.cpio", "root.erofs", "packages"):
        with open(directory / name, "rb") as file:
            total.update(f"{name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


def _resource(name: str) -> bytes:
    return resources.files("lab.image").joinpath(name).read_bytes()


def _run(command: list[str], log: Path) -> None:
    with open(log, "ab") as file:
        done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise ImageError(f"{command[0]} failed (exit {done.returncode}); {_last_errors(log)} (log: {log})")
