# SPDX-License-Identifier: Apache-2.0
"""Digests of jobs, records and runs: results are the same if their digests are the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lab.errors import StoreError
from lab.job.protocol import Job
from lab.store.files import reason_of


def canonical_json(value: Any) -> str:
    """Return the canonical JSON text of ``value``, from which digests are computed: sorted keys, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest_of(job: Job) -> str:
    """Return the SHA-256 of a job's canonical JSON, in hexadecimal."""
    return hashlib.sha256(canonical_json(job).encode("ascii")).hexdigest()


def file_digest(path: Path) -> str:
    """Return the SHA-256 (hexadecimal) of a regular file.

    Raises:
        StoreError: It cannot be read, or is not a regular file.
    """
    if path.is_symlink() or not path.is_file():
        raise StoreError(f"{path} is not a regular file")
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as exc:
        raise StoreError(f"cannot read {path}: {reason_of(exc)}") from exc


def file_digests(record_dir: Path) -> dict[str, str]:
    """Return the SHA-256 (hexadecimal) of each file in a directory and those below, by its path relative to it.

    A directory that does not exist has no files.

    Raises:
        StoreError: The directory or a file in it cannot be read, or it contains something other than regular files.
    """
    digests = {}
    try:
        for path in sorted(record_dir.rglob("*")):
            if not _is_folder(path):
                digests[path.relative_to(record_dir).as_posix()] = file_digest(path)
    except OSError as exc:
        raise StoreError(f"cannot read {record_dir}: {reason_of(exc)}") from exc
    return digests


def record_digest(record_dir: Path) -> str:
    """Return the SHA-256 (hexadecimal) of a record directory.

    It covers the relative path and the content of all files, in the order of their paths.  It does not depend on file
    modes, timestamps or empty folders.

    Raises:
        StoreError: The directory contains no files, or :func:`file_digests` failed.
    """
    digests = file_digests(record_dir)
    if not digests:
        raise StoreError(f"{record_dir} is not a record: it contains no files")
    return digest_of_files(digests)


def digest_of_files(digests: Mapping[str, str]) -> str:
    """Return the digest of the record whose files have the given digests (path → SHA-256)."""
    lines = (f"{digests[name]}  {name}\n" for name in sorted(digests))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def results_digest(trials: Iterable[tuple[str, str]]) -> str:
    """Return the SHA-256 (hexadecimal) of the pairs of trial id and record digest, independent of their order.

    Two runs with the same results digest contain the same raw measurements.
    """
    lines = sorted(f"{trial_id} {digest}\n" for trial_id, digest in trials)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
