# SPDX-License-Identifier: Apache-2.0
"""Write Debian packages for tests: an ar archive with two tar archives (deb(5))."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

RELEASE = "6.18.0-own"

Member = tuple[str, bytes, bytes | str]
"""A member's name, its type (as in tarfile), and its content or, for a link, its target."""

KERNEL: tuple[Member, ...] = (
    ("./boot", tarfile.DIRTYPE, b""),
    (f"./boot/vmlinuz-{RELEASE}", tarfile.REGTYPE, b"kernel"),
    (f"./boot/config-{RELEASE}", tarfile.REGTYPE, b"CONFIG_VETH=m\n"),
    ("./lib", tarfile.DIRTYPE, b""),
    (f"./lib/modules/{RELEASE}", tarfile.DIRTYPE, b""),
    (f"./lib/modules/{RELEASE}/kernel/fs/erofs.ko", tarfile.REGTYPE, b"erofs"),
)
"""The members of a package like those that ``make bindeb-pkg`` builds."""


def packed(members: Sequence[Member]) -> bytes:
    """Return a tar archive in GNU's format, as dpkg-deb writes it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, kind, content in members:
            member = tarfile.TarInfo(name)
            member.type = kind
            member.mode = 0o4777
            if isinstance(content, str):
                member.linkname = content
                archive.addfile(member)
            else:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def write_package(
    path: Path, members: Sequence[Member] = KERNEL, *, name: str = "linux-image-own", data: bytes | None = None
) -> Path:
    """Write a package with these files; *data* is used as their archive, if given."""
    control = packed([("./control", tarfile.REGTYPE, f"Package: {name}\nVersion: 6.18.0-1\n".encode())])
    parts = {"debian-binary": b"2.0\n", "control.tar": control, "data.tar": packed(members) if data is None else data}
    chunks = [b"!<arch>\n"]
    for file, content in parts.items():
        header = f"{file:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode()
        chunks += [header, content, b"\n" * (len(content) % 2)]
    path.write_bytes(b"".join(chunks))
    return path
