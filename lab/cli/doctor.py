# SPDX-License-Identifier: Apache-2.0
"""What this machine can do, and what is missing: a line for each thing, and how to mend it."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.engine.image import build
from lab.engine.native.engine import NativeEngine
from lab.engine.vm import lockstep, qemu
from lab.engine.vm.template import find_template
from lab.errors import LabError
from lab.job.kernels import DEBIAN, DEFAULT
from lab.store import places

MEMORY_PER_TRIAL = 1 << 30
"""A virtual machine's, and what the report takes."""
DISK = 4 << 30
"""An image, two templates, and the trials that are kept."""


@dataclass(frozen=True)
class Line:
    """One thing."""

    section: str
    ok: bool | None
    """None: it will be made when it is needed, or need not be."""
    what: str
    fix: str = ""


def examine() -> Iterator[Line]:
    """Yield what there is to say, the virtual machine's needs first."""
    yield from _machine()
    yield from _vm()
    yield from _native()


def _machine() -> Iterator[Line]:
    processors = len(os.sched_getaffinity(0))
    yield Line("machine", True, f"{platform.system()} {platform.release()}, {platform.machine()}")
    yield Line("machine", True, f"{processors} processors: as many trials at a time")
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
        "" if free >= DISK else "free some space, or let LAB_CACHE name another place",
    )


def _available_memory() -> int:
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def _vm() -> Iterator[Line]:
    section = "virtual machines"
    try:
        found = qemu.find_qemu()
        yield Line(section, True, f"QEMU {found.version}")
    except LabError as error:
        yield Line(section, False, "QEMU", str(error))
        return
    try:
        lockstep.library()
        yield Line(section, True, "QEMU's threads in lockstep (lockstep.c, compiled)")
    except LabError as error:
        yield Line(section, False, "lockstep.c cannot be compiled", str(error))
    for tool, package in build.TOOLS.items():
        present = shutil.which(tool) is not None
        yield Line(section, present, tool, "" if present else f"install the package {package} (make setup does)")
    for kernel in DEBIAN:
        image = build.find_image(kernel)
        default = ", which trials have unless told otherwise" if kernel == DEFAULT else ""
        if image is None:
            how = f"lab image build --kernel {kernel} builds it now"
            yield Line(section, None, f"image with {kernel}{default}: built when it is first needed", how)
            continue
        ready = "its template is ready" if find_template(found, image) else "its template is made at the first trial"
        yield Line(section, True, f"image with {kernel} ({image.kernel}){default}; {ready}")


def _native() -> Iterator[Line]:
    section = "native engine"
    engine = NativeEngine(())
    try:
        engine.locate(lambda _what: None)
        capabilities = asyncio.run(engine.capabilities())
    except LabError as error:
        yield Line(section, False, "cannot be used", str(error))
        return
    yield Line(section, True, f"root; Python with mininet: {engine.interpreter()}")
    mounted = Path("/sys/kernel/tracing/events").exists()
    yield Line(
        section,
        True if mounted else None,
        "tracefs is mounted" if mounted else "tracefs is not mounted; the collectors do without",
        "" if mounted else "mount -t tracefs tracefs /sys/kernel/tracing",
    )
    works = [one for one in capabilities if one["works"]]
    for kind in dict.fromkeys(one["kind"] for one in capabilities):
        names = [one["name"] for one in works if one["kind"] == kind]
        if names:
            yield Line(section, True, f"{kind}: {', '.join(names)}")
        broken: dict[tuple[str, str], list[str]] = {}
        for one in capabilities:
            if one["kind"] == kind and not one["works"]:
                broken.setdefault((one["why"], _general(one["fix"])), []).append(one["name"])
        for (why, fix), missing in broken.items():
            yield Line(section, False, f"{kind}: {', '.join(missing)}: {why}", fix)


def _general(fix: str) -> str:
    """Kernel options are many; the advice is one."""
    return "a kernel that has them, such as Debian's" if fix.startswith("a kernel with") else fix
