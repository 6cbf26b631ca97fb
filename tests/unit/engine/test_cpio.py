# SPDX-License-Identifier: Apache-2.0
"""Check initramfs archives by reading them back, with a reader of this module and with ``cpio`` if it is installed."""

from __future__ import annotations

import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.engine.image.cpio import archive

FILES = {"init": b"#!/bin/sh\n", "lab/agent/guest.py": b"x" * 4097, "lab/empty": b""}


@dataclass(frozen=True)
class Entry:
    name: str
    mode: int
    links: int
    uid: int
    gid: int
    mtime: int
    content: bytes


def entries(data: bytes) -> list[Entry]:
    """Return all entries before the trailer; the format is that of the kernel's documentation."""
    found: list[Entry] = []
    offset = 0
    while True:
        assert offset % 4 == 0
        assert data[offset : offset + 6] == b"070701"
        fields = [int(data[offset + 6 + 8 * field : offset + 14 + 8 * field], 16) for field in range(13)]
        _inode, mode, uid, gid, links, mtime, size, *_devices, name_bytes, _checksum = fields
        name = data[offset + 110 : offset + 110 + name_bytes]
        assert name.endswith(b"\0")
        start = (offset + 110 + name_bytes + 3) & ~3
        if name == b"TRAILER!!!\0":
            assert (start, size) == (len(data), 0)
            return found
        found.append(Entry(name[:-1].decode(), mode, links, uid, gid, mtime, data[start : start + size]))
        offset = (start + size + 3) & ~3


def test_files_and_their_directories() -> None:
    found = entries(archive(FILES, executable=frozenset({"init"}), directories=("dev", "a/b")))
    assert [entry.name for entry in found] == [
        "a", "a/b", "dev", "init", "lab", "lab/agent", "lab/agent/guest.py", "lab/empty",
    ]  # fmt: skip
    by_name = {entry.name: entry for entry in found}
    assert {name: by_name[name].content for name in FILES} == FILES
    assert by_name["init"].mode == stat.S_IFREG | 0o755
    assert by_name["lab/empty"].mode == stat.S_IFREG | 0o644
    assert by_name["a/b"].mode == stat.S_IFDIR | 0o755
    assert by_name["a/b"].links == 2


def test_every_directory_comes_before_what_is_in_it() -> None:
    # The kernel unpacks entries in order and silently drops a file whose directory does not exist yet.
    seen = {""}
    for entry in entries(archive({"a/b/c": b"", "a-b": b"", "a.b/c": b"", "z": b""})):
        assert str(entry.name).rpartition("/")[0] in seen
        if stat.S_ISDIR(entry.mode):
            seen.add(entry.name)


def test_nothing_of_this_machine_is_in_it() -> None:
    data = archive(FILES)
    assert all((entry.uid, entry.gid, entry.mtime) == (0, 0, 0) for entry in entries(data))
    assert archive(dict(reversed(FILES.items()))) == data


def test_archives_can_follow_one_another() -> None:
    # This happens when the agent's files are appended to the image's boot archive.
    assert len(archive(FILES)) % 4 == 0


@pytest.mark.skipif(shutil.which("cpio") is None, reason="the tool cpio is not installed")
def test_the_cpio_tool_reads_it(tmp_path: Path) -> None:
    data = archive(FILES, executable=frozenset({"init"}), directories=("dev",))
    subprocess.run(["cpio", "-idm", "--quiet"], input=data, cwd=tmp_path, check=True, timeout=10)
    assert {name: (tmp_path / name).read_bytes() for name in FILES} == FILES
    assert (tmp_path / "dev").is_dir()
    assert (tmp_path / "init").stat().st_mode & 0o777 == 0o755
