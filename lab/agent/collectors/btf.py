# SPDX-License-Identifier: Apache-2.0
"""Look up the running kernel's own type information (BTF): offsets of fields, names of enumerators, hook targets.

With it, a collector needs no kernel headers, compiles in a fraction of a second, and matches whichever kernel it runs
on.  libbpf parses the data; Documentation/bpf/btf.rst describes the format.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VMLINUX = Path("/sys/kernel/btf/vmlinux")

_STRUCT, _UNION, _ENUM, _TYPEDEF, _FUNC, _ENUM64 = 4, 5, 6, 8, 12, 19
_LIBRARY = "libbpf.so.1"


class _Type(ctypes.Structure):
    _fields_ = (("name", ctypes.c_uint32), ("info", ctypes.c_uint32), ("size_or_type", ctypes.c_uint32))

    @property
    def kind(self) -> int:
        return int(self.info >> 24 & 0x1F)

    @property
    def length(self) -> int:
        return int(self.info & 0xFFFF)


class _Member(ctypes.Structure):
    _fields_ = (("name", ctypes.c_uint32), ("type", ctypes.c_uint32), ("offset", ctypes.c_uint32))


class _Enumerator(ctypes.Structure):
    _fields_ = (("name", ctypes.c_uint32), ("value", ctypes.c_int32))


@dataclass(frozen=True)
class Place:
    """The position of a field in its structure and its size, both in bits."""

    bit: int
    bits: int
    is_bitfield: bool


class TypesError(Exception):
    """The kernel's type information is missing or unreadable, or lacks a field that a program needs."""


class KernelTypes:
    """The type information of the running kernel and of some of its modules."""

    def __init__(self, modules: tuple[str, ...] = ()) -> None:
        """Read the type information; *modules* that are not loaded, or have none, are skipped.

        Raises:
            TypesError: libbpf or the kernel's type information is missing or unreadable.
        """
        self._libbpf = libbpf()
        if not VMLINUX.exists():
            raise TypesError(
                f"this kernel has no type information: {VMLINUX} is missing; "
                "use a kernel built with CONFIG_DEBUG_INFO_BTF"
            )
        self._kernel = self._libbpf.btf__parse(bytes(VMLINUX), None)
        if not self._kernel:
            raise TypesError(f"cannot read the kernel's type information in {VMLINUX}")
        self._all = [self._kernel]
        for module in modules:
            path = VMLINUX.with_name(module)
            if path.exists():
                self._all.append(self._libbpf.btf__parse_split(bytes(path), self._kernel))

    def places(self, structure: str, fields: Collection[str]) -> dict[str, Place]:
        """Return the positions of those of ``fields`` that ``structure`` has; empty if there is no such structure.

        As in C, the fields of unnamed inner structures and unions count as fields of the structure.  If several
        structures have the same name (``struct bictcp`` is one of CUBIC and another one of BIC), the first one with all
        of the fields counts, or else the first one with the most of them.
        """
        best: dict[str, Place] = {}
        for types, number in self._structures(structure):
            members = {field: self._member(types, number, field, 0) for field in fields}
            found = {field: place for field, place in members.items() if place is not None}
            if len(found) > len(best):
                best = found
            if len(found) == len(members):
                break
        return best

    def enumerators(self, enum: str) -> dict[int, str]:
        """Return value → name of the enum's members; empty if the kernel has no such enum."""
        found = self._libbpf.btf__find_by_name_kind(self._kernel, enum.encode(), _ENUM)
        if found <= 0:
            return {}
        declared = self._type(self._kernel, found)
        entries = (_Enumerator * declared.length).from_address(ctypes.addressof(declared) + ctypes.sizeof(_Type))
        return {entry.value: self._name(self._kernel, entry.name) for entry in entries}

    def function(self, name: str) -> int | None:
        """Return the BTF id of a function to which fentry can be attached; None if there is none of this name."""
        return self._find(name, _FUNC)

    def tracepoint(self, name: str) -> int | None:
        """Return the BTF id of a tracepoint's prototype, or None; *name* is given without the subsystem."""
        return self._find(f"btf_trace_{name}", _TYPEDEF)

    def tracepoint_arguments(self, name: str) -> int:
        """Return how many arguments the tracepoint passes to a program; 0 if there is no tracepoint of this name."""
        found = self.tracepoint(name)
        if found is None:
            return 0
        pointer = self._type(self._kernel, self._type(self._kernel, found).size_or_type)
        # The first argument of the prototype is the tracepoint's private data, which programs do not get.
        return self._type(self._kernel, pointer.size_or_type).length - 1

    @functools.cache  # noqa: B019 - a process has only one instance, so the cache keeps nothing alive needlessly
    def _find(self, name: str, kind: int) -> int | None:
        found = int(self._libbpf.btf__find_by_name_kind(self._kernel, name.encode(), kind))
        return found if found > 0 else None

    def _structures(self, name: str) -> Iterator[tuple[int, int]]:
        """Yield all structures of this name, as (type information, number of the type in it)."""
        firsts = [(types, self._libbpf.btf__find_by_name_kind(types, name.encode(), _STRUCT)) for types in self._all]
        firsts = [(types, number) for types, number in firsts if number > 0]
        yield from dict.fromkeys(firsts)
        for types, number in firsts[:1]:
            # libbpf finds only the first one.  Equal names are stored once.
            wanted = self._type(types, number).name
            for other in range(number + 1, self._libbpf.btf__type_cnt(types)):
                declared = self._type(types, other)
                if declared.name == wanted and declared.kind == _STRUCT:
                    yield types, other

    def _member(self, types: int, structure: int, field: str, base: int) -> Place | None:
        declared = self._type(types, structure)
        members = (_Member * declared.length).from_address(ctypes.addressof(declared) + ctypes.sizeof(_Type))
        has_bitfields = bool(declared.info >> 31)
        for member in members:
            bit = base + (member.offset & 0xFFFFFF if has_bitfields else member.offset)
            bits = member.offset >> 24 if has_bitfields else 0
            name = self._name(types, member.name)
            if name == field:
                return Place(bit, bits or 8 * self._libbpf.btf__resolve_size(types, member.type), bits > 0)
            if not name:
                inner = self._libbpf.btf__resolve_type(types, member.type)
                if self._type(types, inner).kind in (_STRUCT, _UNION):
                    found = self._member(types, inner, field, bit)
                    if found is not None:
                        return found
        return None

    def _type(self, types: int, number: int) -> _Type:
        return _Type.from_address(self._libbpf.btf__type_by_id(types, number))

    def _name(self, types: int, offset: int) -> str:
        return str(self._libbpf.btf__name_by_offset(types, offset).decode())


@functools.cache
def libbpf() -> Any:
    """Return libbpf 1.x, on which the bcc packages of Debian 12 and later depend.

    Raises:
        TypesError: libbpf is not installed.
    """
    try:
        library = ctypes.CDLL(_LIBRARY, use_errno=True)
    except OSError as exc:
        raise TypesError(f"{_LIBRARY} is missing; the package python3-bpfcc installs it ({exc})") from exc
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint32
    signatures = {
        "btf__parse": (pointer, (text, pointer)),
        "btf__parse_split": (pointer, (text, pointer)),
        "btf__find_by_name_kind": (ctypes.c_int32, (pointer, text, number)),
        "btf__type_cnt": (number, (pointer,)),
        "btf__type_by_id": (pointer, (pointer, number)),
        "btf__name_by_offset": (text, (pointer, number)),
        "btf__resolve_size": (ctypes.c_int64, (pointer, number)),
        "btf__resolve_type": (ctypes.c_int32, (pointer, number)),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
