# SPDX-License-Identifier: Apache-2.0
"""How the loader tells a program that is loaded twice whether it is the first or the second."""

from __future__ import annotations

import struct

import pytest

from lab.agent.collectors.bcc_loader import WHICH_PROGRAM, told_which
from lab.agent.collectors.loader import LoaderError

EXIT = struct.pack("<BBhi", 0x95, 0, 0, 0)
MAP = struct.pack("<BBhi", 0x18, 0x11, 0, 7) + bytes(8)


def load_constant(register: int, value: int) -> bytes:
    """Return the two instructions that load a constant of 64 bits."""
    return struct.pack("<BBhI", 0x18, register, 0, value & 0xFFFFFFFF) + struct.pack("<II", 0, value >> 32)


@pytest.mark.parametrize("which", [0, 1])
def test_only_the_question_is_answered(which: int) -> None:
    other = load_constant(3, WHICH_PROGRAM ^ 1 << 40)
    code = MAP + load_constant(2, WHICH_PROGRAM) + other + load_constant(5, WHICH_PROGRAM) + EXIT
    assert told_which(code, which) == MAP + load_constant(2, which) + other + load_constant(5, which) + EXIT


def test_a_program_that_does_not_ask_is_refused() -> None:
    with pytest.raises(LoaderError, match="does not ask"):
        told_which(MAP + EXIT, 1)
