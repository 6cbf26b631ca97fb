# SPDX-License-Identifier: Apache-2.0
"""Compile the kernel module of a congestion control, in the sandbox, against the headers of a trial's kernel.

The compiler, ``make`` and the headers are those of the kernel's own Debian release, in a root file system that the
sandbox shows in the place of the host's.  Nothing of the host but the source is part of the module.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.cc import sandbox
from lab.cc.cache import ObjectCache
from lab.cc.compiler import CompileError, readable
from lab.cc.sandbox import Ended, Limits
from lab.cc.sources import Refused, Sources
from lab.errors import InputError, MachineryError
from lab.store import places
from lab.store.folders import scratch_folder
from lab.store.stored_job import MAX_OBJECT_BYTES

__all__ = ["ModuleSource", "ModuleTools", "compile_module", "packed_source", "unpacked_source"]

_FORMAT = 1
"""The version of how modules are made."""
_LIMITS = Limits(processor_s=30, wall_s=120.0, memory_bytes=2 << 30, file_bytes=16 << 20)
_SOURCE_FOLDER, _BUILD_FOLDER = "/src", "/build"
_SCRIPT = """\
cp -r /src/. .
printf 'obj-m := %s.o\\n%s-y := %s.o\\n' "$1" "$1" "$2" > Kbuild
make -s -C "$3" M=/build modules >&2
strip --strip-debug "$1.ko"
cat "$1.ko"
"""
"""Make the module $1 of the source $2 (without the ending) against the headers in $3, and write it to the output."""
_NOISE = re.compile(
    r"make(\[\d+\])?: |warning: the compiler differs|  The kernel was built by|  You are using|Skipping BTF generation|"
    r"WARNING: modpost: missing MODULE_DESCRIPTION"
)
_NOT_EXPORTED = re.compile(r'ERROR: modpost: (?:GPL-incompatible module \S+ uses GPL-only symbol \'(?P<gpl>\w+)\'|'
                           r'"(?P<name>\w+)" \[\S+\] undefined)')  # fmt: skip
_IS_LATE = ("CPU time limit exceeded", "Killed signal terminated program")


@dataclass(frozen=True)
class ModuleTools:
    """What a module is compiled with."""

    archive: Path
    """A tar archive of a root file system with the compiler, ``make`` and the headers."""
    headers: str
    """The folder of the headers in it."""
    identity: str
    """A digest of all packages in it with their versions."""


@dataclass(frozen=True)
class ModuleSource:
    """The source of a module, until the kernel is known for which it is compiled."""

    name: str
    """The name under which the module registers its algorithm."""
    sources: Sources
    folder: str
    """What the paths of the files begin with in messages."""


def packed_source(source: ModuleSource) -> bytes:
    """Return a source as bytes, for plans."""
    files = {path: data.decode(errors="replace") for path, data in source.sources.files.items()}
    refused = [[one.file, one.line, one.included] for one in source.sources.refused]
    document = {"file": source.sources.name, "files": files, "refused": refused, "folder": source.folder}
    return json.dumps(document, sort_keys=True).encode()


def unpacked_source(name: str, data: bytes) -> ModuleSource:
    """Return the source of the algorithm *name* that :func:`packed_source` has packed."""
    found = json.loads(data)
    files = {path: text.encode() for path, text in found["files"].items()}
    refused = tuple(Refused(*one) for one in found["refused"])
    return ModuleSource(name, Sources(found["file"], files, refused), found["folder"])


def compile_module(source: ModuleSource, tools: ModuleTools) -> bytes:
    """Return the module that is made of *source*, without debug information, or take it from the cache.

    The same source, name and tools give the same bytes.

    Raises:
        CompileError: It does not compile, or compiling it takes too much time or memory.
        InputError: The module is too large.
        MachineryError: bubblewrap or tar is missing here, or does not work.
    """
    cache = ObjectCache(places.objects())
    files = {path: hashlib.sha256(data).hexdigest() for path, data in sorted(source.sources.files.items())}
    about = ["module", _FORMAT, _SCRIPT, tools.identity, tools.headers, source.name, source.sources.name, files]
    key = hashlib.sha256(json.dumps(about).encode()).hexdigest()
    data = cache.get(key)
    if data is None:
        data = _compiled(source, tools)
        cache.put(key, data)
    return data


def _compiled(source: ModuleSource, tools: ModuleTools) -> bytes:
    with scratch_folder("module", lambda _message: None, _parent()) as scratch:
        staged, system = scratch / "src", scratch / "system"
        system.mkdir()
        _unpack(tools.archive, system)
        for path, data in source.sources.files.items():
            target = staged / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        output = scratch / "module.ko"
        # Not the name of the source, because a module of several objects cannot be called like one of them.
        module = f"lab_module_{source.name}"
        stem = source.sources.name.removesuffix(".c")
        if stem == module:
            raise InputError(
                f"{source.folder}{stem}.c: found the name of the module itself; expected another file name"
            )
        script = f"cd {_BUILD_FOLDER}\n{_SCRIPT}"
        command = ["/usr/bin/sh", "-ec", script, "sh", module, stem, tools.headers]
        ended = sandbox.run(command, {staged: _SOURCE_FOLDER}, output, scratch / "messages", _LIMITS, system=system)
        if ended.status != 0:
            raise CompileError(_explained(ended, source))
        built = output.read_bytes()
    if not built.startswith(b"\x7fELF") or len(built) > MAX_OBJECT_BYTES:
        limit = f"{MAX_OBJECT_BYTES >> 10} KiB"
        raise InputError(
            f"{source.folder}{source.sources.name}: found a module of {len(built) >> 10} KiB; expected at most {limit}"
        )
    return built


def _parent() -> Path:
    """Return the folder of the cache, because the root file system is too large for a folder in memory."""
    root = places.cache_root()
    root.mkdir(parents=True, exist_ok=True)
    return root


def _unpack(archive: Path, system: Path) -> None:
    command = ["tar", "-xf", str(archive), "-C", str(system), "--no-same-owner", "--exclude=./dev/*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise MachineryError(f"cannot run tar: {error.strerror}") from error
    if done.returncode != 0:
        raise MachineryError(f"cannot unpack {archive}: {done.stderr.strip()[:500]}")


def _explained(ended: Ended, source: ModuleSource) -> str:
    """Return why the compiler has failed, with what it says about the source."""
    plain = "\n".join(line for line in ended.said.splitlines() if line and not _NOISE.match(line))
    said = readable(plain.replace(f"{_BUILD_FOLDER}/", ""), source.sources, source.folder)
    if ended.is_late or any(text in ended.said for text in _IS_LATE):
        reason = f"compiling it takes more than {_LIMITS.processor_s} s of processor time, or {_LIMITS.wall_s:.0f} s"
    elif "File size limit exceeded" in ended.said or "File too large" in ended.said:
        reason = f"what the compiler makes of it has more than {_LIMITS.file_bytes >> 20} MiB; expected smaller arrays"
    elif "out of memory" in ended.said or "cannot allocate memory" in ended.said.lower():
        reason = f"compiling it takes more than {_LIMITS.memory_bytes >> 30} GiB of memory"
    else:
        reason = "it does not compile:"
    return "\n".join([reason, *([said] if said else []), *_advice(ended, source.sources, source.folder)])


def _advice(ended: Ended, source: Sources, folder: str) -> list[str]:
    found = [
        f"{folder}{one.file}:{one.line}: found an include of {one.included[:80]!r}; expected a header in the folder of "
        f"{source.name} or below, or one of the kernel in angle brackets"
        for one in source.refused
    ]
    for one in _NOT_EXPORTED.finditer(ended.said):
        name = one["gpl"] or one["name"]
        line = _first_use(name, source)
        place = f"{folder}{line}: " if line else ""
        if one["gpl"]:
            found.append(f'{place}only modules with MODULE_LICENSE("GPL") may use {name}')
        else:
            found.append(f"{place}the guest's kernel has no function or variable {name} for modules")
    return found


def _first_use(name: str, source: Sources) -> str:
    files: Mapping[str, bytes] = source.files
    for path, data in files.items():
        for number, line in enumerate(data.decode(errors="replace").splitlines(), 1):
            if re.search(rf"\b{name}\b", line):
                return f"{path}:{number}"
    return ""
