# SPDX-License-Identifier: Apache-2.0
"""Write files so that a crash leaves them complete, and refuse file names that lead out of a folder."""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import shutil
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
        reason = reason_of(exc)
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            reason += "; free some space and repeat the command"
        # Somewhere else, what is to be written is read, for example.  The error of a copy names both files.
        named = [name for name in (exc.filename, exc.filename2) if isinstance(name, str | bytes | os.PathLike)]
        elsewhere = bool(named) and not any(_is_in(Path(os.fsdecode(name)), path.parent) for name in named)
        raise StoreError(f"cannot write {path}: {f'{os.fsdecode(named[0])}: ' if elsewhere else ''}{reason}") from exc


def _is_in(path: Path, folder: Path) -> bool:
    return path.absolute().is_relative_to(folder.absolute())


def reason_of(error: OSError) -> str:
    """Return what an operating-system error says, without the names of files and as text for a message.

    The error of :func:`shutil.copytree` has a list of (source, destination, reason) in place of a text; of these, the
    first one is returned with its source, and the number of the others.
    """
    listed = error.args[0] if isinstance(error, shutil.Error) and error.args else None
    if not isinstance(listed, list) or not listed:
        return error.strerror or str(error) or type(error).__name__
    source, _destination, why = listed[0]
    others = f" (and {len(listed) - 1} more)" if len(listed) > 1 else ""
    return f"{why if str(source) in str(why) else f'{source}: {why}'}{others}"


def cause_of(error: Exception) -> str:
    """Return the reason of the operating-system error behind *error*, for a message that names the place itself."""
    found = error if isinstance(error, OSError) else error.__cause__
    return reason_of(found) if isinstance(found, OSError) else str(error)


def copy_tree(source: Path, target: Path) -> None:
    """Copy the regular files and folders in *source* to the new folder *target*; their times and modes do not count.

    In contrast to :func:`shutil.copytree`, it stops at the first error, which keeps its number and its names.

    Raises:
        OSError: Something cannot be read or written, or is neither a regular file nor a folder.
    """
    target.mkdir()
    with os.scandir(source) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                copy_tree(Path(entry.path), target / entry.name)
            elif entry.is_file(follow_symlinks=False):
                shutil.copyfile(entry.path, target / entry.name, follow_symlinks=False)
            else:
                raise OSError(errno.EINVAL, "is neither a regular file nor a folder", entry.path)


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


def write_json(path: Path, value: Any) -> None:
    """Write :func:`to_json` of *value* to the new file *path*, bit by bit, so that a large text is never in memory.

    The file is neither replaced atomically nor flushed to the disk: this is for files in an unfinished folder.

    Raises:
        StoreError: *value* contains a number that JSON cannot represent.
        OSError: The file cannot be written.
    """
    try:
        with path.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(json.JSONEncoder(indent=1, ensure_ascii=False, allow_nan=False).iterencode(value))
            file.write("\n")
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
        raise StoreError(f"cannot read {path}: {reason_of(exc)}") from exc
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
