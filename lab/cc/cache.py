# SPDX-License-Identifier: Apache-2.0
"""A cache of compiled objects.  One that cannot be written is no reason to fail: the source is compiled again."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

from lab.errors import StoreError
from lab.store.files import write_file
from lab.store.folders import mark_used

__all__ = ["ObjectCache"]

KEPT = 1000
"""The number of objects that are kept: the most recently used ones."""


class ObjectCache:
    """Objects in the folder *root*, by a key that names everything on which an object depends."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def get(self, key: str) -> bytes | None:
        """Return the object; None if the cache has none, or a damaged one."""
        path = self.root / key
        try:
            digest, _, data = path.read_bytes().partition(b"\n")
        except OSError:
            return None
        if digest.decode(errors="replace") != hashlib.sha256(data).hexdigest():
            return None
        mark_used(path)
        return data

    def put(self, key: str, data: bytes) -> None:
        """Keep an object, and remove the ones that were used least recently."""
        with contextlib.suppress(StoreError, OSError):
            self.root.mkdir(parents=True, exist_ok=True)
            write_file(self.root / key, hashlib.sha256(data).hexdigest().encode() + b"\n" + data)
            self._prune()

    def _prune(self) -> None:
        found = [path for path in self.root.iterdir() if not path.name.startswith(".")]
        if len(found) <= KEPT:
            return
        used: list[tuple[float, Path]] = []
        for path in found:
            with contextlib.suppress(FileNotFoundError):
                used.append((path.stat().st_mtime, path))
        for _when, path in sorted(used, reverse=True)[KEPT:]:
            path.unlink(missing_ok=True)
