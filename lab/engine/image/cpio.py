# SPDX-License-Identifier: Apache-2.0
"""Write cpio archives in the "newc" format, which Linux accepts as an initramfs.

Source: Documentation/driver-api/early-userspace/buffer-format.rst.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping

_TRAILER = "TRAILER!!!"


def archive(
    files: Mapping[str, bytes], *, executable: frozenset[str] = frozenset(), directories: tuple[str, ...] = ()
) -> bytes:
    """Return an archive of ``files`` (path → content), their parent directories and the empty ``directories``.

    The same input always gives the same bytes: all entries belong to root, have time 0 and are sorted.
    """
    needed = set(directories)
    for path in (*files, *directories):
        parts = path.split("/")
        needed.update("/".join(parts[:end]) for end in range(1, len(parts)))
    entries = dict.fromkeys(needed, (stat.S_IFDIR | 493, b""))
    for path, content in files.items():
        entries[path] = (stat.S_IFREG | (0o755 if path in executable else 0o644), content)
    chunks = [_entry(number, path, *entries[path]) for number, path in enumerate(sorted(entries), start=1)]
    return b"".join([*chunks, _entry(0, _TRAILER, 0, b"")])


def _entry(inode: int, path: str, mode: int, content: bytes) -> bytes:
    name = path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(mode) else 1
    numbers = (inode, mode, 0, 0, links, 0, len(content), 0, 0, 0, 0, len(name), 0)
    header = b"070701" + b"".join(b"%08X" % number for number in numbers)
    return _padded(header + name) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
