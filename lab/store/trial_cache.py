# SPDX-License-Identifier: Apache-2.0
"""A folder of raw records, by key: a trial that has run once need not run again."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from lab.errors import StoreError
from lab.store.digest import record_digest
from lab.store.folders import by_last_use, finished_folders, folder_bytes, mark_used, new_folder, remove_folder

_KEY = re.compile(r"[0-9a-f]{16,128}")


class TrialCache:
    """Records by key, where a key is the digest of everything that a record depends on.

    An entry is ``<root>/<first two of key>/<key>/`` with the record in ``record/`` and its digest in
    ``digest``.  Several processes may use one cache at a time.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def get(self, key: str) -> Path | None:
        """Return the record directory stored under *key*, or None.

        The record is read whole and compared with its digest; a damaged entry is removed and not returned.
        """
        entry = self._entry(key)
        try:
            expected = (entry / "digest").read_text().strip()
            found = record_digest(entry / "record")
        except FileNotFoundError:
            remove_folder(entry)
            return None
        except (OSError, StoreError):
            remove_folder(entry)
            return None
        if expected != found:
            remove_folder(entry)
            return None
        mark_used(entry)
        return entry / "record"

    def put(self, key: str, record_dir: Path) -> Path:
        """Copy the record *record_dir* into the cache and return its directory there.

        Raises:
            StoreError: The record cannot be read or the cache not be written.
        """
        entry = self._entry(key)
        digest = record_digest(record_dir)
        with new_folder(entry, if_there="replace") as folder:
            shutil.copytree(record_dir, folder / "record", symlinks=True)
            (folder / "digest").write_text(digest + "\n")
        return entry / "record"

    def size_bytes(self) -> int:
        """Return the bytes that all entries take."""
        return sum(folder_bytes(shelf) for shelf in self._shelves())

    def prune(self, max_bytes: int) -> int:
        """Remove the entries that were used longest ago until *max_bytes* are left; return how many went."""
        kept = removed = 0
        for entry in by_last_use(self._shelves()):
            size = folder_bytes(entry)
            if kept + size > max_bytes:
                remove_folder(entry)
                removed += 1
            else:
                kept += size
        return removed

    def _entry(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ValueError(f"not a cache key: {key!r}")
        return self.root / key[:2] / key

    def _shelves(self) -> list[Path]:
        return finished_folders(self.root)
