# SPDX-License-Identifier: Apache-2.0
"""Read archives that students hand in, into memory: ZIP, and tar as it is or compressed with gzip, bzip2 or xz.

Whatever is in them: nothing is written, only regular files are read, and no more bytes are unpacked than a limit
allows. A name that leads out of the archive makes the whole archive unusable, because somebody meant it to.
"""

from __future__ import annotations

import bz2
import io
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from lab.engine.archives import MOST_NAME_BYTES, RefusedMemberError, parts_of

__all__ = ["ArchiveError", "files_in_archive", "is_archive"]

_XZ_MEMORY = 64 << 20
"""The memory that unpacking xz may take, in bytes: a file may ask for up to 4 GiB."""
_CHUNK = 1 << 16


class ArchiveError(Exception):
    """An archive cannot be used; the text says why."""


class _StudentTarInfo(tarfile.TarInfo):
    """A member of an archive that a student's tar has written: pax headers, which many write, are accepted if short.

    :class:`lab.engine.archives.PlainTarInfo` is for archives that only dpkg or the agent write, and refuses them.
    """

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str | None, errors: str) -> _StudentTarInfo:
        member = super().frombuf(buf, encoding, errors)  # type: ignore[arg-type]
        if member.type == tarfile.GNUTYPE_SPARSE:
            raise RefusedMemberError(f"{member.name!r} is a sparse file, which is not accepted")
        if member.size < 0 or (member.type in _HEADERS and member.size > MOST_NAME_BYTES):
            raise RefusedMemberError(f"a header has {member.size} bytes; expected at most {MOST_NAME_BYTES}")
        return member


_HEADERS = (
    tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK,
)  # fmt: skip
"""Kinds of members that are read into memory before the member that they describe."""


@dataclass
class _Allowance:
    """What may still be unpacked."""

    number: int
    total: int

    def take(self, size: int) -> None:
        self.number -= 1
        self.total -= size
        if self.number < 0:
            raise ArchiveError("found more files than a submission may have")
        if self.total < 0:
            raise ArchiveError("found more bytes in its files than a submission may have")


def is_archive(data: bytes) -> bool:
    """Return whether a file with the content *data* is an archive of a kind that is read here."""
    return data.startswith((b"PK\x03\x04", b"PK\x05\x06", *_DECOMPRESSORS)) or data[257:262] == b"ustar"


def files_in_archive(data: bytes, most_files: int, most_bytes: int) -> dict[str, bytes]:
    """Return the regular files in the archive *data*: path with ``/`` → content.

    Raises:
        ArchiveError: It is damaged, has more or larger files than allowed, or a member that leads out of it or is a
            link or a device.
    """
    allowance = _Allowance(most_files, most_bytes)
    found: dict[str, bytes] = {}
    members = _of_zip(data, allowance) if data.startswith(b"PK") else _of_tar(data, allowance, most_bytes)
    try:
        for name, content in members:
            path = "/".join(parts_of(name))
            if path in found:
                raise ArchiveError(f"found {path[:80]!r} twice")
            found[path] = content
    except (RefusedMemberError, tarfile.TarError) as error:
        raise ArchiveError(str(error)) from None
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        OSError,
        ValueError,
        NotImplementedError,
    ) as error:
        raise ArchiveError(f"it is damaged or of an unknown kind: {error}") from None
    return found


def _of_zip(data: bytes, allowance: _Allowance) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for member in archive.infolist():
            mode = member.external_attr >> 16
            if "\\" in member.filename:
                raise ArchiveError(f"found {member.filename[:80]!r}; expected names with '/'")
            parts_of(member.filename)
            kind = stat.S_IFMT(mode)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise ArchiveError(f"{member.filename[:80]!r} is neither a regular file nor a folder")
            if member.is_dir():
                allowance.take(0)
                continue
            if member.flag_bits & 1:
                raise ArchiveError(f"{member.filename[:80]!r} is encrypted")
            allowance.take(member.file_size)
            # The size in the header may be wrong; what is read is what counts.
            with archive.open(member) as file:
                content = file.read(member.file_size + 1)
            if len(content) != member.file_size:
                raise ArchiveError(f"{member.filename[:80]!r} has another size than the archive says")
            yield member.filename, content


def _of_tar(data: bytes, allowance: _Allowance, most_bytes: int) -> Iterator[tuple[str, bytes]]:
    # Headers and padding take at most 1.5 KiB for each file.
    plain = _unpacked(data, most_bytes + allowance.number * 1536 + 10240)
    with tarfile.open(fileobj=io.BytesIO(plain), mode="r:", tarinfo=_StudentTarInfo) as archive:
        for member in archive:
            parts = parts_of(member.name)
            if member.isdir():
                allowance.take(0)
                continue
            if not member.isreg() or member.issparse() or not parts:
                raise ArchiveError(f"{member.name[:80]!r} is neither a regular file nor a folder")
            allowance.take(member.size)
            file = archive.extractfile(member)
            assert file is not None, "it is a regular file"
            content = file.read(member.size + 1)
            if len(content) != member.size:
                raise ArchiveError(f"{member.name[:80]!r} is cut short")
            yield member.name, content


class _Decompressor(Protocol):
    """What the decompressors of bz2, lzma and zlib have in common."""

    @property
    def eof(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int = ...) -> bytes: ...


_DECOMPRESSORS: Mapping[bytes, Callable[[], _Decompressor]] = {
    b"\x1f\x8b": lambda: zlib.decompressobj(wbits=31),
    b"BZh": bz2.BZ2Decompressor,
    b"\xfd7zXZ\x00": lambda: lzma.LZMADecompressor(memlimit=_XZ_MEMORY),
}
"""How a compressed file begins → what unpacks it, no more than it is asked for at a time."""


def _unpacked(data: bytes, most: int) -> bytes:
    """Return the content of a compressed file; a file that is not compressed as it is."""
    make = next((make for start, make in _DECOMPRESSORS.items() if data.startswith(start)), None)
    if make is None:
        return data
    decompressor = make()
    parts, total, waiting = [], 0, data
    while not decompressor.eof:
        part = decompressor.decompress(waiting, _CHUNK)
        # zlib keeps what it has not used where the caller finds it; the others keep it themselves.
        waiting = getattr(decompressor, "unconsumed_tail", b"")
        total += len(part)
        if total > most:
            raise ArchiveError("found more bytes in its files than a submission may have")
        if not part and not waiting and not decompressor.eof:
            raise ArchiveError("it is cut short")
        parts.append(part)
    return b"".join(parts)
