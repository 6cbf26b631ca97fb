# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 (a table: one line for each condition)
"""The grammar of expectations: what is understood, and what the messages say of the rest."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.expect.errors import ExpectError
from lab.expect.parser import MAX_LENGTH, parse
from lab.expect.tree import Condition, Measure, Number, Operation

# fmt: off
WRITTEN = {
    "goodput(cc=bbr, loss=1%) >= 0.8 * link.rate": "goodput(cc=bbr, loss=1%) >= 0.8 * link.rate",
    "jain>=0.95 with 95% confidence": "jain >= 0.95 with 95 % confidence",
    "p95(rtt)<=60 ms": "p95(rtt) <= 60ms",
    "median(fct, flow=web) < 0.7 * median(fct, flow=web, queue=bfifo)": "median(fct, flow=web) < 0.7 * median(fct, flow=web, queue=bfifo)",
    "mode(cc=bbr) == ProbeRTT for >= 200ms every 10s..13s": "mode(cc=bbr) == ProbeRTT for >= 200ms every 10s..13s",
    "0.4 <= goodput / link.rate <= 0.6": "goodput / link.rate in 0.4..0.6",
    "0.6 > jain > 0.4": "0.4 < jain < 0.6",
    "jain in 0.4..0.6": "jain in 0.4..0.6",
    # The side with what is measured comes first.
    "0.8 * link.rate <= goodput": "goodput >= 0.8 * link.rate",
    "3 < count(drop)": "count(drop) > 3",
    # Operators bind as in arithmetic, and those that are equal from left to right.
    "1 - (2 - jain) * -3 / (4 / 5) < 6": "1 - (2 - jain) * -3 / (4 / 5) < 6",
    "(((jain))) > 0": "jain > 0",
    # A time may stand inside or outside of the parentheses.
    "max(cwnd over 2s..5s, cc=bbr) == 4": "max(cwnd, cc=bbr) over 2s..5s == 4",
    "(cwnd at 1.5s) - 2 > 0": "cwnd at 1.5s - 2 > 0",
    # Values of selectors may look like arithmetic.
    'x(kernel=debian-13, limit={0.5bdp, 4bdp}, rate=1mbit..2mbit)>0': "x(kernel=debian-13, limit={0.5bdp, 4bdp}, rate=1mbit..2mbit) > 0",
    'x(queue="codel 1bdp") > 0': 'x(queue="codel 1bdp") > 0',
    # A unit may stand behind a space, and a word behind a number is not always one.
    "jain > 10 mbit": "jain > 10mbit",
    "5 * min(rtt) > 1s": "5 * min(rtt) > 1s",
}

WRONG: dict[str, tuple[int, str]] = {
    "": (1, "found the end; expected a metric, such as goodput, a number, or '('"),
    "jain": (5, "found the end; expected a comparison: <, <=, >, >=, ==, != or 'in'"),
    "jain = 1": (6, "found '='; expected '=='"),
    "jain 5": (6, "found '5'; expected a comparison"),
    "jain >= 5 foo": (11, "found 'foo'; expected the end, 'with 95 % confidence', or an operator"),
    "(jain > 5": (7, "found '>'; expected ')'"),
    "jain > 60msec": (10, "found the unit 'msec'; expected one of %, ns us ms s"),
    "jain > 0.5bdp": (11, "write 0.5 * bdp"),
    "goodput(cc=) > 1": (12, "found ')'; expected a value, such as bbr or 1%"),
    "goodput(cc=bbr loss=1%) > 1": (16, "found 'loss'; expected ',' or ')'"),
    "p95(rtt, srtt) > 1": (10, "found 'srtt'; expected a selector such as cc=bbr"),
    "jain > 0.5 with 95 confidence": (17, "expected a percentage from 50 % to less than 100 %, such as 95 %"),
    "jain > 0.5 with 95 %": (21, "found the end; expected the word 'confidence'"),
    "0.1 <= jain >= 0.2": (13, "found '>='; expected < or <=, as before"),
    "jain == 1 == 1": (11, "found '=='; expected the end"),
    "jain in 0.4": (12, "found the end; expected '..' and the upper end of the range"),
    "cwnd at 5 > 3": (9, "found '5'; expected a time, such as 1s"),
    "cwnd over 5s..2s > 3": (15, "found a period that ends at 2s; expected a later end than 5s"),
    "cwnd(cc=bbr) at 1s at 2s > 3": (20, "found 'at'; expected a comparison"),
    "mode == ProbeRTT every 13s..10s": (24, "expected a range whose first end is the lower one"),
    "jain > __import__('os')": (19, "found \"'\"; expected a metric, or a selector"),
}
# fmt: on


@pytest.mark.parametrize("written", WRITTEN)
def test_a_condition_is_understood(written: str) -> None:
    assert str(parse(written)) == WRITTEN[written]
    assert parse(WRITTEN[written]) == parse(str(parse(WRITTEN[written])))


@pytest.mark.parametrize("written", WRONG)
def test_a_message_says_where_something_is_wrong_and_what_would_be_right(written: str) -> None:
    column, message = WRONG[written]
    with pytest.raises(ExpectError) as caught:
        parse(written)
    assert message in str(caught.value)
    assert caught.value.column == column


def test_hostile_conditions_are_refused_at_once() -> None:
    for text in ("(" * 900, "-" * 900 + "jain > 1", "jain > " + "1 + " * (MAX_LENGTH // 4) + "1"):
        with pytest.raises(ExpectError):
            parse(text)


_numbers = st.builds(
    lambda value, unit: f"{value}{unit}",
    st.integers(0, 10**6),
    st.sampled_from(["", "%", "ms", "mbit", "kB", "p"]),
)
_measures = st.builds(
    lambda statistic, name, selectors: (
        f"{statistic}({', '.join([name, *selectors])})" if statistic else f"{name}({', '.join(selectors)})"
    ),
    st.sampled_from(["mean", "p95", "count"]),
    st.sampled_from(["goodput", "link.rate", "rtt"]),
    st.lists(st.sampled_from(["cc=bbr", "loss={0%, 1%}", "rate=1mbit..2mbit"]), unique=True),
)
_expressions = st.recursive(
    _numbers | _measures,
    lambda inner: st.builds(
        lambda left, operator, right: f"({left}) {operator} ({right})", inner, st.sampled_from("+-*/"), inner
    ),
    max_leaves=8,
)


@given(left=_expressions, right=_expressions)
def test_what_is_written_out_is_understood_in_the_same_way(left: str, right: str) -> None:
    first = parse(f"{left} <= {right}")
    again = parse(str(first))
    assert str(again) == str(first)
    assert _shape(again) == _shape(first)


def _shape(condition: Condition) -> object:
    """The tree without the places in the text."""

    def shape(part: object) -> object:
        if isinstance(part, Number):
            return part.value, part.dimension
        if isinstance(part, Measure):
            return part.statistic, part.name, [str(one) for one in part.selectors]
        if isinstance(part, Operation):
            return part.operator, shape(part.left), shape(part.right)
        raise AssertionError(part)

    return shape(condition.observed), [(one.comparator, shape(one.limit)) for one in condition.comparisons]
