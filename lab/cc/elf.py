# SPDX-License-Identifier: Apache-2.0
"""Read the sections of an object that clang has made for BPF (ELF, 64 bits, little-endian).

The source of an object is not trusted and may contain assembly, so that any number in it can be wrong.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

__all__ = ["ObjectError", "Section", "sections", "without_debug_information"]

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_BPF = 247
"""EM_BPF of include/uapi/linux/elf-em.h."""
_NO_DATA = 8
"""SHT_NOBITS."""


class ObjectError(ValueError):
    """The object is damaged, or no BPF object."""


@dataclass(frozen=True)
class Section:
    """A section of an object."""

    name: str
    offset: int
    size: int
    """The size of the section when it is loaded, in bytes."""
    has_data: bool
    """Whether the file contains its data."""


def sections(data: bytes) -> list[Section]:
    """Return the sections of an object.

    Raises:
        ObjectError: It is no BPF object, or a section lies outside of it.
    """
    try:
        head = _HEADER.unpack_from(data)
    except struct.error:
        raise ObjectError("it is shorter than the header of an object") from None
    if head[0][:6] != b"\x7fELF\x02\x01" or head[2] != _BPF:
        raise ObjectError("it is no BPF object")
    table, width, count, names_index = head[6], head[11], head[12], head[13]
    if width != _SECTION.size or table + count * width > len(data) or names_index >= count:
        raise ObjectError("its table of sections is damaged")
    found = [_SECTION.unpack_from(data, table + number * width) for number in range(count)]
    names_at, names_size = found[names_index][4], found[names_index][5]
    names = data[names_at : names_at + names_size]
    parts = []
    for name, kind, _flags, _address, offset, size, *_rest in found:
        if kind != _NO_DATA and offset + size > len(data):
            raise ObjectError("a section lies outside of it")
        text = names[name:].partition(b"\0")[0].decode(errors="replace")
        parts.append(Section(text, offset, size, kind != _NO_DATA))
    return parts


def without_debug_information(data: bytes) -> bytes:
    """Return the object with zeros in place of DWARF's debug information, which libbpf does not read.

    Compressed, it is half as large then.  BTF, which has the lines of the source, stays.

    Raises:
        ObjectError: It is no BPF object, or a section lies outside of it.
    """
    stripped = bytearray(data)
    for section in sections(data):
        if section.has_data and section.name.startswith((".debug_", ".rel.debug_")):
            stripped[section.offset : section.offset + section.size] = bytes(section.size)
    return bytes(stripped)
