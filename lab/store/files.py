# SPDX-License-Identifier: Apache-2.0
"""Write files so that a crash leaves them complete, and refuse file names that lead out of a folder."""

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
from lab.store.owner import own_name

TEMPORARY_PREFIX = ".tmp-"
"""Files and folders with this prefix are unfinished, or are being removed; readers ignore them."""

_SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+=,@%-]{0,199}")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an operating-system error while *path* is written into a :class:`StoreError` that names the path."""
    try:
        yield
    except OSError as exc:
        reason = exc.strerror or str(exc)
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            reason += "; free some space and repeat the command"
        # Somewhere else, what is to be written is read, for example.
        named = exc.filename
        elsewhere = isinstance(named, str | bytes | os.PathLike) and not _is_in(Path(os.fsdecode(named)), path.parent)
        raise StoreError(f"cannot write {path}: {f'{os.fsdecode(named)}: ' if elsewhere else ''}{reason}") from exc


def _is_in(path: Path, folder: Path) -> bool:
    return path.absolute().is_relative_to(folder.absolute())


def check_name(name: object, what: str) -> str:
    """Return *name* if it can be used as a file name.

    The names of flows, collectors and trials become parts of paths.  Some of them are read from the record of a guest
    that may have run untrusted code.

    Raises:
        StoreError: *name* cannot be used as a file name.
    """
    if not isinstance(name, str) or not _SAFE_NAME.fullmatch(name):
        raise StoreError(f"{what} {name!r} cannot be used as a file name")
    return name


def file_inside(folder: Path, name: object, what: str) -> Path:
    """Return the path of the regular file *name* inside *folder*.

    Raises:
        StoreError: The file is missing, lies outside the folder, or is reached through a symbolic link.
    """
    if not isinstance(name, str) or not name:
        raise StoreError(f"{what} has no name")
    relative = Path(name)
    if relative.is_absolute() or ".." in relative.parts:
        raise StoreError(f"{what} {name!r} lies outside the record {folder}")
    path = folder
    for part in relative.parts:
        path = path / part
        if path.is_symlink():
            raise StoreError(f"{what} {name!r} is a symbolic link")
    if not path.is_file():
        raise StoreError(f"{what} {name!r} is missing from the record {folder}")
    return path


def temporary_name(parent: Path) -> Path:
    """Return an unused path in *parent* that readers ignore, and whose name says to which process it belongs."""
    return parent / f"{TEMPORARY_PREFIX}{own_name()}-{secrets.token_hex(6)}"


def to_json(value: Any) -> bytes:
    """Return *value* as indented UTF-8 JSON with a final newline.  Keys keep their order.

    Raises:
        StoreError: *value* contains a number that JSON cannot represent.
    """
    try:
        return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
    except ValueError as exc:
        raise StoreError(f"a value cannot be represented as JSON: {exc}") from exc


def read_json(path: Path) -> Any:
    """Parse the JSON file *path*.

    Raises:
        StoreError: The file cannot be read, or is not JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except OSError as exc:
        raise StoreError(f"cannot read {path}: {exc.strerror or exc}") from exc
    except (ValueError, RecursionError) as exc:
        raise StoreError(f"{path} is damaged: {exc}") from exc


def write_file(path: Path, data: bytes) -> None:
    """Write *data* to *path* atomically: after a crash the file has either its old or its new content.

    Raises:
        StoreError: The file cannot be written.
    """
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
    """Flush the file *path* to the disk (``fsync``)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


sync_folder = sync_file
"""Flush the entries of a folder to the disk, which works in the same way as for a file."""


def sync_tree(folder: Path) -> None:
    """Flush *folder*, and all files and folders in it, to the disk."""
    for root, _, files in os.walk(folder):
        for name in files:
            sync_file(Path(root, name))
        sync_folder(Path(root))
