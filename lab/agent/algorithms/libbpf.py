# SPDX-License-Identifier: Apache-2.0
"""The functions of libbpf that load an object and register its congestion control, through ctypes.

``bpf/libbpf.h`` of libbpf 1.x declares them.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from lab.agent.collectors.btf import libbpf

STRUCT_OPS, RING_BUFFER = 26, 27
"""BPF_MAP_TYPE_STRUCT_OPS and BPF_MAP_TYPE_RINGBUF of include/uapi/linux/bpf.h."""

_WARNING = 0
"""LIBBPF_WARN; higher numbers are less important."""
_MOST_TEXT_BYTES = 1 << 20


class OpenOptions(ctypes.Structure):
    """``struct bpf_object_open_opts``."""

    _fields_ = (
        ("sz", ctypes.c_size_t),
        ("object_name", ctypes.c_char_p),
        ("relaxed_maps", ctypes.c_bool),
        ("pin_root_path", ctypes.c_char_p),
        ("unused", ctypes.c_uint32),
        ("kconfig", ctypes.c_char_p),
        ("btf_custom_path", ctypes.c_char_p),
        ("kernel_log_buf", ctypes.c_void_p),
        ("kernel_log_size", ctypes.c_size_t),
        ("kernel_log_level", ctypes.c_uint32),
    )


_Print = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)


@functools.cache
def library() -> Any:
    """Return libbpf with the signatures of the functions that objects need.

    Raises:
        lab.agent.collectors.btf.TypesError: libbpf is not installed.
    """
    found = libbpf()
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    unsigned = ctypes.c_uint32
    signatures = {
        "bpf_object__open_mem": (pointer, (pointer, ctypes.c_size_t, pointer)),
        "bpf_object__load": (number, (pointer,)),
        "bpf_object__close": (None, (pointer,)),
        "bpf_object__next_map": (pointer, (pointer, pointer)),
        "bpf_map__type": (number, (pointer,)),
        "bpf_map__name": (text, (pointer,)),
        "bpf_map__fd": (number, (pointer,)),
        "bpf_map__max_entries": (unsigned, (pointer,)),
        "bpf_map__key_size": (unsigned, (pointer,)),
        "bpf_map__value_size": (unsigned, (pointer,)),
        "bpf_map__map_flags": (unsigned, (pointer,)),
        "bpf_map__set_map_flags": (number, (pointer, unsigned)),
        "libbpf_minor_version": (unsigned, ()),
        "bpf_map__attach_struct_ops": (pointer, (pointer,)),
        "bpf_link__destroy": (number, (pointer,)),
        "bpf_map_lookup_elem": (number, (number, pointer, pointer)),
        "libbpf_set_print": (_Print, (pointer,)),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(found, name)
        function.restype, function.argtypes = result, arguments
    return found


@contextmanager
def listening(said: list[str]) -> Iterator[None]:
    """Append what libbpf warns of during the block to *said*; it would go to standard error otherwise."""
    libc = ctypes.CDLL(None)
    libc.vsnprintf.argtypes = (ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_void_p)
    buffer = ctypes.create_string_buffer(_MOST_TEXT_BYTES)

    def note(level: int, text: bytes, arguments: int) -> int:
        if level <= _WARNING:
            libc.vsnprintf(buffer, len(buffer), text, arguments)
            said.append(buffer.value.decode(errors="replace"))
        return 0

    callback: Callable[..., int] = _Print(note)
    before = library().libbpf_set_print(ctypes.cast(callback, ctypes.c_void_p))  # type: ignore[arg-type]
    try:
        yield
    finally:
        library().libbpf_set_print(ctypes.cast(before, ctypes.c_void_p))
