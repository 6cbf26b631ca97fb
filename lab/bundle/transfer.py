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
from lab.bundle.choose import bundle_named
from lab.bundle.parts import KINDS, adopt, check_parts, default_bundle
from lab.engine.base import Notice, Step
from lab.engine.bundles import Bundle, folder_of, note_use, read_bundle
from lab.engine.debian.builds import Build, DamagedBuildError, open_whole, place_build, set_modes
from lab.errors import InputError, StoreError
from lab.store import places
from lab.store.files import to_json
from lab.store.folders import remove_leftovers, unfinished_folder

FILE = "bundle.json"
MOST_BYTES = 16 << 30
"""The largest size of all files of an archive together."""

_SCHEMES = ("http", "https")
_FORMAT = 1
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
    in_order = sorted(bundles, key=lambda bundle: (bundle.kernel, bundle.digest))
    files[FILE] = to_json({"format": _FORMAT, "bundles": [bundle.document() for bundle in in_order]})
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
    if not _is_address(source) and not Path(source).is_file():
        raise InputError(f"{source}: there is no such file")
    parent = places.bundles()
    for message in remove_leftovers(parent):
        step(Notice(message))
    with unfinished_folder(parent) as scratch:
        path = _downloaded(source, scratch, step) if _is_address(source) else Path(source)
        step("unpacking and checking all digests")
        (scratch / "unpacked").mkdir()
        top = unpack(path, scratch / "unpacked", MOST_BYTES)
        bundles = _read(path, top)
        if expected is not None and not any(bundle.digest.startswith(expected) for bundle in bundles):
            found = ", ".join(bundle.digest for bundle in bundles)
            raise InputError(f"--digest: found the bundle {found} in {source}; expected {expected}")
        checked = {(kind, digest): _checked(path, top / kind, digest) for kind, digest in _parts(bundles)}
        for (kind, digest), build in checked.items():
            target = folder_of(kind) / digest
            target.parent.mkdir(parents=True, exist_ok=True)
            place_build(build.path, replace(build, path=target))
    used = []
    for bundle in bundles:
        note_use(bundle)
        adopt(bundle)
        default = default_bundle(bundle.kernel)
        if default is not None and default.digest == bundle.digest:
            used.append(bundle)
    return bundles, used


def bundles_named(names: Sequence[str], step: Step) -> list[Bundle]:
    """Return the bundles that a user names by beginnings of digests, files, or addresses of files.

    Files are imported.

    Raises:
        InputError: A name is none of this.
    """
    found: list[Bundle] = []
    for name in names:
        if _is_address(name) or Path(name).is_file():
            found += import_bundles(name, step)[0]
        elif name.endswith(".tar.zst"):
            raise InputError(f"bundle: found {name!r}; there is no such file")
        else:
            found.append(bundle_named(name))
    for bundle in found:
        check_parts(bundle)
    return found


def _is_address(source: str) -> bool:
    return urlsplit(source).scheme in _SCHEMES


def _read(path: Path, top: Path) -> list[Bundle]:
    """Return the bundles of the unpacked archive *top*, of which all parts must be there, and nothing else."""
    try:
        document = json.loads((top / FILE).read_bytes())
        if not isinstance(document, dict) or document.get("format") != _FORMAT:
            raise ValueError(f"expected an object with format {_FORMAT}; another version of lab has written it")
        bundles = [read_bundle(one) for one in document["bundles"]]
        if not bundles:
            raise ValueError("found no bundle; expected one at least")
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InputError(f"{path} is not a file of bundles: {FILE}: {error}") from error
    expected = _parts(bundles)
    found = {(folder.parent.name, folder.name) for folder in top.glob("*/*")}
    if found != expected:
        kind, digest = sorted(found ^ expected)[0]
        raise InputError(
            f"{path} is damaged: {kind}/{digest} is {'of no bundle' if (kind, digest) in found else 'missing'}"
        )
    return bundles


def _parts(bundles: Sequence[Bundle]) -> set[tuple[str, str]]:
    """Return the kind and the digest of each part; bundles may have parts in common."""
    return {part for bundle in bundles for part in bundle.parts.items()}


def _checked(path: Path, kind: Path, digest: str) -> Build:
    """Return a part in the folder *kind* of the unpacked archive *path*, if it is what its digest says.

    Raises:
        InputError: It is not.
    """
    name = f"{kind.name}/{digest}"
    if any(not entry.is_file() for entry in (kind / digest).iterdir()):
        raise InputError(f"{path} is refused: {name} has a folder; a part has only files")
    try:
        build = open_whole(KINDS[kind.name], kind, digest)
    except DamagedBuildError as error:
        raise InputError(f"{path} is damaged: {name}: {error.problem}") from error
    _check_description(path, build)
    set_modes(build)
    return build


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
