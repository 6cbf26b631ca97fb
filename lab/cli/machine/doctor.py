# SPDX-License-Identifier: Apache-2.0
"""Examine this machine for ``lab doctor``: what works, what is missing, and how to fix it."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.cli.common import say
from lab.cli.machine import packages
from lab.engine.emulator.build import find_emulator
from lab.engine.image import build
from lab.engine.native.engine import NativeEngine
from lab.engine.uml.build import find_kernel
from lab.engine.vm.template import find_template
from lab.errors import LabError
from lab.job.kernels import DEBIAN, DEFAULT, UML
from lab.store import places

MEMORY_PER_TRIAL = 1 << 30
"""Bytes of memory for each parallel trial: for its virtual machine, and for the report."""
DISK = 4 << 30
"""Bytes of disk space for an image, two templates, and the cached trials."""


@dataclass(frozen=True)
class Line:
    """The result of one examination."""

    section: str
    ok: bool | None
    """Whether it is as needed; None if it is optional or will be made when it is needed."""
    what: str
    fix: str = ""
    """How to fix what is missing."""


def examine() -> Iterator[Line]:
    """Yield the results: those for the machine, then those for each engine."""
    yield from _machine()
    yield from _packages()
    yield from _vm()
    yield from _uml()
    yield from _native()


def _machine() -> Iterator[Line]:
    processors = len(os.sched_getaffinity(0))
    yield Line("machine", True, f"{platform.system()} {platform.release()}, {platform.machine()}")
    yield Line("machine", True, f"{processors} processors, which run as many trials in parallel")
    available = _available_memory()
    needed = MEMORY_PER_TRIAL * processors
    yield Line(
        "machine",
        available >= needed,
        f"{available / 2**30:.1f} GiB of memory available",
        "" if available >= needed else f"use --jobs {max(1, available // MEMORY_PER_TRIAL)}",
    )
    place = places.cache_root()
    exists = next(path for path in (place, *place.parents) if path.exists())
    free = shutil.disk_usage(exists).free
    yield Line(
        "machine",
        free >= DISK and os.access(exists, os.W_OK),
        f"{free / 2**30:.1f} GiB free for the cache {place}",
        "" if free >= DISK else "free some space, or set LAB_CACHE to another folder",
    )


def _packages() -> Iterator[Line]:
    section = "Debian packages"
    needed = {
        "virtual": "trials in virtual time",
        "native": "the native engine and `lab trace`",
        "own": "congestion controls of your own",
    }
    lacking = packages.missing()
    for purpose, what in needed.items():
        names = [package.name for package in lacking if package.purpose == purpose]
        if names:
            fix = f"`lab doctor --fix` installs them, as does `apt install {' '.join(names)}` as root"
            is_optional = purpose != "virtual"
            yield Line(section, None if is_optional else False, f"for {what}, missing: {' '.join(names)}", fix)
        else:
            yield Line(section, True, f"for {what}: nothing is missing")


def _available_memory() -> int:
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def _vm() -> Iterator[Line]:
    section = "virtual machines"
    try:
        emulator = find_emulator()
    except LabError as error:
        emulator = None
        yield Line(section, None, "QEMU: it will be made again when it is needed", str(error))
    else:
        found = f"QEMU {emulator.version}" if emulator else "QEMU: it will be made when it is needed"
        yield Line(section, True if emulator else None, found)
    for tool in ("mmdebstrap", "tar"):
        if shutil.which(tool) is None:
            fix = "`lab doctor --fix` installs it on Debian and Ubuntu; `lab bundle import FILE` makes it unnecessary"
            yield Line(section, None, f"{tool} is missing, so no bundle can be built here", fix)
    for kernel in DEBIAN:
        default = ", the default kernel" if kernel == DEFAULT else ""
        try:
            image = build.find_image(kernel)
        except LabError as error:
            yield Line(
                section, None, f"image with {kernel}{default}: it will be built again when it is needed", str(error)
            )
            continue
        if image is None:
            how = f"`lab bundle build --kernel {kernel}` builds it now"
            yield Line(section, None, f"image with {kernel}{default}: it will be built when it is needed", how)
            continue
        ready = (
            "its template is ready"
            if emulator is not None and find_template(emulator, image)
            else "its template will be made before the first trial"
        )
        yield Line(section, True, f"image with {kernel} ({image.kernel}){default}; {ready}")


def _uml() -> Iterator[Line]:
    section = "User-mode Linux"
    if platform.machine() != "x86_64":
        yield Line(section, None, f"the engine uml works on x86_64 only; this machine is {platform.machine()}")
        return
    for name in UML:
        try:
            kernel = find_kernel(name)
        except LabError as error:
            yield Line(section, None, f"kernel {name}: it will be built again", str(error))
            continue
        if kernel is None:
            how = f"`lab bundle build --kernel {name}` builds it now"
            yield Line(section, None, f"kernel {name}: it will be built when it is needed (some 5 minutes)", how)
        else:
            yield Line(section, True, f"kernel {name} ({kernel.release})")


def _native() -> Iterator[Line]:
    section = "native engine"
    engine = NativeEngine(())
    try:
        engine.locate(lambda _what: None)
        capabilities = asyncio.run(engine.capabilities(step=say))
    except LabError as error:
        yield Line(section, False, "the native engine cannot be used", str(error))
        return
    yield Line(section, True, f"running as root; Python with mininet: {engine.interpreter()}")
    mounted = Path("/sys/kernel/tracing/events").exists()
    yield Line(
        section,
        True if mounted else None,
        "tracefs is mounted" if mounted else "tracefs is not mounted; the collectors work without it",
        "" if mounted else "mount -t tracefs tracefs /sys/kernel/tracing",
    )
    for kind in dict.fromkeys(capability["kind"] for capability in capabilities):
        of_kind = [capability for capability in capabilities if capability["kind"] == kind]
        names = [capability["name"] for capability in of_kind if capability["works"]]
        if names:
            yield Line(section, True, f"{kind}: {', '.join(names)}")
        broken: dict[tuple[str, str], list[str]] = {}
        for capability in of_kind:
            if not capability["works"]:
                reason = capability["why"], _general(capability["fix"])
                broken.setdefault(reason, []).append(capability["name"])
        for (why, fix), missing in broken.items():
            yield Line(section, False, f"{kind}: {', '.join(missing)}: {why}", fix)


def _general(fix: str) -> str:
    """Return the same advice for all kernel options, so that what lacks different options is reported in one line."""
    return "a kernel that has them, such as Debian's" if fix.startswith("a kernel with") else fix
