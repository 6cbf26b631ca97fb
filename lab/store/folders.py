# SPDX-License-Identifier: Apache-2.0
"""Folders that are whole or not there: runs, trials, reports, images, templates, figures and cached records.

A folder is made under a temporary name, flushed to the disk, and renamed.  Several processes may use the same parent
folder at a time.  What a killed process leaves has a temporary name that holds its process id, so that readers never
look at it and the next one to come by removes it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from filelock import FileLock

from lab.errors import StoreError
from lab.store.files import TEMPORARY_PREFIX, sync_folder, sync_tree, temporary_name, writing

IfThere = Literal["refuse", "replace", "keep"]
"""What to do about a folder that has the final name already: raise an error, let it make way, or let it stay."""


@contextmanager
def unfinished_folder(parent: Path) -> Iterator[Path]:
    """Yield a new temporary folder in *parent*, which vanishes when the block ends unless it was published.

    Raises:
        StoreError: The folder cannot be made.
    """
    folder = temporary_name(parent)
    with writing(parent):
        folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(folder: Path, final: Path, *, if_there: IfThere = "refuse") -> None:
    """Give an unfinished folder its final name, in one step.

    Raises:
        StoreError: The disk cannot take it, or *final* exists and *if_there* is ``refuse``.
    """
    with writing(final):
        sync_tree(folder)
        # Other processes may put or remove the same folder between any two of these steps.
        while not _rename(folder, final, if_there):
            pass
        sync_folder(final.parent)


def _rename(folder: Path, final: Path, if_there: IfThere) -> bool:
    """Return whether the matter is settled: *folder* has its final name, or the one that is there stays."""
    if if_there == "replace":
        remove_folder(final)
    try:
        folder.rename(final)
    except OSError as exc:
        if if_there == "refuse" or exc.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return if_there == "keep" and final.is_dir()
    return True


@contextmanager
def new_folder(final: Path, *, if_there: IfThere = "refuse") -> Iterator[Path]:
    """Yield a temporary folder that becomes *final* when the block ends well, and vanishes when not.

    Raises:
        StoreError: The disk cannot take it, or *final* exists and *if_there* is ``refuse``.
    """
    with writing(final), unfinished_folder(final.parent) as folder:
        yield folder
        publish(folder, final, if_there=if_there)


def remove_folder(folder: Path) -> None:
    """Remove *folder*, if it is there, so that no reader ever sees a part of it."""
    leaving = temporary_name(folder.parent)
    with contextlib.suppress(OSError):
        folder.rename(leaving)
    shutil.rmtree(leaving, ignore_errors=True)


def finished_folders(parent: Path) -> list[Path]:
    """Return the folders in *parent* that are whole, by name; none where there is no *parent*."""
    try:
        paths = sorted(parent.iterdir())
    except FileNotFoundError:
        return []
    return [path for path in paths if not path.name.startswith(TEMPORARY_PREFIX) and path.is_dir()]


def mark_used(folder: Path) -> None:
    """Note that *folder* was used just now, for :func:`by_last_use`; somebody else's cache is left as it is."""
    with contextlib.suppress(OSError):
        os.utime(folder)


def by_last_use(parents: Iterable[Path]) -> list[Path]:
    """Return the finished folders in all of *parents*, the one used last first."""
    used: list[tuple[float, Path]] = []
    for folder in (folder for parent in parents for folder in finished_folders(parent)):
        with contextlib.suppress(FileNotFoundError):  # another process has just removed it
            used.append((folder.stat().st_mtime, folder))
    return [folder for _when, folder in sorted(used, reverse=True)]


def remove_leftovers(parent: Path) -> None:
    """Remove the temporary folders in *parent* whose process is no more."""
    for path in parent.glob(f"{TEMPORARY_PREFIX}*"):
        owner = path.name.removeprefix(TEMPORARY_PREFIX).partition("-")[0]
        if not Path("/proc", owner).exists():
            shutil.rmtree(path, ignore_errors=True)


def folder_bytes(folder: Path) -> int:
    """Return the sum of the sizes of the files below *folder*; files that vanish meanwhile count nothing."""
    total = 0
    for root, _folders, files in os.walk(folder):  # which passes over folders that vanish
        for name in files:
            with contextlib.suppress(FileNotFoundError):
                found = os.lstat(os.path.join(root, name))
                total += found.st_size if stat.S_ISREG(found.st_mode) else 0
    return total


def lock_in(folder: Path, name: str) -> FileLock:
    """Return a lock that one process at a time can hold; it goes with its process, however that ends.

    Raises:
        StoreError: *folder* cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise StoreError(f"cannot write the cache {folder.parent}: {exc.strerror}; LAB_CACHE names another") from exc
    return FileLock(folder / f"{name}.lock")
