# SPDX-License-Identifier: Apache-2.0
"""The widths of figures: those of the report, or of the columns of a journal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from lab.report.figures.look.style import COLUMN_INCHES, PAGE_INCHES


@dataclass(frozen=True)
class Widths:
    """The widths of a narrow and a wide figure, in inches."""

    column: float
    page: float


REPORT = Widths(COLUMN_INCHES, PAGE_INCHES)
WIDTHS = {
    "acm": Widths(3.33, 3.33),
    "acm-double": Widths(7.0, 7.0),
    "ieee": Widths(3.5, 3.5),
    "ieee-double": Widths(7.16, 7.16),
    "slide": Widths(6.0, 6.0),
}
"""Name of a width → the widths of its figures: columns of ACM (acmart) and IEEE papers, and a slide."""

_widths: ContextVar[Widths] = ContextVar("widths", default=REPORT)


def column_inches() -> float:
    """Return the width of a figure with one panel."""
    return _widths.get().column


def page_inches() -> float:
    """Return the width of a figure with several panels side by side."""
    return _widths.get().page


def panel_columns(number: int, most: int = 3, least_inches: float = 1.7) -> int:
    """Return how many of *number* panels are side by side: at most *most*, and none narrower than *least_inches*."""
    return max(1, min(most, number, int(page_inches() / least_inches + 0.01)))


@contextmanager
def sized(name: str | None) -> Iterator[None]:
    """Draw figures in the width *name*, one of :data:`WIDTHS`; without a name, in that of the report."""
    token = _widths.set(REPORT if name is None else WIDTHS[name])
    try:
        yield
    finally:
        _widths.reset(token)
