# SPDX-License-Identifier: Apache-2.0
"""Read tar archives that were made by something that is not trusted: a guest, or the author of a package.

Such an archive is opened with ``tarfile.open(…, tarinfo=PlainTarInfo)``, and the name of each member is split by
:func:`parts_of`.  The filters of newer versions of tarfile refuse a part of the same, but Debian 12's version has none.

This module is also run while the root file system of an image is made.  It therefore uses only the standard library.
"""

from __future__ import annotations

import tarfile

MOST_NAME_BYTES = 64 << 10
"""The longest file name that is read from the archive, in bytes: 16 times PATH_MAX of include/uapi/linux/limits.h."""

_COMPONENT_BYTES = 255
"""NAME_MAX of include/uapi/linux/limits.h."""

_LONG_NAMES = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_REFUSED = {
    tarfile.GNUTYPE_SPARSE: "sparse files",
    tarfile.XHDTYPE: "pax headers",
    tarfile.XGLTYPE: "pax headers",
    tarfile.SOLARIS_XHDTYPE: "pax headers",
}


class RefusedMemberError(tarfile.TarError):
    """A member of an archive may not be there."""


class PlainTarInfo(tarfile.TarInfo):
    """A member of an archive in the format ustar, or in GNU's format with long names.

    Other headers are refused before tarfile acts on them.  A sparse file may claim any size without having any data,
    and tarfile reads a pax header, or a name, of any length into memory.  dpkg refuses both as well (``lib/dpkg/
    tarfn.c``), and the agent writes ustar.
    """

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str | None, errors: str) -> PlainTarInfo:
        """Return the member whose header is *buf*.

        Raises:
            RefusedMemberError: It is none of those above.
        """
        member = super().frombuf(buf, encoding, errors)  # type: ignore[arg-type]
        if member.type in _REFUSED:
            raise RefusedMemberError(f"{member.name!r} has a header for {_REFUSED[member.type]}, which is not accepted")
        if member.type in _LONG_NAMES and not 0 <= member.size <= MOST_NAME_BYTES:
            raise RefusedMemberError(f"a name has {member.size} bytes; expected at most {MOST_NAME_BYTES}")
        if member.size < 0:
            raise RefusedMemberError(f"{member.name!r} has {member.size} bytes")
        return member


def parts_of(name: str) -> tuple[str, ...]:
    """Return the components of a member's name.  The root of the archive (``.``) has none.

    Raises:
        RefusedMemberError: The name is absolute, leads out of the archive, or cannot be a file's name.
    """
    if name.startswith("/"):
        raise RefusedMemberError(f"{name!r} is an absolute path")
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        raise RefusedMemberError(f"{name!r} leads out of the archive")
    if "\0" in name or any(len(part.encode(errors="surrogateescape")) > _COMPONENT_BYTES for part in parts):
        raise RefusedMemberError(f"{name[:80]!r} cannot be the name of a file")
    return parts
