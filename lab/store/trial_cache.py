# SPDX-License-Identifier: Apache-2.0
"""The cache of raw records, so that a trial that has run once does not need to run again."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from lab.errors import StoreError
from lab.store.digest import record_digest
from lab.store.files import copy_tree, reason_of
from lab.store.folders import by_last_use, finished_folders, folder_bytes, mark_used, new_folder, remove_folder

_KEY = re.compile(r"[0-9a-f]{16,128}")


class CachedRecord(NamedTuple):
    """A record in the cache.  Another process may remove it at any moment."""

    directory: Path
    digest: str
    """The digest that the record had when it was looked up; what is read later has to have it still."""


class TrialCache:
    """Raw records by key.  A key is the digest of everything that the record depends on.

    An entry is the folder ``<root>/<first two characters of the key>/<key>/``.  It contains the record in ``record/``
    and its digest in the file ``digest``.  Several processes may use a cache at the same time.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def get(self, key: str) -> CachedRecord | None:
        """Return the record stored under *key*; None if there is none, or if it cannot be read.

        The whole record is read and compared with its digest.  A damaged entry is removed, and the result is None.
        """
        entry = self._entry(key)
        try:
            expected = _digest_in(entry)
            found = record_digest(entry / "record")
        except (OSError, StoreError):
            remove_folder(entry)
            return None
        if expected != found:
            remove_folder(entry)
            return None
        mark_used(entry)
        return CachedRecord(entry / "record", found)

    def put(self, key: str, record_dir: Path) -> Path:
        """Copy the record *record_dir* into the cache and return the directory of the copy.

        Raises:
            StoreError: The record cannot be read, or the cache cannot be written.
        """
        entry = self._entry(key)
        digest = record_digest(record_dir)
        with new_folder(entry, if_there="replace") as folder:
            copy_tree(record_dir, folder / "record")
            (folder / "digest").write_text(digest + "\n", encoding="ascii")
        return entry / "record"

    def disprove(self, key: str, digest: str) -> bool:
        """Remove the entry under *key* unless its record has this digest; return whether it had another one.

        This is for a record that was made again, and which is therefore known to be right.

        Raises:
            StoreError: The record is another one, but it cannot be removed.
        """
        entry = self._entry(key)
        try:
            stored = _digest_in(entry)
        except OSError:
            return False
        if stored == digest:
            return False
        if not remove_folder(entry) and entry.exists():
            raise StoreError(f"cannot remove {entry}, which contains a wrong record; remove it by hand")
        return True

    def remove(self, key: str) -> None:
        """Remove the record stored under *key*, if there is one and it can be removed."""
        remove_folder(self._entry(key))

    def size_bytes(self) -> int:
        """Return the total size of all entries, in bytes.

        Raises:
            StoreError: The cache cannot be read.
        """
        return sum(folder_bytes(shelf) for shelf in self._shelves())

    def prune(self, max_bytes: int) -> int:
        """Keep the most recently used entries that fit into *max_bytes*; return how many others were removed.

        Raises:
            StoreError: The cache cannot be read.
        """
        kept = removed = 0
        try:
            entries = by_last_use(self._shelves())
        except OSError as exc:
            raise self._unreadable(exc) from exc
        for entry in entries:
            size = folder_bytes(entry)
            if kept + size > max_bytes:
                removed += remove_folder(entry)
            else:
                kept += size
        return removed

    def _entry(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ValueError(f"not a cache key: {key!r}")
        return self.root / key[:2] / key

    def _shelves(self) -> list[Path]:
        try:
            return finished_folders(self.root)
        except OSError as exc:
            raise self._unreadable(exc) from exc

    def _unreadable(self, error: OSError) -> StoreError:
        return StoreError(f"cannot read {error.filename or self.root}: {reason_of(error)}")


def _digest_in(entry: Path) -> str:
    return (entry / "digest").read_text(encoding="ascii", errors="replace").strip()
