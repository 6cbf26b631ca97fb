# SPDX-License-Identifier: Apache-2.0
"""Objects in which any number may be wrong."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.cc.elf import ObjectError, sections, without_debug_information


def small_object(*, debug: bytes = b"D" * 8) -> bytes:
    """Return an object with the sections .text, .debug_info and .bss, made by hand."""
    names = b"\0.text\0.debug_info\0.bss\0.shstrtab\0"
    text, head = b"T" * 16, 64
    table = head + len(text) + len(debug) + len(names)
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 1, 247, 1, 0, 0, table, 0, 64, 0, 0, 64, 5, 4)
    rows = [
        (0, 0, 0, 0),
        (names.index(b".text"), 1, head, len(text)),
        (names.index(b".debug_info"), 1, head + len(text), len(debug)),
        (names.index(b".bss"), 8, head, 1 << 28),
        (names.index(b".shstrtab"), 3, head + len(text) + len(debug), len(names)),
    ]
    packed = b"".join(
        struct.pack("<IIQQQQIIQQ", name, kind, 0, 0, at, size, 0, 0, 1, 0) for name, kind, at, size in rows
    )
    return header + text + debug + names + packed


def test_sections_of_an_object() -> None:
    found = {section.name: section for section in sections(small_object())}
    assert list(found) == ["", ".text", ".debug_info", ".bss", ".shstrtab"]
    assert (found[".bss"].size, found[".bss"].has_data) == (1 << 28, False)


def test_debug_information_becomes_zeros_and_nothing_else_changes() -> None:
    assert without_debug_information(small_object()) == small_object(debug=bytes(8))


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"#include", small_object()[:100], small_object()[:-1]])
def test_what_is_no_whole_object(data: bytes) -> None:
    with pytest.raises(ObjectError):
        sections(data)


@given(st.integers(0, len(small_object()) - 1), st.binary(min_size=1, max_size=8))
@settings(max_examples=300, deadline=None)
def test_a_damaged_object_is_read_or_refused(place: int, damage: bytes) -> None:
    data = bytearray(small_object())
    data[place : place + len(damage)] = damage
    with contextlib.suppress(ObjectError):
        assert len(without_debug_information(bytes(data))) == len(data)
