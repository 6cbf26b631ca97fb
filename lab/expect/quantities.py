# SPDX-License-Identifier: Apache-2.0
"""Numbers with units in expectations: their dimensions, and how they are read and written."""

from __future__ import annotations

from dataclasses import dataclass

from lab.units import format_duration, format_percent, format_rate, format_size, quantity

__all__ = ["DURATION", "NUMBER", "RATE", "SIZE", "Dimension", "parsed", "shown"]


@dataclass(frozen=True)
class Dimension:
    """The dimension of a quantity, as powers of data and of time: 1 and -1 for a rate.

    Values are in bits and seconds, so that a rate is in bit/s, and a rate times a duration is a size.
    """

    data: int = 0
    time: int = 0

    def __mul__(self, other: Dimension) -> Dimension:
        return Dimension(self.data + other.data, self.time + other.time)

    def __truediv__(self, other: Dimension) -> Dimension:
        return Dimension(self.data - other.data, self.time - other.time)

    def __str__(self) -> str:
        known = {
            NUMBER: "a number",
            RATE: "a rate, such as 10mbit",
            DURATION: "a duration, such as 60ms",
            SIZE: "a size, such as 64kB",
        }
        return known.get(self, f"data to the power of {self.data} and time to the power of {self.time}")


NUMBER, RATE, DURATION, SIZE = Dimension(), Dimension(1, -1), Dimension(0, 1), Dimension(1, 0)

_UNITS = {
    "": (1.0, NUMBER),
    "fraction": (1.0, NUMBER),
    "packets": (1.0, NUMBER),
    "bit/s": (1.0, RATE),
    "s": (1.0, DURATION),
    "bytes": (8.0, SIZE),
}
"""Unit of :func:`lab.units.quantity` → by what its number is multiplied, and the dimension."""

_DIGITS = 4


def parsed(text: str) -> tuple[float, Dimension] | None:
    """Return the value (in bits and seconds) and the dimension of a quantity, such as ``60ms``; None if it is none.

    The units are those of :mod:`lab.units`, except for ``bdp``, which says nothing without a path.
    """
    found = quantity(text)
    if found is None or found[1] not in _UNITS:
        return None
    scale, dimension = _UNITS[found[1]]
    return found[0] * scale, dimension


def shown(value: float, dimension: Dimension, *, as_percent: bool = False) -> str:
    """Return a value as text, rounded to four digits."""
    sign, size = ("−" if value < 0 else ""), abs(value)
    if dimension == RATE:
        return sign + format_rate(size, _DIGITS)
    if dimension == DURATION:
        return sign + format_duration(size * 1e9, _DIGITS)
    if dimension == SIZE:
        return sign + format_size(size / 8, _DIGITS)
    if dimension == NUMBER and as_percent:
        return sign + format_percent(size, _DIGITS)
    unit = "" if dimension == NUMBER else f" bit^{dimension.data} s^{dimension.time}"
    return f"{sign}{size:.{_DIGITS}g}{unit}"
