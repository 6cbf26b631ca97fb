# SPDX-License-Identifier: Apache-2.0
"""A table of events: the page shows its lines as text, and a CSV file has their exact values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from lab.report.model import Report
from lab.report.tables.parts import parts

SHOWN = 40
"""Largest number of lines of a table on the page; the CSV file has all of them."""

Cell = Callable[[Any], str]
"""Function that returns the text of a cell for a line."""


@dataclass(frozen=True)
class Heading:
    """One column of a table on the page."""

    title: str
    unit: str
    number: bool
    """Whether the column contains numbers, which are aligned to the right."""
    cell: Cell


@dataclass(frozen=True)
class EventTable:
    """A table, with what the page shows of it and the content of its CSV file."""

    name: str
    """Name of the CSV file, without its suffix."""
    title: str
    note: str
    """The text below the table."""
    axes: tuple[str, ...]
    """Headings of the columns that identify the cell; empty if the lines name their trial."""
    headings: tuple[Heading, ...]
    """The other columns on the page."""
    lines: Sequence[Any]
    """Instances of the dataclass that describes a line."""
    names: tuple[str, ...]
    """Names of the columns in the CSV file."""
    rows: Sequence[Mapping[str, Any]]
    """Rows of the CSV file."""

    @property
    def parts(self) -> list[list[int]]:
        """Places of the columns in :attr:`headings` that each part of the table has on paper.

        The texts before the first number say what a line is about, and are in each part.
        """
        texts = next((place for place, heading in enumerate(self.headings) if heading.number), len(self.headings))
        divided = parts(len(self.axes) + texts, len(self.headings) - texts)
        return [[*range(texts), *(texts + place for place in part)] for part in divided]

    @property
    def shown(self) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
        """The lines that the page shows: values of the cell, and the text in each column."""
        return [
            (line.where if self.axes else (), tuple(heading.cell(line) for heading in self.headings))
            for line in self.lines[:SHOWN]
        ]


def axes_of_cells(report: Report) -> tuple[str, ...]:
    """Return the headings of the columns that identify the cell of a line."""
    return tuple(axis.label for axis in report.axes)


def table(
    name: str, title: str, note: str, axes: tuple[str, ...], lines: Sequence[Any], headings: Sequence[Heading]
) -> EventTable:
    """Return the table of *lines*, which must be instances of the same dataclass.

    The fields of the dataclass are the columns of the CSV file.  The field ``where`` becomes a column for each of
    *axes*, which must be empty if the lines name their trial instead.  The field ``flags``, a mapping, becomes a column
    for each of its keys.
    """
    names = [field.name for field in fields(lines[0]) if field.name not in ("where", "flags")]
    flags = tuple(getattr(lines[0], "flags", ()))
    rows = []
    for line in lines:
        row = dict(zip(axes, line.where, strict=True)) if axes else {}
        row |= {name: getattr(line, name) for name in names}
        rows.append(row | (line.flags if flags else {}))
    return EventTable(name, title, note, axes, tuple(headings), lines, (*axes, *names, *flags), rows)


def text(title: str, attribute: str) -> Heading:
    """Return a column with the text of *attribute*."""
    return Heading(title, "", number=False, cell=lambda line: str(getattr(line, attribute)))


def number(title: str, unit: str, attribute: str) -> Heading:
    """Return a column with the whole number in *attribute*."""
    return Heading(title, unit, number=True, cell=lambda line: _grouped(getattr(line, attribute)))


def decimal(title: str, unit: str, attribute: str, digits: int) -> Heading:
    """Return a column with the number in *attribute*, rounded to *digits* decimals; a dash stands for None."""

    def cell(line: Any) -> str:
        value = getattr(line, attribute)
        return "–" if value is None else f"{value:,.{digits}f}"

    return Heading(title, unit, number=True, cell=cell)


def _grouped(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def quantiles(decimals: int) -> list[Heading]:
    """Return the columns for the quantiles and the largest value of a time in milliseconds."""
    names = (("p50", "p50_ms"), ("p95", "p95_ms"), ("p99", "p99_ms"), ("Max", "max_ms"))
    return [decimal(title, "ms", name, decimals) for title, name in names]
