# SPDX-License-Identifier: Apache-2.0
"""Similar sources: found whatever their names are called, and not because of what all were given."""

from __future__ import annotations

import re

from lab.cc.starter import STARTERS, algorithm_starter
from lab.grade.submission.similar import GRAM, WINDOW, fingerprints, similar_pairs
from lab.grade.submission.sources import forbidden_names, tokens
from lab.job.bpf_sources import BPF_SOURCES

BPF = BPF_SOURCES
"""Real sources in C."""
FIRST, SECOND, GIVEN = ((BPF / f"{name}.bpf.c").read_text() for name in ("tcp_probe", "drops", "accounts"))


def renamed(source: str) -> str:
    """Return a source with other names, numbers, comments and white space."""
    source = re.sub(r"/\*.*?\*/", "", source, flags=re.DOTALL)
    words = set(re.findall(r"\b[a-z_]{3,}\b", source)) - set(_KEYWORDS.split())
    for number, word in enumerate(sorted(words)):
        source = re.sub(rf"\b{word}\b", f"x{number}", source)
    return "// mine alone\n" + source.replace("\t", "  ").replace(" 0", "  7")


_KEYWORDS = (
    "static struct int return if else for while switch case break default void const unsigned long char enum include "
    "define sizeof goto continue extern inline union volatile typedef endif ifdef ifndef undef elif"
)


def test_a_copy_with_other_names_is_found() -> None:
    pairs = similar_pairs({"ada": FIRST, "bob": SECOND, "eve": renamed(FIRST)})
    assert [(pair.first, pair.second) for pair in pairs] == [("ada", "eve")]
    assert pairs[0].shared > 0.8
    assert pairs[0].places


def test_what_all_were_given_does_not_count() -> None:
    both = {"ada": GIVEN + FIRST, "bob": GIVEN + SECOND}
    assert similar_pairs(both, [GIVEN]) == []
    copied = {"ada": GIVEN + FIRST, "bob": GIVEN + renamed(FIRST)}
    assert [(pair.first, pair.second) for pair in similar_pairs(copied, [GIVEN])] == [("ada", "bob")]
    assert similar_pairs({"ada": GIVEN, "bob": GIVEN}, [GIVEN]) == []


def test_a_copy_of_what_anybody_can_find_is_found_unless_all_were_given_it() -> None:
    starters = {name: algorithm_starter(name, name) for name in STARTERS}
    mine = starters["delay"].replace("base_rtt", "lowest").replace('LAB_CC("delay"', 'LAB_CC("mine"')
    (pair,) = similar_pairs({"ada": mine, "bob": FIRST}, published=starters)
    assert (pair.first, pair.second) == ("ada", "delay")
    assert pair.shared > 0.95
    assert similar_pairs({"ada": mine, "bob": FIRST}, [starters["delay"]], starters) == []
    # A copy counts, even if most of the class has made one.
    names = {pair.first for pair in similar_pairs({f"s{number}": mine for number in range(8)}, published=starters)}
    assert len(names) == 8


def test_what_most_of_a_class_has_does_not_count() -> None:
    own = [path.read_text() for path in sorted(BPF.glob("*.bpf.c"))][:7]
    assert len(own) == 7
    assert similar_pairs({f"s{number}": GIVEN + text for number, text in enumerate(own) if text != GIVEN}) == []


def test_a_match_as_long_as_the_guarantee_is_always_seen() -> None:
    shared = " ".join(f"a{'+-*/%&|^'[number % 8]} {'(' if number % 3 else ')'}" for number in range(200))
    own = list(tokens(shared))[: GRAM + WINDOW - 1]
    text = "\n".join(token.text for token in own)
    for before in ("", "x = y ; ", "{ { { ", "while ( 1 ) ; if ( b ) c ( ) ; "):
        first, second = fingerprints(f"{before}\n{text}\n;"), fingerprints(f"return ;\n{text}\n}}")
        assert first.keys() & second.keys()


def test_short_and_broken_sources_are_no_error() -> None:
    assert similar_pairs({"a": "", "b": "\0\x01 \\ \" '", "c": "int"}) == []


def test_forbidden_names_are_found_outside_of_comments_and_texts() -> None:
    source = (
        '// tcp_reno_cong_avoid\nchar *s = "tcp_reno_x";\nint f(void)\n{\n\treturn tcp_reno_ssthresh(sk) + my;\n}\n'
    )
    found = forbidden_names(source, ["tcp_reno_*", "cubictcp_*"])
    assert [(token.text, token.line) for token in found] == [("tcp_reno_ssthresh", 5)]
