# SPDX-License-Identifier: Apache-2.0
"""Columns of texts as numpy arrays, and rows of a table by a numpy mask.

The functions of Arrow that compare a column with a text do the same, but look whether the text is an object of pandas,
which takes as long to import as several trials take to evaluate.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
"""One value for each row of a table."""


def codes(table: pa.Table, name: str) -> tuple[list[str], NDArray[np.int64]]:
    """Return the distinct texts of a column, and for each row the place of its text among them; −1 for no text."""
    column = table.column(name).combine_chunks()
    if not len(column):
        return [], np.zeros(0, np.int64)
    places = column.indices.to_numpy(zero_copy_only=False)
    # With missing values, the places are floating-point numbers.
    return column.dictionary.to_pylist(), np.nan_to_num(places, nan=-1).astype(np.int64)


def has_text(table: pa.Table, name: str, *texts: str, or_none: bool = False) -> Mask:
    """Return which rows have one of *texts* in a column; with *or_none*, those without a text, too."""
    names, places = codes(table, name)
    wanted = np.array([text in texts for text in names] + [or_none])
    return wanted[places]


def chosen(table: pa.Table, mask: Mask) -> pa.Table:
    """Return the rows of a table that a mask chooses."""
    bits = pa.py_buffer(np.packbits(mask, bitorder="little").tobytes())
    return table.filter(pa.BooleanArray.from_buffers(pa.bool_(), len(mask), [None, bits]))
