# SPDX-License-Identifier: Apache-2.0
"""Quantities with units: which texts are accepted or refused, and that formatted quantities can be parsed again."""

import re
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab import units
from lab.units import QueueLimit


@pytest.mark.parametrize(
    ("text", "rate_bps"),
    [
        ("100bit", 100),
        ("500kbit", 500_000),
        ("20mbit", 20_000_000),
        ("20Mbit/s", 20_000_000),
        ("20 Mbit/s", 20_000_000),
        ("1.5gbit", 1_500_000_000),
        ("1TBIT", 10**12),
        ("0.000001mbit", 1),
    ],
)
def test_rates(text: str, rate_bps: int) -> None:
    assert units.parse_rate(text) == rate_bps


@pytest.mark.parametrize(
    ("text", "duration_ns"),
    [
        ("0ms", 0),
        ("7ns", 7),
        ("100us", 100_000),
        ("100µs", 100_000),
        ("20ms", 20_000_000),
        ("1.5s", 1_500_000_000),
        ("0.1s", 100_000_000),
        ("2min", 120_000_000_000),
        ("1h", 3_600_000_000_000),
        ("20 MS", 20_000_000),
    ],
)
def test_durations(text: str, duration_ns: int) -> None:
    assert units.parse_duration(text) == duration_ns


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [("1500B", 1500), ("64kB", 64_000), ("64KiB", 65_536), ("16MiB", 2**24), ("1.5MB", 1_500_000), ("1 GiB", 2**30)],
)
def test_sizes(text: str, size_bytes: int) -> None:
    assert units.parse_size(text) == size_bytes


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("1bdp", QueueLimit("bdp", Fraction(1))),
        ("0.5 BDP", QueueLimit("bdp", Fraction(1, 2))),
        ("100p", QueueLimit("packets", Fraction(100))),
        ("50ms", QueueLimit("time", Fraction(50_000_000))),
        ("64kB", QueueLimit("bytes", Fraction(64_000))),
    ],
)
def test_queue_limits(text: str, limit: QueueLimit) -> None:
    assert units.parse_queue_limit(text) == limit


@pytest.mark.parametrize(
    ("value", "probability"),
    [("0%", 0.0), ("0.1%", 0.001), ("100%", 1.0), ("0.001", 0.001), (0.001, 0.001), (0, 0.0), ("33.3 %", 0.333)],
)
def test_probabilities(value: object, probability: float) -> None:
    assert units.parse_probability(value) == probability


@pytest.mark.parametrize(
    ("parse", "value", "parts"),
    [
        (units.parse_rate, "20 parsecs", ["found '20 parsecs'", "'20mbit'"]),
        (units.parse_rate, "20", ["found '20'", "a rate such as"]),
        (units.parse_rate, 20, ["found 20;", "a number needs its unit"]),
        (units.parse_rate, True, ["found true"]),
        (units.parse_rate, None, ["found nothing"]),
        (units.parse_rate, "20mbps", ["bytes per second to tc"]),
        (units.parse_rate, "20mbit/min", ["found '20mbit/min'"]),
        (units.parse_rate, "-1mbit", ["found '-1mbit'"]),
        (units.parse_rate, "1e3bit", ["found '1e3bit'"]),
        (units.parse_rate, "١bit", ["found '١bit'"]),
        (units.parse_rate, "0.5bit", ["a whole number of bit/s"]),
        (units.parse_rate, "999999999999tbit", ["at most 9223372036854775807 bit/s"]),
        (units.parse_duration, "1.5ns", ["a whole number of nanoseconds"]),
        (units.parse_duration, "20", ["'20ms'"]),
        (units.parse_duration, ["20ms"], ["found a list"]),
        (units.parse_size, "64kb", ["write B for bytes"]),
        (units.parse_size, "1500b", ["write B for bytes"]),
        (units.parse_size, "1.0001B", ["a whole number of bytes"]),
        (units.parse_queue_limit, "0bdp", ["more than 0"]),
        (units.parse_queue_limit, "1.5p", ["a whole number of packets"]),
        (units.parse_queue_limit, "100", ["'100p' (packets)"]),
        (units.parse_queue_limit, "64kb", ["write B for bytes"]),
        (units.parse_probability, "100.1%", ["at most 100%"]),
        (units.parse_probability, 1.5, ["found 1.5"]),
        (units.parse_probability, -0.1, ["found -0.1"]),
        (units.parse_probability, float("nan"), ["found nan"]),
        (units.parse_probability, True, ["found true"]),
        (units.parse_probability, "0.1 percent", ["found '0.1 percent'"]),
    ],
)
def test_what_is_refused_says_what_was_found_and_what_is_allowed(
    parse: Callable[[object], object], value: object, parts: list[str]
) -> None:
    with pytest.raises(ValueError, match=r"^found .*; expected ") as caught:
        parse(value)
    for part in parts:
        assert part in str(caught.value)


def test_what_is_quoted_is_short_and_on_one_line() -> None:
    assert units.show("a\nb") == r"'a\nb'"
    assert len(units.show("x" * 10**6)) == 60
    assert len(units.show(10**200)) == 60


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (units.format_rate(20_000_000), "20 Mbit/s"),
        (units.format_rate(1_500_000_000), "1.5 Gbit/s"),
        (units.format_rate(0), "0 bit/s"),
        (units.format_rate(18_384_234.25, 3), "18.4 Mbit/s"),
        (units.format_rate(999_999, 3), "1 Mbit/s"),
        (units.format_duration(20_000_000), "20 ms"),
        (units.format_duration(1_500), "1.5 µs"),
        (units.format_duration(30 * 10**9), "30 s"),
        (units.format_size(100_000), "100 kB"),
        (units.format_size(2**24), "16 MiB"),
        (units.format_size(1514), "1.514 kB"),
        (units.format_percent(0.001), "0.1%"),
        (units.format_percent(0), "0%"),
        (units.format_percent(1 / 3, 3), "33.3%"),
        (str(QueueLimit("bdp", Fraction(1, 2))), "0.5 BDP"),
        (str(QueueLimit("packets", Fraction(100))), "100 packets"),
        (units.tc_rate(20_000_000), "20000000bit"),
        (units.tc_duration(20), "20ns"),
        (units.tc_size(1514), "1514b"),
    ],
)
def test_formats(shown: str, text: str) -> None:
    assert shown == text


_INT63 = st.integers(min_value=0, max_value=2**63 - 1)


# The parsers accept at most 18 digits before the decimal point.
@given(st.integers(min_value=0, max_value=10**18))
def test_a_formatted_rate_reads_back(rate_bps: int) -> None:
    assert units.parse_rate(units.format_rate(rate_bps)) == rate_bps


@given(_INT63)
def test_a_formatted_duration_reads_back(duration_ns: int) -> None:
    assert units.parse_duration(units.format_duration(duration_ns)) == duration_ns


@given(st.integers(min_value=0, max_value=10**18))
def test_a_formatted_size_reads_back(size_bytes: int) -> None:
    assert units.parse_size(units.format_size(size_bytes)) == size_bytes


@given(st.integers(min_value=0, max_value=10**9))
def test_a_formatted_percentage_reads_back(billionths: int) -> None:
    probability = billionths / 10**9
    assert units.parse_probability(units.format_percent(probability)) == probability


_PARSERS = [
    (units.parse_rate, units.RATE_PATTERN),
    (units.parse_duration, units.DURATION_PATTERN),
    (units.parse_size, units.SIZE_PATTERN),
    (units.parse_queue_limit, units.QUEUE_LIMIT_PATTERN),
]


@given(
    st.from_regex(
        r"\A[0-9]{1,3}(\.[0-9]{1,3})? ?([kKmMgGtT]?[bB][iI]?[tT]?(/s)?|[nuµm]?s|min|h|p|[bB][dD][pP]|[kMG]?i?B|%)\Z"
    ),
    st.sampled_from(_PARSERS),
)
def test_an_editor_flags_whatever_is_refused_for_its_spelling(
    text: str, parser: tuple[Callable[[object], object], str]
) -> None:
    parse, pattern = parser
    refusal = _refusal(parse, text)
    by_value = refusal is not None and re.search("a whole number|more than 0|at most", refusal)
    assert bool(re.search(pattern, text)) == (refusal is None or bool(by_value))


def _refusal(parse: Callable[[object], object], value: object) -> str | None:
    try:
        parse(value)
    except ValueError as error:
        return str(error)
    return None


@given(st.text(max_size=30) | st.integers() | st.floats() | st.none() | st.booleans() | st.lists(st.integers()))
def test_nothing_but_value_errors(value: object) -> None:
    for parse in (*(parse for parse, _ in _PARSERS), units.parse_probability):
        refusal = _refusal(parse, value)
        assert refusal is None or refusal.startswith("found ")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0.1%", "0.1%"),
        (3, "3"),
        (True, "true"),
        (None, "none"),
        ({"a": "x", "b": [1, 2]}, "x 1 2"),
        ({}, "{}"),
        ([], "[]"),
        ("../x/linux-image-6.12.1+deb12-amd64_6.12.1-1_amd64.deb", "6.12.1+deb12-amd64"),
    ],
)
def test_values_as_text(value: object, text: str) -> None:
    assert units.value_text(value) == text


@pytest.mark.parametrize(
    ("rates", "unit"),
    [
        ([60_600.0, 64_000.0], ("kbit/s", 1000)),
        ([60_600.0, 1_000_000.0], ("Mbit/s", 10**6)),
        ([999_999.0], ("kbit/s", 1000)),
        ([2.5e9, 8.0], ("Gbit/s", 10**9)),
        ([8.0], ("bit/s", 1)),
        ([0.5], ("bit/s", 1)),
        ([0.0, 0.0], ("Mbit/s", 10**6)),
        ([], ("Mbit/s", 10**6)),
    ],
)
def test_rates_are_shown_in_the_unit_of_the_largest(rates: list[float], unit: tuple[str, int]) -> None:
    assert units.rate_unit(rates) == unit
