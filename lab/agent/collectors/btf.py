# SPDX-License-Identifier: Apache-2.0
"""The running kernel's own types (BTF): where a field is, what an enumerator is called, what can be hooked.

So a collector needs no kernel headers, compiles in a moment, and is right for the kernel it runs on, whichever that is.
libbpf does the parsing; format: Documentation/bpf/btf.rst.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
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
    """Where a field lies in its structure, and how long it is, in bits."""

    bit: int
    bits: int
    is_bitfield: bool


class TypesError(Exception):
    """The kernel has no type information, or it cannot be read."""


class KernelTypes:
    """Type information of the kernel and of the modules named; raises :class:`TypesError`."""

    def __init__(self, modules: tuple[str, ...] = ()) -> None:
        self._libbpf = libbpf()
        if not VMLINUX.exists():
            raise TypesError(f"this kernel has no type information: {VMLINUX} is missing (CONFIG_DEBUG_INFO_BTF)")
        self._kernel = self._libbpf.btf__parse(bytes(VMLINUX), None)
        if not self._kernel:
            raise TypesError(f"{VMLINUX} cannot be read")
        self._all = [self._kernel]
        for module in modules:
            path = VMLINUX.with_name(module)
            if path.exists():
                self._all.append(self._libbpf.btf__parse_split(bytes(path), self._kernel))

    def place(self, structure: str, field: str) -> Place | None:
        """Where ``structure`` has ``field``, looking into unnamed structures and unions as C does; None: nowhere."""
        for types in self._all:
            found = self._libbpf.btf__find_by_name_kind(types, structure.encode(), _STRUCT)
            if found > 0:
                return self._member(types, found, field, 0)
        return None

    def enumerators(self, enum: str) -> dict[int, str]:
        """Value → name; empty when there is no such enum."""
        found = self._libbpf.btf__find_by_name_kind(self._kernel, enum.encode(), _ENUM)
        if found <= 0:
            return {}
        declared = self._type(self._kernel, found)
        entries = (_Enumerator * declared.length).from_address(ctypes.addressof(declared) + ctypes.sizeof(_Type))
        return {entry.value: self._name(self._kernel, entry.name) for entry in entries}

    def function(self, name: str) -> int | None:
        """The id of a function that fentry can be attached to."""
        return self._find(name, _FUNC)

    def tracepoint(self, name: str) -> int | None:
        """The id of a tracepoint's prototype, by the name it has without its subsystem."""
        return self._find(f"btf_trace_{name}", _TYPEDEF)

    def tracepoint_arguments(self, name: str) -> int:
        """How many arguments the tracepoint hands to a program; 0 when there is none of that name."""
        found = self.tracepoint(name)
        if found is None:
            return 0
        pointer = self._type(self._kernel, self._type(self._kernel, found).size_or_type)
        # The first is the tracepoint's own, which programs do not see.
        return self._type(self._kernel, pointer.size_or_type).length - 1

    @functools.cache  # noqa: B019 - one instance in a process
    def _find(self, name: str, kind: int) -> int | None:
        found = int(self._libbpf.btf__find_by_name_kind(self._kernel, name.encode(), kind))
        return found if found > 0 else None

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
    """libbpf 1.x, which every bcc of Debian 12 and later brings along.  Raises :class:`TypesError`."""
    try:
        library = ctypes.CDLL(_LIBRARY, use_errno=True)
    except OSError as exc:
        raise TypesError(f"{_LIBRARY} is missing; it comes with the package python3-bpfcc ({exc})") from exc
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint32
    signatures = {
        "btf__parse": (pointer, (text, pointer)),
        "btf__parse_split": (pointer, (text, pointer)),
        "btf__find_by_name_kind": (ctypes.c_int32, (pointer, text, number)),
        "btf__type_by_id": (pointer, (pointer, number)),
        "btf__name_by_offset": (text, (pointer, number)),
        "btf__resolve_size": (ctypes.c_int64, (pointer, number)),
        "btf__resolve_type": (ctypes.c_int32, (pointer, number)),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
