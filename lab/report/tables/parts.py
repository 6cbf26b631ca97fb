# SPDX-License-Identifier: Apache-2.0
"""How a table with many columns is divided for paper: into tables of as many columns as fit on a page."""

from __future__ import annotations

import itertools

MOST_COLUMNS = 11
"""Number of columns that fit on a page of A4, with text of 7.5 points."""
RESULT_COLUMNS = 9
"""The same for the table of results, whose values have intervals."""
_LEAST = 3
"""Number of columns with values that a part has at least, however many columns identify a row."""


def parts(keys: int, values: int, most: int = MOST_COLUMNS) -> list[range]:
    """Return the places of the *values* columns of each part; a single part if all columns fit.

    Each part repeats the *keys* columns, which say what a row is about, and has *most* columns at most.  The parts have
    equally many columns, or one more.
    """
    room = max(_LEAST, most - keys)
    number = -(-values // room) or 1
    edges = [round(part * values / number) for part in range(number + 1)]
    return [range(first, last) for first, last in itertools.pairwise(edges)]
