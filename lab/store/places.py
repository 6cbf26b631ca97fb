# SPDX-License-Identifier: Apache-2.0
"""Where costly things are kept: images, templates and finished trials, outside every checkout."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs
from filelock import FileLock

from lab.store.folders import lock_in


def cache_root() -> Path:
    """``$LAB_CACHE``, or the XDG cache folder's ``lab``."""
    override = os.environ.get("LAB_CACHE")
    return Path(override).absolute() if override else Path(platformdirs.user_cache_dir("lab"))


def images() -> Path:
    return cache_root() / "images"


def recipes() -> Path:
    """Recipe digest → the digest of the image that was last built from it."""
    return cache_root() / "recipes"


def templates() -> Path:
    return cache_root() / "templates"


def figures() -> Path:
    return cache_root() / "figures"


def trials() -> Path:
    return cache_root() / "trials"


def builder_lock(name: str) -> FileLock:
    """Return the lock that only one builder of *name* holds at a time.

    Raises:
        StoreError: The cache cannot be written.
    """
    return lock_in(cache_root() / "locks", name)
