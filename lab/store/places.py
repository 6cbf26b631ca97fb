# SPDX-License-Identifier: Apache-2.0
"""Where costly things are kept: images, templates and finished trials, outside every checkout."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import platformdirs
from filelock import FileLock

from lab.errors import ImageError

_PARTIAL = ".partial-"


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


def trials() -> Path:
    return cache_root() / "trials"


def builder_lock(name: str) -> FileLock:
    """One builder at a time; the lock goes with its process, however that ends.

    Raises :class:`ImageError` where the cache cannot be written.
    """
    directory = cache_root() / "locks"
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise ImageError(f"cannot write the cache {cache_root()}: {exc.strerror}; LAB_CACHE names another") from exc
    return FileLock(directory / f"{name}.lock")


def partial_directory(parent: Path) -> Path:
    """A new folder beside the finished ones, that nothing takes for one."""
    parent.mkdir(parents=True, exist_ok=True)
    path = parent / f"{_PARTIAL}{os.getpid()}-{os.urandom(4).hex()}"
    path.mkdir()
    return path


def publish(partial: Path, final: Path) -> None:
    """Give a finished folder its name, in one step; an equal one that is there already stays."""
    for file in partial.rglob("*"):
        if file.is_file():
            with open(file, "rb") as handle:
                os.fsync(handle.fileno())
    if final.exists():
        shutil.rmtree(partial)
        return
    os.rename(partial, final)


def remove_partial(parent: Path) -> None:
    """Remove what killed builders left.  Call it under the builder's lock."""
    if parent.is_dir():
        for path in parent.glob(f"{_PARTIAL}*"):
            shutil.rmtree(path, ignore_errors=True)
