# SPDX-License-Identifier: Apache-2.0
"""The folders of the cache, which keeps what is costly to make (images, templates, trials) outside the checkout."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs
from filelock import FileLock

from lab.store import folders


def cache_root() -> Path:
    """Return the root of the cache: ``$LAB_CACHE``, or else ``lab`` in the user's cache folder (XDG)."""
    override = os.environ.get("LAB_CACHE")
    return Path(override).absolute() if override else Path(platformdirs.user_cache_dir("lab"))


def images() -> Path:
    """Return the folder of guest images, by digest."""
    return cache_root() / "images"


def emulators() -> Path:
    """Return the folder of emulators (QEMU with all that it loads), by digest."""
    return cache_root() / "emulators"


def bundles() -> Path:
    """Return the folder of descriptions of bundles, by digest."""
    return cache_root() / "bundles"


def recipes() -> Path:
    """Return the folder that maps the digest of a recipe to the digest of the build that is used for it."""
    return cache_root() / "recipes"


def kernel_packages() -> Path:
    """Return the folder with the packages of Debian's kernels, by package and version."""
    return cache_root() / "kernel-packages"


def kernel_headers() -> Path:
    """Return the folder with the headers of kernels and the compilers of modules, by digest."""
    return cache_root() / "kernel-headers"


def uml_kernels() -> Path:
    """Return the folder of kernels of User-mode Linux, by digest."""
    return cache_root() / "uml-kernels"


def templates() -> Path:
    """Return the folder of templates: snapshots of booted virtual machines."""
    return cache_root() / "templates"


def checked() -> Path:
    """Return the folder of notes about files whose contents were checked since the boot of the machine."""
    return cache_root() / "checked"


def figures() -> Path:
    """Return the folder of figures that earlier reports drew."""
    return cache_root() / "figures"


def objects() -> Path:
    """Return the folder of compiled congestion controls."""
    return cache_root() / "objects"


def trials() -> Path:
    """Return the folder of raw records of finished trials."""
    return cache_root() / "trials"


def remove_leftovers() -> list[str]:
    """Remove what killed processes have left in the cache.

    Return the messages of :func:`lab.store.folders.remove_leftovers`.
    """
    root = cache_root()
    try:
        return folders.remove_leftovers(root, *folders.finished_folders(root), *folders.finished_folders(trials()))
    except (PermissionError, NotADirectoryError):
        return []  # What needs the cache says that it cannot be read.


def builder_lock(name: str) -> FileLock:
    """Return the lock that a process must hold while it builds *name*.

    Raises:
        StoreError: The cache cannot be written.
    """
    return folders.lock_in(cache_root() / "locks", name)
