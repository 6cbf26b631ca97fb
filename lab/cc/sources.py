# SPDX-License-Identifier: Apache-2.0
"""A source file and the headers from its folder that it includes.  This module does no I/O."""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from lab.errors import InputError

__all__ = ["MAX_SOURCE_BYTES", "MODULE_SUFFIX", "SUFFIX", "Refused", "Sources", "gather"]

SUFFIX = ".bpf.c"
"""The end of a source's name, by which it differs from the name of an algorithm that the kernel has."""

MODULE_SUFFIX = ".c"
"""The end of the name of a kernel module's source."""

MAX_SOURCE_BYTES = 256 * 1024
"""The largest size of a source together with the headers that it includes."""

MAX_FILES = 32

_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,99}")
_INCLUDE = re.compile(rb'^[ \t]*#[ \t]*include(?:_next)?[ \t]*"([^"\n]{1,500})"', re.MULTILINE)


@dataclass(frozen=True)
class Refused:
    """An include of a file that may not be read."""

    file: str
    line: int
    included: str


@dataclass(frozen=True)
class Sources:
    """A source with the headers from its folder that it includes, directly or through others."""

    name: str
    """The name of the source in its folder, such as ``my_cc.bpf.c``."""
    files: Mapping[str, bytes]
    """Path relative to the source's folder → content, of the source and of the headers."""
    refused: tuple[Refused, ...] = ()

    @property
    def text(self) -> str:
        """The text of the source; bytes that are not UTF-8 are replaced."""
        return self.files[self.name].decode(errors="replace")

    @property
    def sha256(self) -> str:
        """The SHA-256 of the source, in hexadecimal.

        If the source includes headers from its folder, it is the SHA-256 of what ``sha256sum`` prints for all files,
        in the order of their paths.
        """
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(self.files.items())}
        if len(digests) == 1:
            return digests[self.name]
        listed = "".join(f"{digest}  {name}\n" for name, digest in digests.items())
        return hashlib.sha256(listed.encode()).hexdigest()


def gather(name: str, read: Callable[[str], bytes | None], suffix: str = SUFFIX) -> Sources:
    """Return the source *name* with the headers that it includes.

    *read* returns the content of a file in the folder of the source, by its path relative to that folder, or None if
    there is no such file.  It is never asked for a path that is absolute or leads out of the folder; the includes of
    such paths are the ``refused`` ones.  Conditions are not evaluated, so that a header counts even if it is included
    under an ``#if`` that does not hold.

    Raises:
        InputError: The source has another name than *suffix* allows, or there is too much of it.
    """
    if not _FILE_NAME.fullmatch(name) or not name.endswith(suffix) or name == suffix:
        raise InputError(
            f"found a source named {name!r}; expected letters, digits, '_', '.', '+' and '-', and '{suffix}' at the end"
        )
    files: dict[str, bytes] = {}
    refused: list[Refused] = []
    waiting = [name]
    while waiting:
        path = waiting.pop()
        data = None if path in files else read(path)
        if data is None:
            continue
        files[path] = data
        size = sum(map(len, files.values()))
        if size > MAX_SOURCE_BYTES:
            limit = f"{MAX_SOURCE_BYTES // 1024} KiB together"
            raise InputError(f"found a source and headers of more than {limit}; expected less")
        if len(files) > MAX_FILES:
            raise InputError(f"found more than {MAX_FILES} headers that the source includes; expected fewer")
        for line, included in _includes(data):
            target = _inside(path, included)
            if target is None:
                refused.append(Refused(path, line, included))
            else:
                waiting.append(target)
    return Sources(name, files, tuple(refused))


def _includes(data: bytes) -> Iterator[tuple[int, str]]:
    """Yield the line and the path of each include of a quoted path."""
    for found in _INCLUDE.finditer(data):
        yield data.count(b"\n", 0, found.start()) + 1, found[1].decode(errors="replace")


def _inside(path: str, included: str) -> str | None:
    """Return the path, relative to the source's folder, of what the file *path* includes; None if it may not."""
    parts = included.split("/")
    if not all(_FILE_NAME.fullmatch(part) for part in parts):
        return None
    return posixpath.join(posixpath.dirname(path), included)
