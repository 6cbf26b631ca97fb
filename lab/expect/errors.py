# SPDX-License-Identifier: Apache-2.0
"""The error of an expectation that cannot be understood."""

from __future__ import annotations

from collections.abc import Iterable


class ExpectError(ValueError):
    """An expectation cannot be understood; the text says what was found and what would be right.

    If a name is not known, :attr:`word` is this name and :attr:`choices` are the names that could be meant.
    """

    def __init__(self, message: str, column: int, *, word: str = "", choices: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.column = column
        """The number of the first character, counted from 1, of what is wrong."""
        self.word = word
        self.choices = tuple(dict.fromkeys(choices))
