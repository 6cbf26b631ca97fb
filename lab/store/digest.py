# SPDX-License-Identifier: Apache-2.0
"""Digests: what "the same result" means."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from lab.errors import StoreError


def record_digest(record_dir: Path) -> str:
    """Return the SHA-256 (hexadecimal) of a record directory.

    It covers the relative name, size and content of every file, in the order of their names.  Modes, times
    and empty folders do not count.

    Raises:
        StoreError: The directory or a file in it cannot be read, or it holds something that is no file.
    """
    digest = hashlib.sha256()
    try:
        entries = {
            path.relative_to(record_dir).as_posix(): path for path in record_dir.rglob("*") if not _is_folder(path)
        }
        if not entries:
            raise StoreError(f"{record_dir} is no record: it has no files")
        for name in sorted(entries):
            path = entries[name]
            if path.is_symlink() or not path.is_file():
                raise StoreError(f"{path} is not a regular file")
            digest.update(f"{name}\0{path.stat().st_size}\0".encode())
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
    except OSError as exc:
        raise StoreError(f"cannot read {record_dir}: {exc.strerror or exc}") from exc
    return digest.hexdigest()


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def results_digest(trials: Iterable[tuple[str, str]]) -> str:
    """Return the SHA-256 over (trial id, record digest) pairs, whatever their order.

    Two runs with the same results digest hold the same raw measurements.
    """
    lines = sorted(f"{trial_id} {digest}\n" for trial_id, digest in trials)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
