# SPDX-License-Identifier: Apache-2.0
"""Look at source code in C by its tokens: names that may not be used.  No source is executed or compiled here."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pygments.lexers.c_cpp import CLexer
from pygments.token import Comment, Error, Literal, Name, Number, String, Text, Token, Whitespace

__all__ = ["CToken", "forbidden_names", "tokens"]


@dataclass(frozen=True)
class CToken:
    """A token of a source."""

    text: str
    """As it is written."""
    normal: str
    """The same for tokens that differ by a name or a number only."""
    line: int


def tokens(source: str) -> Iterator[CToken]:
    """Yield the tokens of a source in C, without comments, directives of the preprocessor and white space."""
    line = 1
    for kind, text in CLexer(stripnl=False, ensurenl=False).get_tokens(source):
        at, line = line, line + text.count("\n")
        if kind in Comment or kind in Whitespace or (kind in Text and not text.strip()):
            continue
        if kind in Name:
            yield CToken(text, "n", at)
        elif kind in Number or kind in Literal.Number:
            yield CToken(text, "0", at)
        elif kind in String:
            yield CToken(text, "s", at)
        elif kind in Token and kind is not Error:
            yield CToken(text, text, at)


def forbidden_names(source: str, patterns: Sequence[str]) -> list[CToken]:
    """Return the first place of each name in a source that one of *patterns* stands for (``tcp_reno_*``)."""
    found: dict[str, CToken] = {}
    for token in tokens(source):
        if token.normal == "n" and any(fnmatch.fnmatchcase(token.text, pattern) for pattern in patterns):
            found.setdefault(token.text, token)
    return list(found.values())
