# SPDX-License-Identifier: Apache-2.0
"""Keep what has been built in the cache: guest images, and kernels of User-mode Linux.

A build is a folder whose name is the digest of its content, with a description in ``info.json``.  For each recipe, a
file names the build that was last made from it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from lab.errors import ImageError
from lab.store import places
from lab.store.files import write_file
from lab.store.folders import finished_folders, publish

_INFO = "info.json"


@dataclass(frozen=True, kw_only=True)
class Build:
    """A finished build in the cache.  All fields but the first two are stored in ``info.json``."""

    digest: str
    path: Path
    built: str
    """Date and time of the build, in ISO 8601 format and UTC."""
    recipe: str
    """The digest of the recipe from which it was built."""


_B = TypeVar("_B", bound=Build)


def open_build(kind: type[_B], parent: Path, digest: str, remedy: str) -> _B | None:
    """Return the build with this digest in the folder *parent*; None if it is not there.

    Raises:
        ImageError: Its description is damaged.  The message says what to do about it: *remedy*.
    """
    path = parent / digest
    try:
        info = json.loads((path / _INFO).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as exc:
        raise ImageError(f"{path / _INFO} is damaged ({exc}); {remedy}") from exc
    return kind(path=path, digest=digest, **info)


def last_digest(recipe: str) -> str | None:
    """Return the digest of the build that was last made from this recipe; None if there has been none."""
    try:
        return (places.recipes() / recipe).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None


def list_builds(kind: type[_B], parent: Path, remedy: str) -> list[_B]:
    """Return all builds in the folder *parent*, oldest first.

    Raises:
        ImageError: A description is damaged, as in :func:`open_build`.
    """
    found = (open_build(kind, parent, path.name, remedy) for path in finished_folders(parent))
    return sorted((build for build in found if build is not None), key=lambda build: build.built)


def content_digest(folder: Path, names: Sequence[str]) -> str:
    """Return a digest of the files *names* in *folder*."""
    total = hashlib.sha256()
    for name in names:
        with open(folder / name, "rb") as file:
            total.update(f"{name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


def publish_build(partial: Path, build: Build) -> None:
    """Move the finished folder *partial* to its place, and note the build as the last one of its recipe.

    Raises:
        StoreError: The cache cannot be written.
    """
    info = {key: value for key, value in asdict(build).items() if key not in ("digest", "path")}
    (partial / _INFO).write_text(json.dumps(info, indent=1) + "\n", encoding="utf-8")
    publish(partial, build.path, if_there="keep")
    places.recipes().mkdir(parents=True, exist_ok=True)
    write_file(places.recipes() / build.recipe, f"{build.digest}\n".encode("ascii"))
