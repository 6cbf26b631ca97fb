# SPDX-License-Identifier: Apache-2.0
"""Explanations of what libbpf and two kernels said about typical mistakes (captured), and of clang's messages."""

from __future__ import annotations

import pytest

from lab.cc.explain import explain
from tests.mistakes import COMPILER, Mistake, captured, check_said, mistakes

KERNELS = ("debian-13", "debian-12", "debian-13-backports")
ALL = mistakes()
LOADED = [one for one in ALL.values() if one.who not in COMPILER]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("mistake", LOADED, ids=lambda one: one.name)
def test_what_a_kernel_refuses_is_explained(mistake: Mistake, kernel: str) -> None:
    check_said(kernel, mistake, captured(kernel)[mistake.name])


def test_a_reason_that_the_verifier_gives_is_passed_on() -> None:
    said = captured("debian-13-backports")["kernel_function_not_allowed"].replace("is not allowed\n", "is amiss\n")
    source = ALL["kernel_function_not_allowed"]
    found = explain(said.replace("; tcp_enter_cwr(sk);", "; LAB_CC("), {source.file: source.text})
    assert found is not None
    assert found.place is not None
    assert found.place.lines == (source.line,)
    assert found.reason == (
        "The kernel's verifier refuses the program: The kfunc tcp_enter_cwr is not allowed: this program cannot call "
        "the kfunc."
    )


def test_there_are_enough_typical_mistakes() -> None:
    assert len(ALL) >= 25
    for kernel in KERNELS:
        assert captured(kernel).keys() == {one.name for one in LOADED}


def test_lines_are_the_same_with_and_without_numbers_in_the_log() -> None:
    """Linux 6.1 says only the text of lines, Linux 6.12 their numbers, too."""
    assert " @ write_to_srtt.bpf.c:" in captured("debian-13")["write_to_srtt"]
    assert " @ " not in captured("debian-12")["write_to_srtt"]


def test_a_text_in_several_lines_gives_all_of_them() -> None:
    source = ALL["write_to_srtt"].text
    doubled = source.replace(
        "static u32 ssthresh", "// tcp_sk(sk)->srtt_us = 0;\n/*\n{line}\n*/\nstatic u32 ssthresh", 1
    )
    line = next(line for line in source.splitlines() if "mistake */" in line)
    found = explain(captured("debian-12")["write_to_srtt"], {"a.bpf.c": doubled.replace("{line}", line)})
    assert found is not None
    assert found.place is not None
    assert len(found.place.lines) == 2
    assert f"a.bpf.c:{found.place.lines[0]} or {found.place.lines[1]}: " in str(found)


def test_without_sources_the_kernel_names_the_line_or_there_is_none() -> None:
    mistake = ALL["lookup_not_checked"]
    new = explain(captured("debian-13")[mistake.name], {})
    old = explain(captured("debian-12")[mistake.name], {})
    assert new is not None
    assert old is not None
    assert new.place is not None
    assert new.place.lines == (mistake.line,)
    assert old.place is None
    assert str(old) == old.reason == new.reason


def test_headers_of_ones_own_have_lines_too() -> None:
    said = captured("debian-13")["write_to_srtt"].replace("write_to_srtt.bpf.c", "./mine.h")
    found = explain(said, {"a.bpf.c": "", "mine.h": ALL["write_to_srtt"].text})
    assert found is not None
    assert str(found).startswith("mine.h:6: ")


def test_the_lines_of_the_header_are_never_the_reason() -> None:
    said = (
        "; own->w_max = lab_cube_root(7); @ a.bpf.c:7\n1: (85) call pc+1\n"
        "; u64 next = (2 * root + value / (root * root)) / 3; @ lab_cc.h:600\n2: (3f) r1 /= r2\nR1 !read_ok\n"
        "processed 2 insns (limit 1000000)"
    )
    found = explain(said, {})
    assert found is not None
    assert found.place is not None
    assert str(found.place) == "a.bpf.c:7"


def test_of_several_loops_all_are_named_if_the_verifier_gave_up() -> None:
    source = (
        "static u32 sum(void)\n{\n\t/* for (;;) */\n\tfor (int i = 0; i < 9; i++)\n\t\tx++;\n"
        "\twhile (x > y) /*\n for( */\n\t\tx--;\n}\n"
    )
    found = explain("BPF program is too large. Processed 1000001 insn\nprocessed 1000001 insns", {"a.bpf.c": source})
    assert found is not None
    assert found.place is None
    assert "One of the loops (a.bpf.c:4, a.bpf.c:6)" in found.reason


def test_what_nobody_has_explained_yet_is_passed_on() -> None:
    said = (
        "libbpf: prog 'lab_init': BPF program load failed: Permission denied\n"
        "0: R1=ctx() R10=fp0\n; grow(sk); @ a.bpf.c:12\n0: (79) r1 = *(u64 *)(r1 +0)\n"
        "something that no other kernel has said\nprocessed 1 insns (limit 1000000) max_states_per_insn 0\n"
    )
    assert str(explain(said, {})) == (
        "a.bpf.c:12: The kernel's verifier refuses the program: something that no other kernel has said.\n    grow(sk);"
    )
    assert explain("a.bpf.c:3:1: error: expected ';' after expression", {"a.bpf.c": "\n\nx\n"}) is None
    assert explain("", {}) is None


def test_what_is_quoted_can_be_printed() -> None:
    said = "; a(\x1b[2J\x07); @ x\x1b.h:3\n1: (79) r1 = *(u64 *)(r1 +0)\nR1 !read_ok\nprocessed 1 insns"
    found = explain(said, {})
    assert str(found).replace("\n", "").isprintable()
    assert "a(�[2J�);" in str(found)


CLANG_19 = {
    "signed_division": (
        "a.bpf.c:8:34: error: unsupported signed division, please convert to unsigned div/mod.\n"
        "    8 |         tcp_sk(sk)->snd_cwnd += change / 3;\n",
        "lab_div_s64()",
    ),
    "floating_point": (
        "a.bpf.c:6:46: error: a call to built-in function '__muldf3' is not supported.\n",
        "no floating-point numbers",
    ),
    "function_unknown": (
        "a.bpf.c:6:2: error: call to undeclared function 'tcp_enter_slow_start'; ISO C99 and later do not support "
        "implicit function declarations [-Wimplicit-function-declaration]\n",
        "There is no function tcp_enter_slow_start",
    ),
}
"""How newer versions of clang say the same."""


@pytest.mark.parametrize("name", CLANG_19)
def test_newer_compilers_have_other_words(name: str) -> None:
    said, words = CLANG_19[name]
    found = explain(said, {"a.bpf.c": ALL[name].text})
    assert found is not None
    assert words in found.reason
    assert found.place is not None
    assert found.place.lines == (ALL[name].line,)
