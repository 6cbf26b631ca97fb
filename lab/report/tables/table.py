# SPDX-License-Identifier: Apache-2.0
"""A table of events: a title, headings, and lines that go to the page as text and to a CSV file as they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from lab.report.model import Report

SHOWN = 40
"""Lines on the page; the CSV file has all."""

Cell = Callable[[Any], str]


@dataclass(frozen=True)
class Heading:
    """One column on the page."""

    title: str
    unit: str
    number: bool
    cell: Cell


@dataclass(frozen=True)
class EventTable:
    """A table of the page and the CSV file of its rows."""

    name: str
    """Of the CSV file."""
    title: str
    note: str
    axes: tuple[str, ...]
    """Headings of the columns that say which cell it is; empty where the trial is named."""
    headings: tuple[Heading, ...]
    lines: Sequence[Any]
    names: tuple[str, ...]
    """Of the CSV file's columns."""
    rows: Sequence[Mapping[str, Any]]

    @property
    def shown(self) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
        """(cell, text of each heading) of the lines that fit on a page."""
        return [
            (line.where if self.axes else (), tuple(heading.cell(line) for heading in self.headings))
            for line in self.lines[:SHOWN]
        ]


def axes_of_cells(report: Report) -> tuple[str, ...]:
    """Return the headings of the columns that say which cell a line belongs to."""
    return tuple(axis.label for axis in report.axes)


def table(
    name: str, title: str, note: str, axes: tuple[str, ...], lines: Sequence[Any], headings: Sequence[Heading]
) -> EventTable:
    """Return the table of *lines*, which are instances of one dataclass; its fields are the columns of the CSV file.

    *axes* are the labels of the values in each line's ``where``; empty for lines that name their trial.  A field
    ``flags``, a mapping, becomes one column for each of its keys.
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
    return Heading(title, "", number=False, cell=lambda line: str(getattr(line, attribute)))


def number(title: str, unit: str, attribute: str) -> Heading:
    return Heading(title, unit, number=True, cell=lambda line: f"{getattr(line, attribute):,}")


def decimal(title: str, unit: str, attribute: str, digits: int) -> Heading:
    def cell(line: Any) -> str:
        value = getattr(line, attribute)
        return "–" if value is None else f"{value:,.{digits}f}"

    return Heading(title, unit, number=True, cell=cell)


def quantiles(decimals: int) -> list[Heading]:
    """Of a line that has quantiles of times."""
    names = (("Median", "p50_ms"), ("95 %", "p95_ms"), ("99 %", "p99_ms"), ("Longest", "max_ms"))
    return [decimal(title, "ms", name, decimals) for title, name in names]
