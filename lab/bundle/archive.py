# SPDX-License-Identifier: Apache-2.0
"""Write and read tar archives that are compressed with Zstandard.

What is written depends on names and contents only: members are sorted, belong to root, and have time 0.  What is read
may come from anybody: only regular files and folders below the archive's one top folder are accepted, in GNU's tar
format, up to a limit of bytes and members, and each file must be as the archive's list of digests says.

Zstandard comes with pyarrow, whose version decides about the compressed bytes.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import stat
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, cast

import pyarrow as pa

from lab.engine.archives import PlainTarInfo, RefusedMemberError, parts_of
from lab.errors import InputError, StoreError
from lab.store.files import TEMPORARY_PREFIX, reason_of, temporary_name, writing
from lab.store.integrity import sha256_of

SUMS = "SHA256SUMS"
"""The file that lists the digests of all others, in the format of ``sha256sum``."""

MOST_MEMBERS = 1_000_000
MOST_BYTES = 32 << 30
"""The largest size of all files of an archive together, unless somebody asks for another one."""
_MOST_SUMS_BYTES = 512 << 20
_CHUNK = 1 << 20
_SUFFIX = ".tar.zst"


def name_of(path: Path) -> str:
    """Return the name of the top folder in the archive *path*.

    Raises:
        InputError: The name of the file does not end as that of an archive.
    """
    name = path.name.removesuffix(_SUFFIX)
    if not path.name.endswith(_SUFFIX) or not name:
        raise InputError(f"found {path.name!r}; expected a name that ends with {_SUFFIX}")
    return name


def write_archive(path: Path, files: Mapping[str, bytes | Path]) -> None:
    """Write *files* (path in the archive → content, or the file to read), and the list of their digests, to *path*.

    Raises:
        StoreError: The archive cannot be written, or a file cannot be read.
    """
    top = name_of(path)
    sums = "".join(f"{_digest(content)}  {name}\n" for name, content in sorted(files.items()))
    members = {**files, SUMS: sums.encode()}
    temporary = temporary_name(path.parent)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with (
                pa.output_stream(str(temporary), compression="zstd") as out,
                tarfile.open(fileobj=cast(IO[bytes], out), mode="w|", format=tarfile.GNU_FORMAT) as archive,
            ):
                for name in sorted(members):
                    _add(archive, f"{top}/{name}", members[name])
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def _digest(content: bytes | Path) -> str:
    return sha256_of(content) if isinstance(content, Path) else hashlib.sha256(content).hexdigest()


def _add(archive: tarfile.TarFile, name: str, content: bytes | Path) -> None:
    member = tarfile.TarInfo(name)
    member.mode = 0o644
    if isinstance(content, bytes):
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
        return
    member.size = content.stat().st_size
    if content.stat().st_mode & stat.S_IXUSR:
        member.mode = 0o755
    with content.open("rb") as file:
        archive.addfile(member, file)


def files_in(folder: Path, place: str) -> dict[str, Path]:
    """Return the files below *folder* for an archive, where they are below *place*; unfinished ones are left out.

    Raises:
        StoreError: Something is neither a regular file nor a folder, such as a link, or cannot be read.
    """
    found: dict[str, Path] = {}
    try:
        for entry in sorted(folder.iterdir()):
            if entry.name.startswith(TEMPORARY_PREFIX) or entry.name == "__pycache__":
                continue
            if entry.is_symlink() or not (entry.is_dir() or entry.is_file()):
                raise StoreError(f"{entry} is neither a regular file nor a folder; an archive has only these")
            found |= files_in(entry, f"{place}/{entry.name}") if entry.is_dir() else {f"{place}/{entry.name}": entry}
    except OSError as error:
        raise StoreError(f"cannot read {folder}: {reason_of(error)}") from error
    return found


def unpack(path: Path, folder: Path, most_bytes: int = MOST_BYTES) -> Path:
    """Unpack the archive *path* into the empty *folder*, check all digests, and return the archive's top folder.

    Raises:
        InputError: The file is no such archive, it has a member that is not accepted, or a digest differs.
        StoreError: The files cannot be written.
    """
    try:
        with open(path, "rb") as file:
            if file.read(4) != b"\x28\xb5\x2f\xfd":
                raise InputError(f"{path} is not what lab writes: a tar archive, compressed with Zstandard")
        with pa.input_stream(str(path), compression="zstd") as source:
            top = _unpack(cast(IO[bytes], source), folder, most_bytes)
    except OSError as error:
        if isinstance(error, FileNotFoundError) or error.filename is None:
            raise InputError(f"{path} cannot be read: {reason_of(error)}") from error
        raise StoreError(f"cannot unpack {path}: {error}") from error
    except (tarfile.TarError, pa.ArrowException, EOFError, UnicodeError) as error:
        raise InputError(f"{path} is refused: {error}") from error
    _check_sums(path, top)
    return top


def _unpack(source: IO[bytes], folder: Path, most_bytes: int) -> Path:
    """Write the members to *folder*; return the only folder at the top.

    Raises:
        RefusedMemberError: A member is not accepted.
    """
    top: str | None = None
    members = total = 0
    with tarfile.open(fileobj=source, mode="r|", tarinfo=PlainTarInfo) as archive:
        for member in archive:
            parts = parts_of(member.name)
            members, total = members + 1, total + member.size
            if members > MOST_MEMBERS or total > most_bytes:
                raise RefusedMemberError(f"it has more than {MOST_MEMBERS} files, or {most_bytes} bytes")
            if not parts or parts[0] != (top := top or parts[0]):
                raise RefusedMemberError(f"{member.name!r} is not in the archive's top folder")
            if any(part.startswith(TEMPORARY_PREFIX) for part in parts) or not member.name.isprintable():
                raise RefusedMemberError(f"{member.name!r} is not a name that lab gives to a file")
            target = folder.joinpath(*parts)
            if any((folder.joinpath(*parts[:number])).is_file() for number in range(1, len(parts) + 1)):
                raise RefusedMemberError(f"{member.name!r} is there twice, or both a file and a folder")
            if member.isdir():
                target.mkdir(parents=True, exist_ok=True)
            elif member.isreg() and len(parts) > 1 and not target.exists():
                _write(archive, member, target)
            else:
                raise RefusedMemberError(f"{member.name!r} is neither a regular file nor a folder")
    if top is None:
        raise RefusedMemberError("it is empty")
    return folder / top


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    content = archive.extractfile(member)
    assert content is not None
    with open(target, "xb") as file:
        shutil.copyfileobj(content, file, _CHUNK)
    target.chmod(0o755 if member.mode & stat.S_IXUSR else 0o644)


def _check_sums(path: Path, top: Path) -> None:
    """Compare the unpacked files with the archive's list of digests.

    Raises:
        InputError: A file is missing, has another digest, or is not in the list.
    """
    sums = top / SUMS
    if not sums.is_file() or sums.stat().st_size > _MOST_SUMS_BYTES:
        raise InputError(f"{path} is not what lab writes: it has no usable file {SUMS}")
    listed = {}
    for line in sums.read_text(encoding="utf-8", errors="replace").splitlines():
        digest, _, name = line.partition("  ")
        listed[name] = digest
    found = {str(file.relative_to(top)) for file in top.rglob("*") if file.is_file()} - {SUMS}
    if found != listed.keys():
        name = sorted(found ^ listed.keys())[0]
        raise InputError(
            f"{path} is damaged: {name} is {'not listed in' if name in found else 'missing, but in'} {SUMS}"
        )
    for name, digest in listed.items():
        if sha256_of(top / name) != digest:
            raise InputError(f"{path} is damaged: {name} does not have the digest in {SUMS}")
