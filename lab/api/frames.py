# SPDX-License-Identifier: Apache-2.0
"""The Parquet files of a run as polars data frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
from pyarrow import ArrowException

from lab.errors import StoreError, UnknownNameError

TRIAL = "trial"
"""The column that says to which trial a row belongs."""

_TEXT = pl.col(pl.Categorical).cast(pl.String)
"""Texts are in the files with a dictionary; as plain texts, they can be compared and joined with those of metrics."""


def read(path: Path) -> pl.DataFrame:
    """Read a whole Parquet file.

    Raises:
        StoreError: The file is missing or damaged.
    """
    return collected(lazy(path), path)


def lazy(path: Path, trial: str | None = None) -> pl.LazyFrame:
    """Return the rows of a Parquet file, which is not read yet; *trial* becomes the first column."""
    # The path is that of one file, whatever characters its folders have in their names.
    frame = pl.scan_parquet(path, glob=False, hive_partitioning=False).with_columns(_TEXT)
    return frame if trial is None else frame.select(pl.lit(trial).alias(TRIAL), pl.all())


def collected(frame: pl.LazyFrame, path: Path) -> pl.DataFrame:
    """Read what *frame* asks for.

    Raises:
        StoreError: A file is missing or damaged; the message names *path*, where the files are.
    """
    with _reading(path):
        return frame.collect()


def columns_of(frame: pl.LazyFrame, path: Path) -> list[str]:
    """Return the names of the columns of *frame*; raises what :func:`collected` raises."""
    with _reading(path):
        return frame.collect_schema().names()


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, pl.exceptions.PolarsError) as error:
        raise StoreError(f"cannot read {path}: {' '.join(str(error).split())}") from error


def units_in(path: Path) -> dict[str, str]:
    """Return the columns of a Parquet file, each with its unit or an empty text.

    Raises:
        StoreError: The file is missing or damaged.
    """
    try:
        schema = pq.read_schema(path)
    except (OSError, ArrowException) as error:
        raise StoreError(f"cannot read {path}: {error}") from error
    return {field.name: (field.metadata or {}).get(b"unit", b"").decode() for field in schema}


def known(what: str, name: str, names: Iterable[str], where: str) -> str:
    """Return *name* if it is one of *names*.

    Raises:
        UnknownNameError: It is not; the message says which name is near, and which ones there are.
    """
    there = list(names)
    if name in there:
        return name
    # This brings pydantic with it, which takes longer to import than a run takes to load.
    from lab.experiment.check.problems import nearest

    close = nearest(name, there)
    hint = f"; did you mean {close!r}?" if close is not None else ""
    raise UnknownNameError(f"{where} has no {what} {name!r}{hint} {listed(there)}")


def listed(names: Sequence[str], most: int = 20) -> str:
    """Return *names* in parentheses for a message, without those beyond *most*."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"(there are {', '.join(names[:most])}{more})" if names else "(there are none)"
