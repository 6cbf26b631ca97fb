# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from lab.words import listed


@pytest.mark.parametrize(
    ("parts", "text"),
    [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")],
)
def test_an_enumeration_reads_as_in_a_sentence(parts: list[str], text: str) -> None:
    assert listed(parts) == text
    assert listed(iter(parts)) == text


def test_phrases_have_a_comma_before_the_last_one_but_two_have_none() -> None:
    assert listed(["at 0 %", "at 1 %", "at 2 %"], is_serial=True) == "at 0 %, at 1 %, and at 2 %"
    assert listed(["at 0 %", "at 1 %"], is_serial=True) == "at 0 % and at 1 %"


def test_the_last_part_can_be_an_alternative() -> None:
    assert listed(["svg", "pdf", "png"], "or") == "svg, pdf or png"
