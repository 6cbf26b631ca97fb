# SPDX-License-Identifier: Apache-2.0
"""Writing that survives a crash, and names that cannot lead out of a folder."""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab.errors import StoreError

TEMPORARY_PREFIX = ".tmp-"
"""Names with this prefix are unfinished work, or on their way out; readers never look at them."""

_SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+=,@%-]{0,199}")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an operating-system error while writing *path* into a :class:`StoreError` that names it."""
    try:
        yield
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreError(f"the disk is full: cannot write {path}; free some space and resume the run") from exc
        raise StoreError(f"cannot write {path}: {exc.strerror or exc}") from exc


def check_name(name: object, what: str) -> str:
    """Return *name* if it is usable as one file name, else raise :class:`StoreError`.

    Flow, collector and trial names end up in paths, and some of them come back from a guest that ran
    somebody else's code.
    """
    if not isinstance(name, str) or not _SAFE_NAME.fullmatch(name):
        raise StoreError(f"{what} {name!r} cannot be used as a file name")
    return name


def file_inside(folder: Path, name: object, what: str) -> Path:
    """Return the regular file *name* below *folder*; refuse links and paths that lead elsewhere."""
    if not isinstance(name, str) or not name:
        raise StoreError(f"{what} names no file")
    relative = Path(name)
    if relative.is_absolute() or ".." in relative.parts:
        raise StoreError(f"{what} {name!r} lies outside of the record {folder}")
    path = folder
    for part in relative.parts:
        path = path / part
        if path.is_symlink():
            raise StoreError(f"{what} {name!r} is a symbolic link")
    if not path.is_file():
        raise StoreError(f"{what} {name!r} is missing from the record {folder}")
    return path


def temporary_name(parent: Path) -> Path:
    """Return a fresh path in *parent* that readers ignore, and that names the process it belongs to."""
    return parent / f"{TEMPORARY_PREFIX}{os.getpid()}-{secrets.token_hex(6)}"


def to_json(value: Any) -> bytes:
    """Return *value* as indented UTF-8 JSON that ends in a newline; the order of keys is kept."""
    try:
        return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
    except ValueError as exc:
        raise StoreError(f"not representable as JSON: {exc}") from exc


def read_json(path: Path) -> Any:
    """Parse the JSON file *path*.

    Raises:
        StoreError: It cannot be read, or is not JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except OSError as exc:
        raise StoreError(f"cannot read {path}: {exc.strerror or exc}") from exc
    except ValueError as exc:
        raise StoreError(f"{path} is damaged: {exc}") from exc


def write_file(path: Path, data: bytes) -> None:
    """Replace *path* by *data* atomically: after a crash it holds the old bytes or the new ones."""
    temporary = temporary_name(path.parent)
    with writing(path):
        try:
            temporary.write_bytes(data)
            sync_file(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)


def sync_file(path: Path) -> None:
    """Flush *path* to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


sync_folder = sync_file
"""A folder's entries are flushed the same way."""


def sync_tree(folder: Path) -> None:
    """Flush every file and folder below *folder*, and itself."""
    for root, _, files in os.walk(folder):
        for name in files:
            sync_file(Path(root, name))
        sync_folder(Path(root))
