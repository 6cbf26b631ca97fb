# SPDX-License-Identifier: Apache-2.0
"""Notice when a file in the cache is no longer what was written: images, kernels, templates, the library for QEMU.

:func:`write_list` puts the file ``files.json`` into a folder that has just been built.  It contains the size and the
SHA-256 of each file in the folder.  :func:`problem_in` compares them.  The sizes are compared each time.  The contents
are read once after each boot of the machine, and again after a file was written or replaced: the folder ``checked`` of
the cache keeps, for each folder, the identity and the times of the files whose contents were as they should be.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
from collections.abc import Collection
from pathlib import Path
from typing import Any, TypedDict

from lab.errors import StoreError
from lab.store import places
from lab.store.files import to_json, write_file

LIST = "files.json"
"""The name of the file that lists the others."""

_CHUNK = 1 << 20
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_FORGOTTEN: set[Path] = set()
"""Notes that :func:`forget_checks` could not remove."""


class Listed(TypedDict):
    """What the list says about a file."""

    bytes: int
    sha256: str


def write_list(folder: Path, *, becomes: Path | None = None) -> None:
    """List all files of *folder* in its file ``files.json``.

    If the folder will be renamed, *becomes* is its path afterwards.  The contents are known to be correct from now on.

    Raises:
        OSError: A file cannot be read.
        StoreError: The list cannot be written.
    """
    states, listed = {}, {}
    for name in sorted(path.name for path in folder.iterdir() if path.name != LIST):
        found = (folder / name).lstat()
        states[name] = _state(found)
        listed[name] = Listed(bytes=found.st_size, sha256=sha256_of(folder / name))
    write_file(folder / LIST, to_json(listed))
    _remember(becomes or folder, states)


def problem_in(folder: Path, needed: Collection[str]) -> str | None:
    """Return what is wrong with the files in *folder*, with the name of the file; None if nothing is.

    ``needed`` are the names of files that the list must contain.
    """
    try:
        listed = _read_list(folder)
        missing = sorted(set(needed) - listed.keys())
        if missing:
            return f"{LIST} does not list {', '.join(missing)}"
        states = {}
        for name, expected in listed.items():
            found = (folder / name).lstat()
            if not stat.S_ISREG(found.st_mode):
                return f"{name} is not a regular file"
            if found.st_size != expected["bytes"]:
                return f"{name} has {found.st_size} bytes instead of {expected['bytes']}"
            states[name] = _state(found)
        if _remembered(folder) == states:
            return None
        for name, expected in listed.items():
            if sha256_of(folder / name) != expected["sha256"]:
                return f"the content of {name} has changed (its SHA-256 is another one)"
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except OSError as error:
        return f"{Path(error.filename or folder).name} cannot be read: {error.strerror}"
    except ValueError as error:
        return f"{LIST} is damaged: {error}"
    _remember(folder, states)
    return None


def forget_checks() -> None:
    """Let :func:`problem_in` read the contents of all files again, whatever has been checked since the boot."""
    for note in places.checked().glob("*.json"):
        try:
            note.unlink(missing_ok=True)
        except OSError:  # The cache cannot be written: this process does not go by the note.
            _FORGOTTEN.add(note)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal.  Holes of a sparse file are not read, but count as zeros.

    Raises:
        OSError: The file cannot be read.
    """
    total = hashlib.sha256()
    zeros = bytes(_CHUNK)
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        at = 0
        while at < size:
            start = _next_data(file.fileno(), at, size)
            while at < start:
                total.update(memoryview(zeros)[: start - at])
                at += min(_CHUNK, start - at)
            end = os.lseek(file.fileno(), at, os.SEEK_HOLE) if at < size else size
            os.lseek(file.fileno(), at, os.SEEK_SET)
            while at < end:
                chunk = file.read(min(_CHUNK, end - at))
                if not chunk:
                    return total.hexdigest()  # The file has become shorter.
                total.update(chunk)
                at += len(chunk)
    return total.hexdigest()


def _next_data(descriptor: int, at: int, size: int) -> int:
    try:
        return os.lseek(descriptor, at, os.SEEK_DATA)
    except OSError:  # ENXIO: there are no data after this place.
        return size


def _read_list(folder: Path) -> dict[str, Listed]:
    """Return the list of *folder*.

    Raises:
        OSError: There is none, or it cannot be read.
        ValueError: It is not what :func:`write_list` writes.
    """
    found: Any = json.loads((folder / LIST).read_bytes())
    if not isinstance(found, dict):
        raise ValueError("found no object")
    for name, entry in found.items():
        ok = isinstance(entry, dict) and type(entry.get("bytes")) is int and isinstance(entry.get("sha256"), str)
        if not ok or Path(name).name != name:
            raise ValueError(f"the entry of {name!r} is not a size and a digest")
    return found


def _note(folder: Path) -> Path:
    """Return the file that keeps what is remembered of *folder*."""
    return places.checked() / f"{hashlib.sha256(os.path.realpath(folder).encode()).hexdigest()}.json"


def _state(found: os.stat_result) -> list[int]:
    """Return what changes if a file is written or replaced.  The times are in ns."""
    return [found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def _boot() -> str:
    return _BOOT_ID.read_text(encoding="ascii").strip()


def _remembered(folder: Path) -> dict[str, list[int]] | None:
    """Return the states of the files whose contents were found to be correct since the boot; None if there are none."""
    path = _note(folder)
    if path in _FORGOTTEN:
        return None
    try:
        note: Any = json.loads(path.read_bytes())
        return note["files"] if note["boot"] == _boot() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remember(folder: Path, states: dict[str, list[int]]) -> None:
    # If the cache cannot be written, the contents are read again the next time.
    with contextlib.suppress(OSError, StoreError):
        places.checked().mkdir(parents=True, exist_ok=True)
        write_file(_note(folder), to_json({"boot": _boot(), "folder": str(folder), "files": states}))
        _FORGOTTEN.discard(_note(folder))
