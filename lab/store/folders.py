# SPDX-License-Identifier: Apache-2.0
"""Create folders that are either complete or absent: runs, trials, reports, images, templates, figures, cached records.

A folder is created under a temporary name, flushed to the disk, and renamed.  Several processes may use the same parent
folder at the same time.  The temporary name says to which process the folder belongs (:mod:`lab.store.owner`).  If that
process is killed, readers ignore the folder that it leaves behind, and :func:`remove_leftovers` removes it later.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from filelock import FileLock

from lab.errors import StoreError
from lab.store.files import TEMPORARY_PREFIX, reason_of, sync_folder, sync_tree, temporary_name, writing
from lab.store.owner import Judgement, judge, own_name

OLD_S = 86400.0
"""The time, in seconds, after whose passing without a change an unfinished folder counts as left behind, even if nobody
can tell whether its owner still runs."""

IfThere = Literal["refuse", "replace", "keep"]
"""What to do if a folder with the final name exists already: raise an error, replace that folder, or keep it."""


@contextmanager
def unfinished_folder(parent: Path) -> Iterator[Path]:
    """Yield a new temporary folder in *parent*.  At the end of the block it is removed, unless it was published.

    Raises:
        StoreError: The folder cannot be created.
    """
    folder = temporary_name(parent)
    with writing(parent):
        folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(folder: Path, final: Path, *, if_there: IfThere = "refuse") -> None:
    """Flush an unfinished folder to the disk and rename it to *final*, so that it appears all at once.

    Raises:
        StoreError: The folder cannot be written, or *final* exists and *if_there* is ``refuse``.
    """
    with writing(final):
        sync_tree(folder)
        # Another process may create or remove *final* at any moment, so try again until the outcome is clear.
        while not _rename(folder, final, if_there):
            pass
        sync_folder(final.parent)


def _rename(folder: Path, final: Path, if_there: IfThere) -> bool:
    """Try to rename *folder* to *final* once.

    Return True if *folder* has its final name now, or if an existing folder is to be kept; False to try again.
    """
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
    """Yield a temporary folder.  At the end of the block it becomes *final*; after an exception it is removed.

    Raises:
        StoreError: The folder cannot be written, or *final* exists and *if_there* is ``refuse``.
    """
    with writing(final), unfinished_folder(final.parent) as folder:
        yield folder
        publish(folder, final, if_there=if_there)


def remove_folder(folder: Path) -> bool:
    """Remove *folder* if it exists, and return whether this call has removed it.

    It is renamed first, so that no reader ever sees it partly removed.
    """
    renamed = temporary_name(folder.parent)
    try:
        folder.rename(renamed)
    except OSError:  # it is not there, or this process may not remove it
        return False
    shutil.rmtree(renamed, ignore_errors=True)
    return True


def bytes_on_disk(folder: Path) -> int:
    """Return the disk space that the files in *folder* occupy, in bytes."""
    return sum(file.stat().st_blocks * 512 for file in folder.iterdir())


def finished_folders(parent: Path) -> list[Path]:
    """Return the complete folders in *parent*, sorted by name; the list is empty if *parent* does not exist.

    Raises:
        OSError: *parent* cannot be read.
    """
    try:
        paths = sorted(parent.iterdir())
    except FileNotFoundError:
        return []
    return [path for path in paths if not path.name.startswith(TEMPORARY_PREFIX) and path.is_dir()]


def mark_used(folder: Path) -> None:
    """Record for :func:`by_last_use` that *folder* was used now.

    Nothing happens if the folder does not exist, or belongs to somebody else and cannot be changed.
    """
    with contextlib.suppress(OSError):
        os.utime(folder)


def by_last_use(parents: Iterable[Path]) -> list[Path]:
    """Return the complete folders in all of *parents*, most recently used first.

    Raises:
        OSError: One of *parents* cannot be read.
    """
    used: list[tuple[float, Path]] = []
    for folder in (folder for parent in parents for folder in finished_folders(parent)):
        with contextlib.suppress(FileNotFoundError):  # another process may have removed it in the meantime
            used.append((folder.stat().st_mtime, folder))
    return [folder for _when, folder in sorted(used, reverse=True)]


def remove_leftovers(*parents: Path, prefix: str = TEMPORARY_PREFIX) -> list[str]:
    """Remove what processes that have ended have left in *parents*: entries named *prefix* and the name of their owner.

    What belongs to another machine, container or boot may still be in use there.  It stays until nothing in it has
    changed for :data:`OLD_S`.  Return a message for each entry of this kind, whether it stays or has been removed, and
    for each that cannot be removed.
    """
    messages = []
    for parent in parents:
        for path in sorted(parent.glob(f"{glob.escape(prefix)}*")):
            judgement = judge(path.name.removeprefix(prefix))
            if judgement in (Judgement.RUNS, Judgement.NONE) or not _may_remove(path):
                continue
            if judgement is Judgement.UNKNOWN and _last_change(path) > time.time() - OLD_S:
                messages.append(
                    f"{path} stays: it belongs to a lab of another machine, container or boot, which may still run; "
                    "it is removed a day after its last change"
                )
                continue
            _remove(path)
            if os.path.lexists(path):
                messages.append(f"{path}, which a killed lab has left, cannot be removed")
            elif judgement is Judgement.UNKNOWN:
                messages.append(
                    f"{path} has been removed: a lab of another machine, container or boot has left it, and nothing in "
                    "it has changed for a day"
                )
    return messages


def _may_remove(path: Path) -> bool:
    """Return whether *path* is still there and, in a folder such as ``/tmp``, belongs to this user.

    In a folder with the sticky bit, anybody may use the same names.
    """
    try:
        return not path.parent.stat().st_mode & stat.S_ISVTX or path.lstat().st_uid == os.geteuid()
    except FileNotFoundError:
        return False


def _last_change(path: Path) -> float:
    """Return when *path* or anything in it was last written, in seconds since 1970."""
    latest = 0.0
    paths = [str(path)]
    for root, folders, files in os.walk(path):
        paths += [os.path.join(root, name) for name in (*folders, *files)]
    for name in paths:
        with contextlib.suppress(FileNotFoundError):  # its owner may be at work
            latest = max(latest, os.lstat(name).st_mtime)
    return latest


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


@contextmanager
def scratch_folder(purpose: str, say: Callable[[str], None], parent: Path | None = None) -> Iterator[Path]:
    """Yield a new folder that is removed at the end of the block, in *parent* or else the folder for temporary files.

    Its name is ``lab-<purpose>-`` and that of its owner.  What killed processes have left of the same purpose is
    removed as by :func:`remove_leftovers`, whose messages are given to *say*.

    Raises:
        StoreError: The folder cannot be created.
    """
    above = parent or Path(tempfile.gettempdir())
    prefix = f"lab-{purpose}-"
    for message in remove_leftovers(above, prefix=prefix):
        say(message)
    with writing(above):
        folder = Path(tempfile.mkdtemp(prefix=f"{prefix}{own_name()}-", dir=above))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def folder_bytes(folder: Path) -> int:
    """Return the total size of the files in *folder* in bytes.

    Files that are removed in the meantime, or that this process may not look at, do not count.
    """
    total = 0
    for root, _folders, files in os.walk(folder):  # os.walk() skips folders that are removed in the meantime
        for name in files:
            with contextlib.suppress(OSError):
                found = os.lstat(os.path.join(root, name))
                total += found.st_size if stat.S_ISREG(found.st_mode) else 0
    return total


def lock_in(folder: Path, name: str) -> FileLock:
    """Return a lock that only one process can hold at any time.  It is released when its process ends in any way.

    Raises:
        StoreError: *folder* cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        hint = "set LAB_CACHE to another folder"
        raise StoreError(f"cannot write the cache {folder.parent}: {reason_of(exc)}; {hint}") from exc
    # By default, only the thread that has acquired a lock can release it, and any other releases nothing, silently.
    return FileLock(folder / f"{name}.lock", thread_local=False)
