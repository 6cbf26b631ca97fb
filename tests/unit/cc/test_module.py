# SPDX-License-Identifier: Apache-2.0
"""What is said of a module that does not compile; compiling itself is tested with the guest's headers at night."""

from __future__ import annotations

import pytest

from lab.cc.module import ModuleSource, _explained, packed_source, unpacked_source
from lab.cc.sandbox import Ended
from lab.cc.sources import MODULE_SUFFIX, Sources, gather

SOURCE = b'#include "/etc/passwd"\nint nowhere(void);\nint f(void) { return nowhere(); }\n'


def sources() -> Sources:
    return gather("tcp_mine.c", lambda path: SOURCE if path == "tcp_mine.c" else None, MODULE_SUFFIX)


def explained(said: str, **more: bool) -> str:
    return _explained(Ended(2, said, **more), ModuleSource("mine", sources(), "labs/"))


def test_the_compilers_message_has_the_path_that_the_user_knows() -> None:
    said = (
        "warning: the compiler differs from the one used to build the kernel\n"
        "/build/tcp_mine.c:3:5: error: expected ';' before '}' token\n    3 | int f(void)\n"
        "make[2]: *** [/usr/src/linux-headers/scripts/Makefile.build:249: /build/tcp_mine.o] Error 1\n"
    )
    lines = explained(said).splitlines()
    assert lines[:2] == ["it does not compile:", "labs/tcp_mine.c:3:5: error: expected ';' before '}' token"]
    assert not any("make" in line or "differs" in line for line in lines)
    assert lines[-1].startswith("labs/tcp_mine.c:1: found an include of '/etc/passwd'; expected a header in the folder")


def test_what_the_kernel_does_not_export_is_named_with_its_line() -> None:
    said = 'ERROR: modpost: "nowhere" [lab_module_mine.ko] undefined!\n'
    expected = "labs/tcp_mine.c:2: the guest's kernel has no function or variable nowhere for modules"
    assert expected in explained(said)


@pytest.mark.parametrize(
    ("said", "more", "words"),
    [
        ("", {"is_late": True}, "s of processor time"),
        ("gcc: fatal error: File size limit exceeded signal terminated program as\n", {}, "expected smaller arrays"),
        ("cc1: out of memory allocating 65536 bytes\n", {}, "GiB of memory"),
    ],
)
def test_limits_are_told(said: str, more: dict[str, bool], words: str) -> None:
    assert words in explained(said, **more).splitlines()[0]


def test_a_source_is_packed_and_unpacked() -> None:
    source = ModuleSource("mine", sources(), "labs/")
    assert unpacked_source("mine", packed_source(source)) == source
