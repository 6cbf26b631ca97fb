# SPDX-License-Identifier: Apache-2.0
"""Compile a congestion control with clang, in the sandbox, to an object that any kernel's libbpf can load."""

from __future__ import annotations

import functools
import hashlib
import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lab import names
from lab.cc import sandbox
from lab.cc.cache import ObjectCache
from lab.cc.elf import ObjectError, sections, without_debug_information
from lab.cc.explain import explain
from lab.cc.sandbox import Ended
from lab.cc.sources import Sources
from lab.errors import InputError, MachineryError
from lab.store import places
from lab.store.folders import scratch_folder

__all__ = ["INCLUDE", "CompileError", "Compiled", "compile_source", "readable"]

INCLUDE = Path(__file__).parent / "include"
"""The folder with ``lab_cc.h``."""

_SOURCE_FOLDER, _HEADER_FOLDER = "/src", "/include"
_FLAGS = (
    "-target", "bpf", "-mcpu=v3", "-O2", "-g", "-fno-builtin", "-fvisibility=hidden", "-nostdinc",
    "-I", _HEADER_FOLDER,
    "-Wall", "-Wextra", "-Wno-unused-parameter",
    # C accepts all of these, and so does the verifier of most; what they do is never what was meant.
    "-Werror=implicit-function-declaration", "-Werror=int-conversion", "-Werror=incompatible-pointer-types",
    "-Werror=return-type", "-Werror=uninitialized", "-Werror=sometimes-uninitialized", "-Werror=undefined-internal",
    "-Werror=division-by-zero",
    # The object is the same whatever the folder of the source.
    "-fdebug-compilation-dir=.", f"-fdebug-prefix-map={_SOURCE_FOLDER}=.",
    "-fno-color-diagnostics", "-fno-crash-diagnostics", "-ferror-limit=10", "-fmacro-backtrace-limit=2",
)  # fmt: skip
_FORMAT = 1
"""The version of what is made of clang's output."""

_MOST_LINES, _MOST_COLUMNS = 60, 400
_TOO_LARGE_BYTES = 16 << 20
_STRUCT_OPS = (".struct_ops", ".struct_ops.link")
_SIGXCPU, _SIGKILL, _SIGXFSZ = -24, -9, -25


class CompileError(InputError):
    """The source does not compile; the message has what clang says, with the paths that the user knows."""


@dataclass(frozen=True)
class Compiled:
    """A compiled congestion control."""

    name: str
    """The name under which it is registered in the kernel."""
    object: bytes
    """The object, without debug information."""


def compile_source(source: Sources, folder: str, name: str | None = None) -> Compiled:
    """Compile *source*, whose folder is called *folder* in messages, or take the object from the cache.

    The algorithm has the name that the source declares with ``LAB_CC``, or *name*.

    Raises:
        CompileError: It does not compile, or compiling it takes too much time or memory.
        InputError: It declares no algorithm, or a name that an algorithm cannot have.
        MachineryError: clang or the sandbox is missing here.
    """
    clang = find_clang()
    cache = ObjectCache(places.objects())
    key = _key(clang, source, name)
    data = cache.get(key)
    if data is None:
        data = without_debug_information(_compiled(clang, source, folder, name))
        found = _declared(data, source, folder)
        cache.put(key, data)
    else:
        found = _declared(data, source, folder)
    return Compiled(found, data)


@functools.cache
def find_clang() -> str:
    """Return the path of clang, the newest one if there are several without a default.

    Raises:
        MachineryError: There is none.
    """
    folder = Path("/usr/bin")
    if (folder / "clang").exists():
        return str(folder / "clang")
    versions = [found for path in folder.glob("clang-*") if (found := re.fullmatch(r"clang-(\d+)", path.name))]
    if not versions:
        raise MachineryError(
            "compiling a congestion control needs clang; `lab doctor --fix` installs it (Debian's package clang)"
        )
    return str(folder / max(versions, key=lambda match: int(match[1]))[0])


@functools.cache
def version_of(clang: str) -> str:
    """Return the first line of what clang says about its version."""
    done = subprocess.run([clang, "--version"], capture_output=True, text=True, check=False)
    if done.returncode != 0 or not done.stdout:
        raise MachineryError(f"{clang} does not work: {done.stderr.strip() or f'exit status {done.returncode}'}")
    return done.stdout.splitlines()[0]


def header_sha256() -> str:
    """Return the SHA-256 of the headers in :data:`INCLUDE`, in hexadecimal."""
    total = hashlib.sha256()
    for path in sorted(INCLUDE.glob("*.h")):
        data = path.read_bytes()
        total.update(f"{path.name} {len(data)}\n".encode() + data)
    return total.hexdigest()


def _key(clang: str, source: Sources, name: str | None) -> str:
    """Return a digest of everything on which the object depends."""
    # The paths of the files are in the object, so the digest of the contents alone is not enough.
    files = {path: hashlib.sha256(data).hexdigest() for path, data in sorted(source.files.items())}
    of = [_FORMAT, version_of(clang), _FLAGS, source.name, files, header_sha256(), name]
    return hashlib.sha256(json.dumps(of).encode()).hexdigest()


def _compiled(clang: str, source: Sources, folder: str, name: str | None) -> bytes:
    with scratch_folder("cc", lambda _message: None) as scratch:
        staged = scratch / "src"
        for path, data in source.files.items():
            target = staged / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        named = [] if name is None else [f'-DLAB_CC_NAME="{name}"']
        output = scratch / "object"
        ended = sandbox.run(
            [clang, *_FLAGS, *named, "-c", source.name, "-o", "-"],
            {staged: _SOURCE_FOLDER, INCLUDE: _HEADER_FOLDER},
            output,
            scratch / "messages",
        )
        # clang may leave a part of an object when it fails.
        if ended.status != 0:
            raise CompileError(_explained(ended, source, folder))
        return output.read_bytes()


def _explained(ended: Ended, source: Sources, folder: str) -> str:
    """Return why clang has failed, with what it says about the source."""
    limits = sandbox.DEFAULT_LIMITS
    said = readable(ended.said, source, folder)
    out_of_memory = "out of memory" in ended.said or "bad_alloc" in ended.said
    if ended.is_late:
        reason = f"compiling it does not end within {limits.wall_s:.0f} s"
    elif ended.status in (_SIGXCPU, _SIGKILL):
        reason = f"compiling it takes more than {limits.processor_s} s of processor time"
    elif ended.status == _SIGXFSZ or "File too large" in ended.said:
        reason = f"its object has more than {limits.file_bytes >> 20} MiB; expected smaller arrays"
    elif out_of_memory:
        reason = f"compiling it takes more than {limits.memory_bytes >> 30} GiB of memory"
    elif ended.status < 0 or "PLEASE submit a bug report" in ended.said:
        reason = "clang crashed while it compiled it"
    else:
        refused = "".join(
            f"\n{folder}{one.file}:{one.line}: found an include of {one.included[:80]!r}; expected lab_cc.h, or a "
            f"header in the folder of {source.name} or below"
            for one in source.refused
        )
        return f"it does not compile:\n{said}{_advice(ended, source, folder)}{refused}"
    return f"{reason}\n{said}{_advice(ended, source, folder)}".rstrip()


def _advice(ended: Ended, source: Sources, folder: str) -> str:
    """Return what is to be added for those who do not know clang's way to say it, as lines; empty if nothing is."""
    texts = {path: data.decode(errors="replace") for path, data in source.files.items()}
    explanation = explain(ended.said, {source.name: texts.pop(source.name), **texts})
    if explanation is None:
        return ""
    place = f"{folder}{explanation.place}: " if explanation.place is not None else ""
    return f"\n{place}{explanation.reason}"


def readable(said: str, source: Sources, folder: str) -> str:
    """Return a compiler's messages with the paths that the user knows, without what is of no use, as plain text."""
    lines = []
    for line in said.splitlines():
        if line.startswith(("PLEASE submit", "Stack dump:")):
            break
        # A message may quote anything from the source, and it is printed on terminals.
        plain = "".join(letter if letter.isprintable() or letter == "\t" else "�" for letter in line)
        lines.append(_with_folder(plain[:_MOST_COLUMNS], source, folder))
    if len(lines) > _MOST_LINES:
        lines[_MOST_LINES:] = [f"… and {len(lines) - _MOST_LINES} more lines"]
    return "\n".join(lines).rstrip()


def _with_folder(line: str, source: Sources, folder: str) -> str:
    before, path, after = "", *line.partition(":")[::2]
    if path.startswith("In file included from "):
        before = "In file included from "
        path = path.removeprefix(before)
    path = path.removeprefix("./")
    if path in source.files:
        return f"{before}{folder}{path}:{after}"
    return f"{before}{path.removeprefix(_HEADER_FOLDER + '/')}:{after}" if after else line


def _declared(data: bytes, source: Sources, folder: str) -> str:
    """Return the name of the algorithm that an object declares.

    Raises:
        InputError: It declares none or several, one without a usable name, or needs too much memory.
    """
    where = f"{folder}{source.name}"
    try:
        found = sections(data)
    except ObjectError as error:
        raise InputError(f"{where}: clang's output cannot be used: {error}") from error
    declaring = [section for section in found if section.name in _STRUCT_OPS and section.size and section.has_data]
    if len(declaring) != 1:
        raise InputError(
            f'{where}: found no algorithm; expected LAB_CC("name", …) as the last line, with the operations that the '
            "file defines"
        )
    large = sum(section.size for section in found if section.name.startswith((".bss", ".data", ".rodata")))
    if large > _TOO_LARGE_BYTES:
        raise InputError(
            f"{where}: found {large >> 20} MiB of global variables; expected at most {_TOO_LARGE_BYTES >> 20} MiB"
        )
    content = data[declaring[0].offset : declaring[0].offset + declaring[0].size]
    # Pointers to functions are zero in an object, so that the name is the only text in it.
    texts = re.findall(rb"[ -~]+(?=\0)", content)
    declared = max(texts, key=len).decode("ascii") if texts else ""
    if not re.fullmatch(names.CONGESTION_CONTROL, declared):
        line = source.text.rpartition("LAB_CC")[0].count("\n") + 1
        raise InputError(
            f"{where}:{line}: found the name {declared!r} in LAB_CC; expected up to 15 lowercase letters, digits and "
            "'_'"
        )
    return declared
