# SPDX-License-Identifier: Apache-2.0
"""The syntax tree of an expectation.  Each part knows the number of its first character, counted from 1."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from lab.expect.quantities import Dimension

__all__ = [
    "Bound",
    "Comparator",
    "Comparison",
    "Condition",
    "Expression",
    "Measure",
    "Negative",
    "Number",
    "Operation",
    "Selector",
    "Stay",
    "Time",
    "measures",
]

Comparator = Literal["<", "<=", ">", ">=", "==", "!="]


@dataclass(frozen=True)
class Number:
    """A number with or without a unit."""

    column: int
    text: str
    value: float
    """In bits and seconds."""
    dimension: Dimension

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Selector:
    """What a term is about: ``cc=bbr``, ``loss={0%, 1%}`` or ``rate=10mbit..100mbit``."""

    column: int
    name: str
    values: tuple[str, ...]
    """The values as written; the two ends of a range."""
    is_range: bool = False

    def __str__(self) -> str:
        written = [f'"{value}"' if " " in value else value for value in self.values]
        if self.is_range:
            return f"{self.name}={'..'.join(written)}"
        return f"{self.name}={written[0] if len(written) == 1 else '{' + ', '.join(written) + '}'}"


@dataclass(frozen=True)
class Time:
    """A moment (``at 1s``) or a period (``over 2s..5s``), measured from the start of traffic."""

    column: int
    start: Number
    end: Number | None
    """None for a moment."""

    def __str__(self) -> str:
        return f"at {self.start}" if self.end is None else f"over {self.start}..{self.end}"


@dataclass(frozen=True)
class Measure:
    """A term that names something measured or declared, such as ``p95(rtt, cc=bbr) over 2s..5s``."""

    column: int
    statistic: str | None
    """Such as ``p95``; None if there is none."""
    name: str
    selectors: tuple[Selector, ...] = ()
    time: Time | None = None

    def __str__(self) -> str:
        inside = ", ".join([*([self.name] if self.statistic else []), *map(str, self.selectors)])
        text = f"{self.statistic or self.name}({inside})" if inside else self.name
        return f"{text} {self.time}" if self.time else text


@dataclass(frozen=True)
class Negative:
    """A term with a minus sign in front of it."""

    column: int
    of: Expression

    def __str__(self) -> str:
        return f"-{_inner(self.of)}"


@dataclass(frozen=True)
class Operation:
    """Two terms with an operator between them."""

    column: int
    operator: Literal["+", "-", "*", "/"]
    left: Expression
    right: Expression

    def __str__(self) -> str:
        left = _inner(self.left) if _binds(self.left) < _binds(self) else str(self.left)
        right = _inner(self.right) if _binds(self.right) <= _binds(self) else str(self.right)
        return f"{left} {self.operator} {right}"


Expression = Number | Measure | Negative | Operation


def _binds(part: Expression) -> int:
    """Return how tightly the parts of an expression are bound to each other."""
    return 3 if not isinstance(part, Operation) else 2 if part.operator in "*/" else 1


def _inner(part: Expression) -> str:
    return f"({part})" if isinstance(part, Operation) else str(part)


@dataclass(frozen=True)
class Comparison:
    """What the observed side of a condition must be: ``>= 0.8 * link.rate``."""

    comparator: Comparator
    limit: Expression

    def __str__(self) -> str:
        return f"{self.comparator} {self.limit}"


@dataclass(frozen=True)
class Bound:
    """The shortest and the longest duration that is meant, in seconds; None where there is no limit."""

    low: float | None
    high: float | None
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Stay:
    """For how long, and how often, something is in a state: ``for >= 200ms every 10s..13s``."""

    column: int
    lasts: Bound | None
    every: Bound | None

    def __str__(self) -> str:
        parts = (f"for {self.lasts}" if self.lasts else "", f"every {self.every}" if self.every else "")
        return " ".join(filter(None, parts))


@dataclass(frozen=True)
class Condition:
    """A whole expectation."""

    observed: Expression
    """The side that has the subject: the first term that names something measured."""
    comparisons: tuple[Comparison, ...]
    """One, or two for a range; all of them must hold."""
    stay: Stay | None = None
    confidence: float | None = None
    """Such as 0.95; None if the means over the repetitions count."""

    def __str__(self) -> str:
        more = (str(self.stay) if self.stay else "", _confidence(self.confidence))
        return " ".join(filter(None, (self._compared(), *more)))

    def _compared(self) -> str:
        if len(self.comparisons) == 1:
            return f"{self.observed} {self.comparisons[0]}"
        low, high = self.comparisons
        if (low.comparator, high.comparator) == (">=", "<="):
            return f"{self.observed} in {low.limit}..{high.limit}"
        return f"{low.limit} {low.comparator.replace('>', '<')} {self.observed} {high}"


def _confidence(confidence: float | None) -> str:
    return "" if confidence is None else f"with {confidence * 100:g} % confidence"


def measures(part: Expression) -> Iterator[Measure]:
    """Yield the terms of an expression that name something, in their order."""
    if isinstance(part, Measure):
        yield part
    elif isinstance(part, Negative):
        yield from measures(part.of)
    elif isinstance(part, Operation):
        yield from measures(part.left)
        yield from measures(part.right)
