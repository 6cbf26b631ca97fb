# SPDX-License-Identifier: Apache-2.0
"""Check which macros are generated from the names in a program and the types of a kernel."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from lab.agent.collectors.btf import KernelTypes, Place, TypesError
from lab.agent.collectors.kernel_macros import kernel_macros

KNOWN = {
    ("tcp_sock", "snd_cwnd"): Place(bit=12000, bits=32, is_bitfield=False),
    ("tcp_sock", "inner"): Place(bit=64, bits=64, is_bitfield=False),
    ("inet_connection_sock", "icsk_ca_state"): Place(bit=10309, bits=5, is_bitfield=True),
}


class Types(KernelTypes):
    """A kernel with three fields and one tracepoint."""

    def __init__(self) -> None:
        """Nothing of this machine's kernel is read."""

    def places(self, structure: str, fields: Collection[str]) -> dict[str, Place]:
        return {field: KNOWN[structure, field] for field in fields if (structure, field) in KNOWN}

    def tracepoint_arguments(self, name: str) -> int:
        return {"kfree_skb": 4}.get(name, 0)


def macros(source: str) -> dict[str, int]:
    lines = kernel_macros(source, Types()).split("\n")
    return {line.split()[1]: int(line.split()[2]) for line in lines if line}


def test_a_field_has_its_offset_and_size() -> None:
    found = macros("x = READ(u32, sk, tcp_sock, snd_cwnd);")
    assert found["KERNEL_OFFSET_tcp_sock__snd_cwnd"] == 1500
    assert found["KERNEL_BYTES_tcp_sock__snd_cwnd"] == 4


def test_a_bit_field_lies_in_an_aligned_word() -> None:
    found = macros("READ_BITS(sk, inet_connection_sock, icsk_ca_state)")
    assert found["KERNEL_OFFSET_inet_connection_sock__icsk_ca_state"] == 1288
    assert found["KERNEL_SHIFT_inet_connection_sock__icsk_ca_state"] == 10309 - 1288 * 8 == 5
    assert found["KERNEL_BITS_inet_connection_sock__icsk_ca_state"] == 5


def test_nested_uses_are_found_and_comments_are_not() -> None:
    found = macros("/* READ(u8, a, no, field) */ READ(u32, READ(void *, (u8 *)p, tcp_sock, inner), tcp_sock, snd_cwnd)")
    assert {name for name in found if "HAVE" in name} == {
        "KERNEL_HAVE_tcp_sock__inner",
        "KERNEL_HAVE_tcp_sock__snd_cwnd",
    }


def test_a_field_that_is_not_there_is_an_error() -> None:
    with pytest.raises(TypesError, match="struct tcp_sock has no field wnd"):
        macros("READ(u32, sk, tcp_sock, wnd)")


def test_unless_the_program_asks() -> None:
    found = macros("#if HAVE(bbr, mode)\nREAD_BITS(own, bbr, mode)\n#endif")
    assert found == {"KERNEL_HAVE_bbr__mode": 0}


def test_arguments_of_tracepoints_are_counted() -> None:
    assert macros("#if ARGUMENTS(kfree_skb) >= 4\n#endif ARGUMENTS(no_such)") == {
        "KERNEL_ARGUMENTS_kfree_skb": 4,
        "KERNEL_ARGUMENTS_no_such": 0,
    }
