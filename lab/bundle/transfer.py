# SPDX-License-Identifier: Apache-2.0
"""Write bundles to a file, and take them from a file or from the Web into the cache.

The file is a tar archive that is compressed with Zstandard (:mod:`lab.bundle.archive`)::

    bundle.json           the bundles: {"format": 1, "bundles": [{"kernel": …, "parts": {…}}, …]}
    emulator/DIGEST/…     the files of each part
    image/DIGEST/…
    uml_kernel/DIGEST/…
    SHA256SUMS            the digests of all files

What is imported may come from anybody.  Nothing of it reaches its place in the cache before all digests are checked: a
part is what its name says, and a bundle is what its parts say.  Whoever imports a bundle trusts the programs in it,
because QEMU runs with the rights of the user; the bundle's digest says whether it is the one that somebody else means.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from lab.bundle.archive import files_in, name_of, unpack, write_archive
from lab.bundle.parts import KINDS, adopt, check_parts, default_bundle
from lab.engine.base import Notice, Step
from lab.engine.bundles import Bundle, folder_of, note_use, read_bundle
from lab.engine.debian.builds import Build, DamagedBuildError, content_digest, open_build
from lab.errors import InputError, StoreError
from lab.store import integrity, places
from lab.store.files import to_json
from lab.store.folders import publish, remove_leftovers, unfinished_folder

FILE = "bundle.json"
MOST_BYTES = 16 << 30
"""The largest size of all files of an archive together."""
SCHEMES = ("http", "https")

_FORMAT = 1
_PROGRAMS = {"emulator": ("ld-linux-x86-64.so.2", "mkfs.erofs", "qemu-system-x86_64"), "uml_kernel": ("linux",)}
_LONGEST_TEXT = 400
_CHUNK = 1 << 20
_CONNECT_S = 60.0


def export_bundles(bundles: Sequence[Bundle], path: Path) -> None:
    """Write the bundles, with all of their parts, to *path*, whose name must end with ``.tar.zst``.

    The bytes depend only on the bundles.

    Raises:
        DamagedBuildError: A part is missing or damaged.
        InputError: The name of the file has another end.
        StoreError: The file cannot be written.
    """
    name_of(path)
    files: dict[str, bytes | Path] = {}
    for bundle in bundles:
        check_parts(bundle)
        for kind, folder in bundle.paths().items():
            files |= files_in(folder, f"{kind}/{folder.name}")
    described = [{"kernel": bundle.kernel, "parts": dict(bundle.parts)} for bundle in bundles]
    files[FILE] = to_json({"format": _FORMAT, "bundles": sorted(described, key=lambda one: str(one["kernel"]))})
    write_archive(path, files)


def import_bundles(source: str, step: Step, *, expected: str | None = None) -> tuple[list[Bundle], list[Bundle]]:
    """Take all bundles in a file, or at an address of the Web, into the cache.

    Trials use what they have no other one for: on a new machine, the bundles become the default ones of their kernels.

    Args:
        source: The path of the file, or its address.
        step: Called with a description of each step.
        expected: The beginning of the digest that one of the bundles must have.

    Returns:
        The bundles, and those of them that are now used by default.

    Raises:
        InputError: The file is not one of bundles, or does not contain what its digests say.
        StoreError: The file cannot be read, or the cache cannot be written.
    """
    if urlsplit(source).scheme not in SCHEMES and not Path(source).is_file():
        raise InputError(f"{source}: there is no such file")
    parent = places.bundles()
    for message in remove_leftovers(parent):
        step(Notice(message))
    with unfinished_folder(parent) as scratch:
        path = _downloaded(source, scratch, step) if urlsplit(source).scheme in SCHEMES else Path(source)
        step("unpacking and checking all digests")
        (scratch / "unpacked").mkdir()
        top = unpack(path, scratch / "unpacked", MOST_BYTES)
        bundles = _read(path, top)
        if expected is not None and not any(bundle.digest.startswith(expected) for bundle in bundles):
            found = ", ".join(bundle.digest for bundle in bundles)
            raise InputError(f"--digest: found the bundle {found} in {source}; expected {expected}")
        for bundle in bundles:
            for kind, digest in bundle.parts.items():
                _check_part(path, kind, top / kind / digest)
        for bundle in bundles:
            for kind, digest in bundle.parts.items():
                _publish(kind, top / kind / digest)
    used = []
    for bundle in bundles:
        note_use(bundle)
        adopt(bundle)
        default = default_bundle(bundle.kernel)
        if default is not None and default.digest == bundle.digest:
            used.append(bundle)
    return bundles, used


def _read(path: Path, top: Path) -> list[Bundle]:
    """Return the bundles of the unpacked archive *top*, of which all parts must be there, and nothing else."""
    try:
        document = json.loads((top / FILE).read_bytes())
        if not isinstance(document, dict) or document.get("format") != _FORMAT:
            raise ValueError(f"expected an object with format {_FORMAT}; another version of lab has written it")
        bundles = [replace(read_bundle(one), added="") for one in document["bundles"]]
        if not bundles:
            raise ValueError("found no bundle; expected one at least")
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InputError(f"{path} is not a file of bundles: {FILE}: {error}") from error
    expected = {(kind, digest) for bundle in bundles for kind, digest in bundle.parts.items()}
    found = {(folder.parent.name, folder.name) for folder in top.glob("*/*")}
    if found != expected:
        kind, digest = sorted(found ^ expected)[0]
        raise InputError(
            f"{path} is damaged: {kind}/{digest} is {'of no bundle' if (kind, digest) in found else 'missing'}"
        )
    return bundles


def _check_part(path: Path, kind: str, folder: Path) -> None:
    """Check that a part of the unpacked archive *path* is what the name of its folder says.

    Raises:
        InputError: It is not.
    """
    if any(not entry.is_file() for entry in folder.iterdir()):
        raise InputError(f"{path} is refused: {kind}/{folder.name} has a folder; a part has only files")
    try:
        build = open_build(KINDS[kind], folder.parent, folder.name)
        if build is None:
            raise InputError(f"{path} is damaged: {kind}/{folder.name} has no description")
        _check_description(path, build)
        if content_digest(folder, build.content_names()) != folder.name:
            raise InputError(f"{path} is damaged: the content of {kind}/{folder.name} has another digest")
    except (DamagedBuildError, OSError) as error:
        raise InputError(f"{path} is damaged: {error}") from error
    for file in folder.iterdir():
        file.chmod(0o755 if file.name in _PROGRAMS.get(kind, ()) else 0o644)


def _check_description(path: Path, build: Build) -> None:
    """Check what the digest does not cover, because it is printed.

    Raises:
        InputError: It is not what a build is described with.
    """
    try:
        is_date = datetime.fromisoformat(build.built).tzinfo is not None
    except ValueError:
        is_date = False
    if not is_date:
        raise InputError(f"{path} is refused: {build.path.name} was built {build.built!r:.40}; expected a date")
    texts = [value for key, value in asdict(build).items() if key != "path"]
    if any(not text.isprintable() or len(text) > _LONGEST_TEXT for text in texts):
        raise InputError(f"{path} is refused: the description of {build.path.name} has texts that cannot be printed")


def _publish(kind: str, folder: Path) -> None:
    """Move a part to its place in the cache; one that is there already and intact stays."""
    target = folder_of(kind) / folder.name
    if target.is_dir():
        try:
            found = open_build(KINDS[kind], target.parent, target.name)
            if found is not None and integrity.problem_in(target, found.contents) is None:
                return
        except DamagedBuildError:
            pass  # The one from the archive takes its place.
    if folder.is_dir():  # Two bundles may have the same part.
        target.parent.mkdir(parents=True, exist_ok=True)
        integrity.write_list(folder, becomes=target)
        publish(folder, target, if_there="replace")


def _downloaded(address: str, folder: Path, step: Step) -> Path:
    """Download the file at *address* into *folder*, and return its path.

    Raises:
        StoreError: It cannot be downloaded, or it is too large.
    """
    target = folder / "downloaded.tar.zst"
    step(f"downloading {address}")
    try:
        with urllib.request.urlopen(address, timeout=_CONNECT_S) as source, open(target, "wb") as file:
            while chunk := source.read(_CHUNK):
                file.write(chunk)
                if file.tell() > MOST_BYTES:
                    raise StoreError(f"{address} has more than {MOST_BYTES >> 30} GiB")
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise StoreError(f"cannot download {address}: {error}") from error
    return target
