# SPDX-License-Identifier: Apache-2.0
"""Parse an expectation.

The grammar, in the notation of ISO/IEC 14977; spaces may stand between any two parts::

    expectation = condition, [ "with", number, "%", "confidence" ] ;
    condition   = sum, comparator, sum, [ comparator, sum ]
                | sum, "in", sum, "..", sum
                | sum, ( "==" | "!=" ), name, [ "for", bound ], [ "every", bound ] ;
    bound       = [ comparator ], quantity | quantity, "..", quantity ;
    comparator  = "<" | "<=" | ">" | ">=" | "==" | "!=" ;
    sum         = product, { ( "+" | "-" ), product } ;
    product     = factor, { ( "*" | "/" ), factor } ;
    factor      = "-", factor | quantity | measure | "(", sum, ")" ;
    measure     = name, [ "(", argument, { ",", argument }, ")" ], [ time ] ;
    argument    = name, [ time ] | selector ;
    selector    = name, "=", ( value | value, "..", value | "{", value, { ",", value }, "}" ) ;
    time        = "at", quantity | "over", quantity, "..", quantity ;
    quantity    = number, [ unit ] ;

Each rule is a method of :class:`_Parser`.  A parser written by hand can say at each place what it expects there, and it
reads numbers with their units and the values of selectors (``kernel=debian-13``, ``limit=0.5bdp``) where the grammar
has them, which a separate lexer could not tell from arithmetic.
"""

from __future__ import annotations

import re
from typing import NoReturn, cast

from lab.expect.errors import ExpectError
from lab.expect.quantities import DURATION, parsed
from lab.expect.tree import (
    Bound,
    Comparator,
    Comparison,
    Condition,
    Expression,
    Measure,
    Negative,
    Number,
    Operation,
    Selector,
    Stay,
    Time,
    measures,
)
from lab.units import show

__all__ = ["PROPERTIES", "parse"]

PROPERTIES = frozenset(
    {
        "link.rate",
        "link.delay",
        "link.loss",
        "link.queue",
        "path.rtt",
        "path.delay",
        "path.loss",
        "bdp",
        "mss",
        "packet",
    }
)
"""Names of what is declared and not measured.  The subject of a condition is the first term that is none of them."""

MAX_LENGTH = 1000
_MAX_DEPTH = 50

_SPACE = re.compile(r"\s*")
_COMPARATOR = re.compile(r"<=|>=|==|!=|<|>")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")
_NUMBER = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,18})?")
_UNIT = re.compile(r"(?:%|[A-Za-zµ]+(?:/s)?)")
_VALUE = re.compile(r'"([^"]*)"|((?:(?!\.\.)[^\s(){},="])+)')
_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
_UNITS = "%, ns us ms s min h, bit kbit mbit gbit, B kB MB GB KiB MiB GiB, p (packets)"


def parse(text: str) -> Condition:
    """Return the tree of an expectation.

    Raises:
        ExpectError: The text does not follow the grammar.
    """
    if len(text) > MAX_LENGTH:
        raise ExpectError(f"found a condition of {len(text)} characters; expected at most {MAX_LENGTH}", 1)
    return _Parser(text).expectation()


class _Parser:
    """A parser by recursive descent; :attr:`at` is the place of the next character."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0

    # --- rules ----------------------------------------------------------------------------------------

    def expectation(self) -> Condition:
        condition = self.condition()
        confidence = self.confidence() if self.word("with") else None
        if self.rest():
            if condition.stay is None and confidence is None:
                self.fail("the end, 'with 95 % confidence', or an operator")
            self.fail("the end of the condition")
        return Condition(condition.observed, condition.comparisons, condition.stay, confidence)

    def condition(self) -> Condition:
        first = self.sum()
        if self.word("in"):
            low = self.sum()
            self.need("..", "'..' and the upper end of the range")
            return Condition(first, (Comparison(">=", low), Comparison("<=", self.sum())))
        comparator = self.comparator("a comparison: <, <=, >, >=, ==, != or 'in'")
        second = self.sum()
        before = self.at
        following = self.match(_COMPARATOR)
        if following is None:
            return self.one_comparison(first, comparator, second)
        if comparator[0] not in "<>" or following[0] != comparator[0]:
            self.at = before
            same = " or ".join(("<", "<=") if comparator[0] == "<" else (">", ">="))
            self.fail(f"{same}, as before" if comparator[0] in "<>" else "the end")
        third = self.sum()
        ends = [(first, comparator), (third, following)]
        (low, from_low), (high, to_high) = ends if comparator[0] == "<" else ends[::-1]
        above, below = cast(Comparator, ">" + from_low[1:]), cast(Comparator, "<" + to_high[1:])
        return Condition(second, (Comparison(above, low), Comparison(below, high)))

    def one_comparison(self, first: Expression, comparator: str, second: Expression) -> Condition:
        """Return a condition with one comparison, with the side of the subject first."""
        stay = self.stay()
        terms = list(measures(first))
        others = list(measures(second))
        is_declared = all(term.name in PROPERTIES for term in terms)
        if is_declared and any(term.name not in PROPERTIES for term in others):
            first, comparator, second = second, _FLIPPED[comparator], first
        return Condition(first, (Comparison(cast(Comparator, comparator), second),), stay)

    def stay(self) -> Stay | None:
        self.space()
        column = self.column
        lasts = self.bound() if self.word("for") else None
        every = self.bound() if self.word("every") else None
        return Stay(column, lasts, every) if lasts or every else None

    def bound(self) -> Bound:
        self.space()
        start = self.at
        comparator = self.match(_COMPARATOR)
        if comparator == "!=":
            self.fail("a duration, '>= 200ms' or '10s..13s'", start)
        first = self.duration()
        if comparator is None and self.match(re.compile(r"\.\.")):
            second = self.duration()
            if second < first:
                self.fail("a range whose first end is the lower one", start)
            low, high = first, second
        elif comparator is None or comparator == "==":
            low = high = first
        else:
            low, high = (first, None) if comparator[0] == ">" else (None, first)  # type: ignore[assignment]
        return Bound(low, high, self.text[start : self.at].strip())

    def confidence(self) -> float:
        self.space()
        start = self.at
        number = self.number("a percentage, such as 95 %")
        if not number.text.endswith("%") or not 0.5 <= number.value < 1:
            self.fail("a percentage from 50 % to less than 100 %, such as 95 %", start)
        if not self.word("confidence"):
            self.fail("the word 'confidence'")
        return number.value

    def sum(self) -> Expression:
        left = self.product()
        while (operator := self.match(re.compile(r"[+-]"))) is not None:
            left = Operation(left.column, operator, left, self.product())  # type: ignore[arg-type]
        return left

    def product(self) -> Expression:
        left = self.factor()
        while (operator := self.match(re.compile(r"[*/]"))) is not None:
            left = Operation(left.column, operator, left, self.factor())  # type: ignore[arg-type]
        return left

    def factor(self) -> Expression:
        self.space()
        column = self.column
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            self.fail(f"at most {_MAX_DEPTH} signs and parentheses within each other")
        try:
            if self.match(re.compile("-")):
                return Negative(column, self.factor())
            if self.match(re.compile(r"\(")):
                inner = self.sum()
                self.need(")", "')'")
                return inner
            if self.text[self.at : self.at + 1].isdigit():
                return self.number("a number")
            return self.measure()
        finally:
            self.depth -= 1

    def measure(self) -> Measure:
        column, name = self.name("a metric, such as goodput, a number, or '('")
        statistic, inner_time, selectors = None, None, list[Selector]()
        if self.match(re.compile(r"\(")):
            while True:
                before, place = self.at, len(selectors)
                argument_column, argument = self.name("a metric, or a selector such as cc=bbr")
                if self.match(re.compile("=(?!=)")):
                    selectors.append(self.selector(argument_column, argument))
                elif statistic is None and place == 0:
                    statistic, name, inner_time = name, argument, self.time()
                else:
                    self.at = before
                    self.fail("a selector such as cc=bbr")
                if not self.match(re.compile(",")):
                    break
            self.need(")", "',' or ')'")
        time = self.time()
        if time is not None and inner_time is not None:
            self.fail("only one time for a metric", time.column - 1)
        return Measure(column, statistic, name, tuple(selectors), time or inner_time)

    def selector(self, column: int, name: str) -> Selector:
        if self.match(re.compile(r"\{")):
            values = [self.value()]
            while self.match(re.compile(",")):
                values.append(self.value())
            self.need("}", "',' or '}'")
            return Selector(column, name, tuple(values))
        first = self.value()
        if self.match(re.compile(r"\.\.")):
            return Selector(column, name, (first, self.value()), is_range=True)
        return Selector(column, name, (first,))

    def value(self) -> str:
        self.space()
        found = _VALUE.match(self.text, self.at)
        if found is None:
            self.fail('a value, such as bbr or 1%; quote a value with spaces: "codel 1bdp"')
        self.at = found.end()
        return found[1] if found[1] is not None else found[2]

    def time(self) -> Time | None:
        self.space()
        column = self.column
        if self.word("at"):
            return Time(column, self.time_number(), None)
        if not self.word("over"):
            return None
        start = self.time_number()
        self.need("..", "'..' and the end of the period")
        end = self.time_number()
        if end.value <= start.value:
            raise ExpectError(f"found a period that ends at {end}; expected a later end than {start}", end.column)
        return Time(column, start, end)

    def time_number(self) -> Number:
        self.space()
        start = self.at
        found = self.number("a time, such as 1s")
        if found.dimension != DURATION:
            self.fail("a time, such as 1s", start)
        return found

    def duration(self) -> float:
        return self.time_number().value

    def number(self, expected: str) -> Number:
        self.space()
        column = self.column
        found = _NUMBER.match(self.text, self.at)
        if found is None:
            self.fail(expected)
        self.at = found.end()
        unit = self.unit()
        text = found[0] + unit
        value = parsed(text)
        assert value is not None
        return Number(column, text, *value)

    def unit(self) -> str:
        """Return the unit that follows a number, also behind a space; empty if there is none."""
        glued = _UNIT.match(self.text, self.at)
        if glued is not None:
            if glued[0].lower() == "bdp":
                message = f"found the unit {show(glued[0])}; expected a multiple of the path's: write 0.5 * bdp"
                raise ExpectError(message, self.column)
            if parsed(f"1{glued[0]}") is None:
                message = f"found the unit {show(glued[0])}; expected one of {_UNITS}"
                choices = _UNITS.replace(",", " ").replace("(packets)", "").split()
                raise ExpectError(message, self.column, word=glued[0], choices=choices)
            self.at = glued.end()
            return glued[0]
        spaced = re.compile(rf" +({_UNIT.pattern})(?![A-Za-z0-9_(.])").match(self.text, self.at)
        if spaced is not None and parsed(f"1{spaced[1]}") is not None:
            self.at = spaced.end()
            return spaced[1]
        return ""

    # --- characters -----------------------------------------------------------------------------------

    @property
    def column(self) -> int:
        return self.at + 1

    def space(self) -> None:
        found = _SPACE.match(self.text, self.at)
        assert found is not None
        self.at = found.end()

    def rest(self) -> str:
        self.space()
        return self.text[self.at :]

    def match(self, pattern: re.Pattern[str]) -> str | None:
        """Pass over spaces and what *pattern* matches, and return the latter; None if it is not there."""
        self.space()
        found = pattern.match(self.text, self.at)
        if found is None:
            return None
        self.at = found.end()
        return found[0]

    def word(self, word: str) -> bool:
        return self.match(re.compile(rf"{word}\b")) is not None

    def name(self, expected: str) -> tuple[int, str]:
        self.space()
        column = self.column
        found = self.match(_NAME)
        if found is None:
            self.fail(expected)
        return column, found

    def comparator(self, expected: str) -> str:
        found = self.match(_COMPARATOR)
        if found is None:
            self.fail("'=='" if self.rest().startswith("=") else expected)
        return found

    def need(self, what: str, expected: str) -> None:
        if self.match(re.compile(re.escape(what))) is None:
            self.fail(expected)

    def fail(self, expected: str, at: int | None = None) -> NoReturn:
        if at is not None:
            self.at = at
        rest = self.rest()
        word = re.match(r"[A-Za-z0-9_.%]+|[<>=!]=|\S", rest)
        found = show(word[0], 30) if word else "the end"
        raise ExpectError(f"found {found}; expected {expected}", self.column)
