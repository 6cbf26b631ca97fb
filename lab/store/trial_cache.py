# SPDX-License-Identifier: Apache-2.0
"""A folder of raw records, by key: a trial that has run once need not run again."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from lab.errors import StoreError
from lab.store.digest import record_digest
from lab.store.files import TEMPORARY_PREFIX, folder_bytes, new_folder

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
            if entry.exists():
                self._drop(entry)
            return None
        except (OSError, StoreError):
            self._drop(entry)
            return None
        if expected != found:
            self._drop(entry)
            return None
        # The time of last use, for prune(); losing the race against a concurrent prune() is harmless.
        try:
            os.utime(entry)
        except OSError:
            return None
        return entry / "record"

    def put(self, key: str, record_dir: Path) -> Path:
        """Copy the record *record_dir* into the cache and return its directory there.

        Raises:
            StoreError: The record cannot be read or the cache not be written.
        """
        entry = self._entry(key)
        digest = record_digest(record_dir)
        try:
            with new_folder(entry, replace=True) as folder:
                shutil.copytree(record_dir, folder / "record", symlinks=True)
                (folder / "digest").write_text(digest + "\n")
        except StoreError:
            # Another process may have put the same record at the same moment: then there is nothing to do.
            if self.get(key) is None:
                raise
        return entry / "record"

    def size_bytes(self) -> int:
        """Return the bytes that all entries take."""
        return sum(folder_bytes(entry) for entry in self._entries())

    def prune(self, max_bytes: int) -> int:
        """Remove the entries that were used longest ago until *max_bytes* are left; return how many went."""
        entries = sorted(
            ((entry.stat().st_mtime, entry, folder_bytes(entry)) for entry in self._entries()), reverse=True
        )
        kept = removed = 0
        for _, entry, size in entries:
            if kept + size > max_bytes:
                self._drop(entry)
                removed += 1
            else:
                kept += size
        return removed

    def _entry(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ValueError(f"not a cache key: {key!r}")
        return self.root / key[:2] / key

    def _entries(self) -> list[Path]:
        return sorted(
            path for path in self.root.glob("*/*") if path.is_dir() and not path.name.startswith(TEMPORARY_PREFIX)
        )

    @staticmethod
    def _drop(entry: Path) -> None:
        shutil.rmtree(entry, ignore_errors=True)
