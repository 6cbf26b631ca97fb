# SPDX-License-Identifier: Apache-2.0
"""Keep what has been built in the cache: guest images, and kernels of User-mode Linux.

A build is a folder whose name is the digest of its content, with a description in ``info.json`` and a list of its files
in ``files.json`` (:mod:`lab.store.integrity`).  For each recipe, a file names the build that was last made from it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar

from lab.engine.base import DAMAGED_ADVICE, Notice, Step
from lab.engine.debian.stopping import held
from lab.errors import ImageError
from lab.store import integrity, places
from lab.store.files import write_file, writing
from lab.store.folders import bytes_on_disk, finished_folders, publish

_INFO = "info.json"
DESCRIPTIONS = (_INFO, integrity.LIST)
"""The names of the files that describe a build."""
_DIGEST = re.compile(r"[0-9a-f]{64}")
_CHOSEN: ContextVar[Mapping[str, str]] = ContextVar("chosen", default=MappingProxyType({}))


class DamagedBuildError(ImageError):
    """A build in the cache is not what was built."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path} is damaged: {problem}")
        self.path = path
        self.problem = problem


@dataclass(frozen=True, kw_only=True)
class Build:
    """A finished build in the cache.  All fields but the first two are stored in ``info.json``."""

    contents: ClassVar[tuple[str, ...]]
    """The names of files that it must have."""

    programs: ClassVar[tuple[str, ...]] = ()
    """The names of files that this host executes."""

    digest: str
    path: Path
    built: str
    """Date and time of the build, in ISO 8601 format and UTC."""
    recipe: str
    """The digest of the recipe from which it was built."""

    def content_names(self) -> Sequence[str]:
        """Return the names of the files of which the build's digest is made."""
        return self.contents

    def bytes_on_disk(self) -> int:
        """Return the disk space that the build occupies, in bytes."""
        return bytes_on_disk(self.path)


_B = TypeVar("_B", bound=Build)


def open_build(kind: type[_B], parent: Path, digest: str) -> _B | None:
    """Return the build with this digest in the folder *parent*; None if it is not there.

    Raises:
        DamagedBuildError: Its description is not what :func:`publish_build` writes.
    """
    path = parent / digest
    try:
        info: Any = json.loads((path / _INFO).read_bytes())
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise DamagedBuildError(path, f"{_INFO} cannot be read: {exc.strerror}") from exc
    except ValueError as exc:
        raise DamagedBuildError(path, f"{_INFO} is not JSON: {exc}") from exc
    expected = {field.name for field in fields(kind)} - {"digest", "path"}
    if not isinstance(info, dict) or info.keys() != expected:
        found = f"the fields {', '.join(sorted(info)) or '(none)'}" if isinstance(info, dict) else f"{info!r:.60}"
        raise DamagedBuildError(path, f"{_INFO} has {found}; expected {', '.join(sorted(expected))}")
    for name, value in info.items():
        if not isinstance(value, str):
            raise DamagedBuildError(path, f"{_INFO} has {name}: {value!r:.60}; expected a string")
    return kind(path=path, digest=digest, **info)


def open_whole(kind: type[_B], parent: Path, digest: str) -> _B:
    """Return the build with this digest in the folder *parent*, which may come from anybody; read all of its content.

    Raises:
        DamagedBuildError: It is missing, or it is not what its digest says.
    """
    found = open_build(kind, parent, digest)
    if found is None:
        raise DamagedBuildError(parent / digest, "it has no description")
    try:
        is_whole = content_digest(found.path, found.content_names()) == digest
    except OSError as exc:
        raise DamagedBuildError(found.path, f"{exc.filename} cannot be read: {exc.strerror}") from exc
    if not is_whole:
        raise DamagedBuildError(found.path, "its content has another digest")
    return found


def set_modes(build: Build) -> None:
    """Let this host execute the programs of a build that has come from another machine, and nothing else of it."""
    for file in build.path.iterdir():
        file.chmod(0o755 if file.name in build.programs else 0o644)


def check_build(build: Build) -> None:
    """Compare the files of *build* with what was built (see :mod:`lab.store.integrity`).

    Raises:
        DamagedBuildError: A file is missing or has changed.
    """
    if not (build.path / integrity.LIST).exists():
        # An earlier version has built it.  The name of the folder says the same of all files together.
        try:
            if content_digest(build.path, build.content_names()) == build.digest:
                integrity.write_list(build.path)
                return
        except OSError as exc:
            raise DamagedBuildError(build.path, f"{exc.filename} cannot be read: {exc.strerror}") from exc
        raise DamagedBuildError(build.path, "the digest of its content is not its name")
    problem = integrity.problem_in(build.path, (*build.contents, _INFO))
    if problem is not None:
        raise DamagedBuildError(build.path, problem)


@contextlib.contextmanager
def choosing(digests: Mapping[str, str]) -> Iterator[None]:
    """Let :func:`find_build` find the builds that *digests* (recipe → build) names, until the block ends."""
    token = _CHOSEN.set({**_CHOSEN.get(), **digests})
    try:
        yield
    finally:
        _CHOSEN.reset(token)


def find_build(kind: type[_B], parent: Path, recipe: str) -> _B | None:
    """Return the build in the folder *parent* that was last made from this recipe; None if it is not there.

    Inside of :func:`choosing`, it is the chosen one, whichever recipe it was made from.

    Raises:
        DamagedBuildError: It is there, but it is not what was built.
        ImageError: The chosen one is not there, or it is not what was built.
    """
    if (chosen := _CHOSEN.get().get(recipe)) is not None:
        return _chosen_build(kind, parent, chosen)
    digest = last_digest(recipe)
    found = None if digest is None else open_build(kind, parent, digest)
    if found is not None:
        check_build(found)
    return found


def _chosen_build(kind: type[_B], parent: Path, digest: str) -> _B:
    try:
        found = open_build(kind, parent, digest)
        if found is None:
            raise ImageError(f"{parent / digest} was chosen, but it is no longer in the cache")
        check_build(found)
    except DamagedBuildError as error:
        # It must not be replaced by another one.
        raise ImageError(f"{error}; as it was chosen, nothing else is used in its place") from error
    return found


def found_or_built(
    what: str,
    find: Callable[[], _B | None],
    build: Callable[[Step], _B],
    step: Step,
    *,
    kind: str,
    stop: threading.Event | None = None,
) -> _B:
    """Return what *find* returns; build it if it is not there, or damaged, and say so.

    If several processes need builds of this *kind* at the same time, one of them builds while the others wait.

    Args:
        what: The name of the build in messages.
        find: Raises a DamagedBuildError if the build is damaged.
        build: Called with a function for its own steps.
        step: Called with a description of each step.
        kind: The kind of build.
        stop: Another thread sets it to end this call early while it waits; *build* has to notice it by itself.

    Raises:
        StoppedError: *stop* was set.
    """
    try:
        if (found := find()) is not None:
            return found
    except DamagedBuildError as error:
        step(Notice(f"{what}: {error}; {DAMAGED_ADVICE}"))
    # The builders have locks of their own, because they may also be called when a build is there.
    with held(places.builder_lock(f"first-{kind}"), stop):
        with contextlib.suppress(DamagedBuildError):
            if (found := find()) is not None:
                return found
        step(f"{what}: building it (this is necessary only once)")
        return build(lambda doing: step(f"{what}: {doing}"))


def last_digest(recipe: str) -> str | None:
    """Return the digest of the build that was last made from this recipe; None if there has been none."""
    try:
        digest = (places.recipes() / recipe).read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        return None
    return digest if _DIGEST.fullmatch(digest) else None


def list_builds(kind: type[_B], parent: Path) -> tuple[list[_B], list[DamagedBuildError]]:
    """Return all builds in the folder *parent*, oldest first, and what is wrong with those that cannot be used.

    The contents of files are not read.
    """
    builds, damaged = [], []
    for path in finished_folders(parent):
        try:
            found = open_build(kind, parent, path.name)
            if found is None:
                continue
            for name in found.contents:
                if not (path / name).is_file():
                    raise DamagedBuildError(path, f"{name} is missing")
            builds.append(found)
        except DamagedBuildError as error:
            damaged.append(error)
    return sorted(builds, key=lambda build: build.built), damaged


def content_digest(folder: Path, names: Sequence[str]) -> str:
    """Return a digest of the files *names* in *folder*."""
    total = hashlib.sha256()
    for name in names:
        with open(folder / name, "rb") as file:
            total.update(f"{name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


def publish_build(partial: Path, build: Build) -> None:
    """Describe the build in the finished folder *partial*, move it to its place, and let its recipe lead to it.

    Raises:
        OSError: A file cannot be read.
        StoreError: The cache cannot be written.
    """
    info = {key: value for key, value in asdict(build).items() if key not in ("digest", "path")}
    (partial / _INFO).write_text(json.dumps(info, indent=1) + "\n", encoding="utf-8")
    place_build(partial, build)
    set_last_digest(build.recipe, build.digest)


def place_build(partial: Path, build: Build) -> None:
    """Move the finished folder *partial*, which describes *build*, to its place.

    A build with the same digest that is there already stays, unless it is damaged or an earlier version of lab has
    left out a file that is not part of its content.

    Raises:
        OSError: A file cannot be read.
        StoreError: The cache cannot be written.
    """
    if has_intact(type(build), build.path.parent, build.digest) and not _names(partial) - _names(build.path):
        publish(partial, build.path, if_there="keep")
    else:
        integrity.write_list(partial, becomes=build.path)
        publish(partial, build.path, if_there="replace")


def set_last_digest(recipe: str, digest: str) -> None:
    """Let :func:`find_build` find the build *digest* for this recipe from now on.

    Raises:
        StoreError: The cache cannot be written.
    """
    with writing(places.recipes()):
        places.recipes().mkdir(parents=True, exist_ok=True)
    write_file(places.recipes() / recipe, f"{digest}\n".encode("ascii"))


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def has_intact(kind: type[Build], parent: Path, digest: str) -> bool:
    """Return whether the folder *parent* has the build with this digest, as it was built."""
    try:
        found = open_build(kind, parent, digest)
        if found is not None:
            check_build(found)
    except DamagedBuildError:
        return False
    return found is not None
