# SPDX-License-Identifier: Apache-2.0
"""Check whether a kernel can run trials, and collect the modules that it needs to mount the root file system."""

from __future__ import annotations

import lzma
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from lab.errors import ImageError

NEEDED = {
    "SERIAL_8250_CONSOLE": "the console",
    "DEVMEM": "the mailbox",
    "ACPI_NFIT": "the root file system in persistent memory",
    "BLK_DEV_PMEM": "the root file system in persistent memory",
    "EROFS_FS": "the root file system",
    "EROFS_FS_ZIP": "the root file system",
    "NET_NS": "nodes",
    "VETH": "links",
    "BRIDGE": "switches",
    "NET_SCH_NETEM": "delay and loss",
    "NET_SCH_TBF": "rate limits",
    "IFB": "delay and loss of arriving packets",
    "NET_ACT_MIRRED": "delay and loss of arriving packets",
    "NET_CLS_BPF": "capacity files and listed losses",
    "INET_DIAG": "the state of sockets",
    "BPF_SYSCALL": "collectors",
    "BPF_EVENTS": "collectors",
    "DEBUG_INFO_BTF": "collectors",
    "FTRACE": "collectors",
}
"""Kernel configuration option → the part of a trial that needs it."""

MOST_MODULE_BYTES = 256 << 20
"""The largest size of a module in bytes.  Debian's largest ones have 10 MB; with debug information, 200 MB."""

_SUFFIXES = (".ko", ".ko.xz", ".ko.zst")


def check_configuration(root: Path, release: str) -> None:
    """Check that the kernel was built with all options in :data:`NEEDED`.

    A package without a configuration file passes.  If its kernel lacks something, the self-test of the template fails.

    Raises:
        ImageError: The kernel was built without some of the options.
    """
    try:
        text = (root / f"boot/config-{release}").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    on = set(re.findall(r"^CONFIG_(\w+)=[ym]$", text, re.MULTILINE))
    lacking = [f"CONFIG_{option} ({purpose})" for option, purpose in NEEDED.items() if option not in on]
    if lacking:
        raise ImageError(
            f"the kernel {release} was built without {', '.join(lacking)}; set these to y or m and build it again"
        )


def boot_modules(root: Path, release: str, names: Sequence[str]) -> dict[str, bytes]:
    """Return file name → content of the modules *names* and of all modules on which they depend, in loading order.

    Modules that are built into the kernel are left out.

    Raises:
        ImageError: One of *names* is neither a module of the kernel nor built into it.
    """
    folder = root / "usr/lib/modules" / release
    needs = {}
    for line in _lines(folder / "modules.dep"):
        path, _, rest = line.partition(":")
        needs[path] = rest.split()
    by_name = {_stem(path): path for path in needs}
    inside = {_stem(line) for line in _lines(folder / "modules.builtin")}
    first = _wanted_first(folder)
    order: dict[str, None] = {}
    visited = set()

    def visit(path: str) -> None:
        # A module can ask, directly or not, for itself; modprobe passes over this as well.
        if path in visited:
            return
        visited.add(path)
        for needed in reversed(needs[path]):
            visit(needed)
        for name in first.get(_stem(path), ()):
            if name in by_name:
                visit(by_name[name])
        order[path] = None

    for name in names:
        if name in by_name:
            visit(by_name[name])
        elif name not in inside:
            raise ImageError(
                f"the kernel {release} has no module {name}, which is needed to mount the root file system"
            )
    return {f"{_stem(path)}.ko": _content(folder / path) for path in order}


def _wanted_first(folder: Path) -> dict[str, list[str]]:
    """Return module → the modules that modprobe would load before it (softdep), with aliases resolved.

    If several modules implement an algorithm, the generic one, which works on every processor, is chosen.
    """
    aliases: dict[str, list[str]] = {}
    for line in _lines(folder / "modules.alias"):
        words = line.split()
        if len(words) == 3 and words[0] == "alias":
            aliases.setdefault(words[1].replace("-", "_"), []).append(words[2])
    first = {}
    for line in _lines(folder / "modules.softdep"):
        words = line.split()
        if len(words) > 3 and words[0] == "softdep" and words[2] == "pre:":
            before = words[3:] if "post:" not in words else words[3 : words.index("post:")]
            first[words[1]] = [_resolved(name.replace("-", "_"), aliases) for name in before]
    return first


def _resolved(name: str, aliases: dict[str, list[str]]) -> str:
    known = aliases.get(name)
    if known is None:
        return name
    return next((module for module in known if module.endswith("_generic")), known[0])


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="ascii", errors="replace").splitlines() if path.exists() else []


def _stem(path: str) -> str:
    # A module's file name may have dashes where the kernel's name for the module has underscores.
    return Path(path).name.partition(".")[0].replace("-", "_")


def _content(path: Path) -> bytes:
    if not path.name.endswith(_SUFFIXES):
        raise ImageError(f"found the module {path.name}; expected a name that ends in {' or '.join(_SUFFIXES)}")
    if path.suffix == ".zst":
        data = _without_zstd(path)
    else:
        try:
            with lzma.open(path) if path.suffix == ".xz" else open(path, "rb") as file:
                data = file.read(MOST_MODULE_BYTES + 1)
        except (lzma.LZMAError, EOFError) as exc:
            raise ImageError(f"cannot decompress {path.name}: {exc}") from exc
    if len(data) > MOST_MODULE_BYTES:
        raise ImageError(f"the module {path.name} has more than {MOST_MODULE_BYTES >> 20} MiB")
    return data


def _without_zstd(path: Path) -> bytes:
    """Return the unpacked content, or its first ``MOST_MODULE_BYTES + 1`` bytes."""
    program = shutil.which("zstd")
    if program is None:
        raise ImageError(f"{path.name} is compressed with zstd, which is not installed; it is in the package zstd")
    command = [program, "-dcq", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        data = process.stdout.read(MOST_MODULE_BYTES + 1)
        if len(data) > MOST_MODULE_BYTES:
            process.kill()
        elif process.wait() != 0:
            text = process.stderr.read().decode(errors="replace").strip()
            raise ImageError(f"cannot decompress {path.name}: {text}")
    return data
