# SPDX-License-Identifier: Apache-2.0
"""Parse and format quantities: rates, durations, sizes, queue limits and probabilities.

===========  =====================================  =============  =================================
quantity     written                                value          notes
===========  =====================================  =============  =================================
rate         ``20mbit``, ``1.5 Gbit/s``             int, bit/s     decimal; the case does not matter
duration     ``100us``, ``20ms``, ``1.5s``          int, ns        ns us ms s min h
size         ``1500B``, ``64kB``, ``16MiB``         int, bytes     kB is 1000 bytes, KiB is 1024
queue limit  ``1bdp``, ``50ms``, ``100p``, ``64kB`` QueueLimit     see :class:`QueueLimit`
probability  ``0.1%``, ``0.001``                    float, 0 to 1
===========  =====================================  =============  =================================

Notations that tools interpret differently are refused: a number without a unit, ``bps`` (bytes per second to ``tc``,
bits per second to other tools) and ``kb`` (1024 bytes to ``tc``, kilobits to other tools).  Arithmetic is exact: a
quantity that is not a whole number of bit/s, nanoseconds or bytes is refused instead of rounded.

All ``parse_*`` functions raise :class:`ValueError` with a text that says what was found and what is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from operator import itemgetter
from typing import Literal

__all__ = [
    "DURATION_PATTERN",
    "PERCENT_PATTERN",
    "QUEUE_LIMIT_PATTERN",
    "RATE_PATTERN",
    "SIZE_PATTERN",
    "QueueLimit",
    "format_duration",
    "format_percent",
    "format_rate",
    "format_size",
    "parse_duration",
    "parse_probability",
    "parse_queue_limit",
    "parse_rate",
    "parse_size",
    "quantity",
    "rate_unit",
    "show",
    "tc_duration",
    "tc_rate",
    "tc_size",
    "value_text",
    "written_queue_limit",
]

_RATE_UNITS = {"bit": 1, "kbit": 10**3, "mbit": 10**6, "gbit": 10**9, "tbit": 10**12}
_DURATION_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "min": 60 * 10**9, "h": 3600 * 10**9}
_SIZE_UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}

_KEPT_TEXTS = 4096
"""The number of formatted values of each kind that are kept: the same ones appear in every cell of a plan."""

_QUANTITIES: dict[str, tuple[Fraction, str]] = {
    "": (Fraction(1), ""),
    "%": (Fraction(1, 100), "fraction"),
    "p": (Fraction(1), "packets"),
    "bdp": (Fraction(1), "bdp"),
    **{name: (Fraction(scale), "bit/s") for name, scale in _RATE_UNITS.items()},
    **{name: (Fraction(scale, 10**9), "s") for name, scale in _DURATION_UNITS.items()},
}
"""Unit in an experiment file → by what its number is multiplied, and the unit that it then has."""

_SHOWN_RATES = {"bit/s": 1, "kbit/s": 10**3, "Mbit/s": 10**6, "Gbit/s": 10**9, "Tbit/s": 10**12}
_SHOWN_DURATIONS = {"ns": 1, "µs": 10**3, "ms": 10**6, "s": 10**9}
_SHOWN_SIZES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9}
_BINARY_SIZES = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}

_RATE_EXPECTED = "a rate such as '20mbit' or '1.5gbit' (units: bit, kbit, mbit, gbit, tbit)"
_DURATION_EXPECTED = "a duration such as '20ms' or '1.5s' (units: ns, us, ms, s, min, h)"
_SIZE_EXPECTED = "a size such as '1500B', '64kB' or '16MiB' (units: B, kB, MB, GB of 1000; KiB, MiB, GiB of 1024)"
_LIMIT_EXPECTED = "a queue limit such as '1bdp', '64kB', '100p' (packets) or '50ms' (queueing delay at the link's rate)"
_PROBABILITY_EXPECTED = "a probability such as '0.1%' or 0.001, at most 100%"

_MAX_RESULT = 2**63 - 1
"""The largest integer that a parser returns: the kernel, Parquet and numpy count in signed 64-bit integers."""

# At most 18 digits on each side of the point are enough for every quantity, and no input can make the exact arithmetic
# slow.
_NUMBER = r"[0-9]{1,18}(?:\.[0-9]{1,18})?"
_QUANTITY = re.compile(rf"({_NUMBER}) ?([A-Za-zµ%/]*)")


def _any_case(word: str) -> str:
    """Return a regular expression that matches ``word`` in upper, lower or mixed case.

    The expression has no inline flags, so that the ECMAScript engines of editors accept it too.
    """
    return "".join(f"[{c.lower()}{c.upper()}]" if c.isascii() and c.isalpha() else c for c in word)


def _pattern(*units: str) -> str:
    return rf"^{_NUMBER} ?(?:{'|'.join(units)})$"


RATE_PATTERN = _pattern("[kKmMgGtT]?[bB][iI][tT](?:/[sS])?")
DURATION_PATTERN = _pattern(*map(_any_case, _DURATION_UNITS))
SIZE_PATTERN = _pattern(*_SIZE_UNITS)
PERCENT_PATTERN = _pattern("%")
QUEUE_LIMIT_PATTERN = _pattern(_any_case("bdp"), "p", *_SIZE_UNITS, *map(_any_case, _DURATION_UNITS))


@dataclass(frozen=True)
class QueueLimit:
    """The limit of a queue, in the unit in which the experiment file gives it.

    The ``amount`` is in multiples of the bandwidth-delay product (``bdp``), in bytes (``bytes``), in full-size packets
    (``packets``), or in nanoseconds that a full queue takes to drain at the link's rate (``time``).
    """

    unit: Literal["bdp", "bytes", "packets", "time"]
    amount: Fraction

    def __str__(self) -> str:
        if self.unit == "bytes":
            return format_size(int(self.amount))
        if self.unit == "time":
            return format_duration(int(self.amount))
        return f"{_plain(self.amount)} {'BDP' if self.unit == 'bdp' else 'packets'}"


def show(value: object, limit: int = 60) -> str:
    """Return a short, one-line text that stands for ``value`` in an error message."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list | tuple):
        return "a list" if value else "an empty list"
    # A long string is cut before repr(), so that no huge text is built only to be thrown away.
    text = repr(value[: limit + 1] if isinstance(value, str) else value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def parse_rate(text: object) -> int:
    """Parse a rate such as ``20mbit``, ``1.5gbit`` or ``20 Mbit/s`` and return it in bit/s."""
    number, unit = _split(text, _RATE_EXPECTED)
    lowered = unit.lower()
    if lowered.endswith("bps"):
        hint = "'bps' means bytes per second to tc and bits per second to other tools"
        raise ValueError(f"{_found(text, _RATE_EXPECTED)}; {hint}")
    return _whole(text, number, _RATE_UNITS.get(lowered.removesuffix("/s")), "bit/s", _RATE_EXPECTED)


def parse_duration(text: object) -> int:
    """Parse a duration such as ``100us``, ``20ms``, ``1.5s`` or ``2min`` and return it in nanoseconds."""
    number, unit = _split(text, _DURATION_EXPECTED)
    return _whole(text, number, _DURATION_UNITS.get(unit.lower()), "nanoseconds", _DURATION_EXPECTED)


def parse_size(text: object) -> int:
    """Parse a size such as ``1500B``, ``64kB`` (1000 bytes each) or ``16MiB`` (1024² bytes each); return bytes."""
    number, unit = _split(text, _SIZE_EXPECTED)
    _refuse_ambiguous_size(text, unit, _SIZE_EXPECTED)
    return _whole(text, number, _SIZE_UNITS.get(unit), "bytes", _SIZE_EXPECTED)


def parse_queue_limit(text: object) -> QueueLimit:
    """Parse a queue limit such as ``1bdp``, ``64kB``, ``100p`` or ``50ms``; a limit of 0 is refused."""
    number, unit = _split(text, _LIMIT_EXPECTED)
    if unit.lower() == "bdp":
        limit = QueueLimit("bdp", number)
    elif unit == "p":
        limit = QueueLimit("packets", Fraction(_whole(text, number, 1, "packets", _LIMIT_EXPECTED)))
    elif unit.lower() in _DURATION_UNITS:
        limit = QueueLimit("time", Fraction(parse_duration(text)))
    else:
        _refuse_ambiguous_size(text, unit, _LIMIT_EXPECTED)
        limit = QueueLimit("bytes", Fraction(_whole(text, number, _SIZE_UNITS.get(unit), "bytes", _LIMIT_EXPECTED)))
    if limit.amount == 0:
        raise ValueError(_found(text, f"{_LIMIT_EXPECTED}, more than 0"))
    return limit


def written_queue_limit(limit: QueueLimit) -> str:
    """Return *limit* as a file has it, so that :func:`parse_queue_limit` reads the same limit again."""
    if limit.unit in ("bytes", "time"):
        return str(limit)
    return f"{_plain(limit.amount)}{'bdp' if limit.unit == 'bdp' else 'p'}"


def parse_probability(value: object) -> float:
    """Parse a probability, a number or a text such as ``0.1%`` or ``0.001``, and return a fraction in [0, 1]."""
    if isinstance(value, bool):
        raise ValueError(_found(value, _PROBABILITY_EXPECTED))
    if isinstance(value, int | float):
        # This condition also refuses NaN, for which both comparisons are false.
        if not 0 <= value <= 1:
            raise ValueError(_found(value, _PROBABILITY_EXPECTED))
        return float(value)
    number, unit = _split(value, _PROBABILITY_EXPECTED)
    if unit not in ("", "%"):
        raise ValueError(_found(value, _PROBABILITY_EXPECTED))
    fraction = number / 100 if unit else number
    if fraction > 1:
        raise ValueError(_found(value, _PROBABILITY_EXPECTED))
    return float(fraction)


def quantity(value: object) -> tuple[float, str] | None:
    """Return a value of an experiment file as a number and its unit; None if it is no number with a unit.

    The unit is ``bit/s``, ``s``, ``bytes``, ``bdp``, ``packets`` or ``fraction`` (of ``%``), or empty for a number that
    has none: 0.25 and ``bdp`` for ``0.25bdp``, 0.02 and ``s`` for ``20ms``.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value), ""
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    number, unit = Fraction(match[1]), match[2]
    if unit in _SIZE_UNITS:
        return float(number * _SIZE_UNITS[unit]), "bytes"
    found = _QUANTITIES.get(unit) or _QUANTITIES.get(unit.lower().removesuffix("/s"))
    return None if found is None else (float(number * found[0]), found[1])


@lru_cache(maxsize=_KEPT_TEXTS)
def format_rate(rate_bps: float, digits: int | None = None) -> str:
    """Format a rate in bit/s, such as ``20 Mbit/s``: exactly, or rounded to ``digits`` significant digits."""
    return _format(rate_bps, _SHOWN_RATES, digits)


def rate_unit(rates_bps: Iterable[float]) -> tuple[str, int]:
    """Return the unit in which to show these rates together, such as ``("kbit/s", 1000)``: that of the largest one.

    Without any rate above 0, it is Mbit/s.
    """
    largest = max(rates_bps, default=0.0)
    if largest <= 0:
        return "Mbit/s", _SHOWN_RATES["Mbit/s"]
    fitting = [(unit, scale) for unit, scale in _SHOWN_RATES.items() if largest >= scale]
    return fitting[-1] if fitting else ("bit/s", 1)


@lru_cache(maxsize=_KEPT_TEXTS)
def format_duration(duration_ns: float, digits: int | None = None) -> str:
    """Format a duration in nanoseconds, such as ``20 ms``: exactly, or rounded to ``digits`` significant digits."""
    return _format(duration_ns, _SHOWN_DURATIONS, digits)


@lru_cache(maxsize=_KEPT_TEXTS)
def format_size(size_bytes: float, digits: int | None = None) -> str:
    """Format a size in bytes, such as ``64 kB``: exactly, or rounded to ``digits`` significant digits.

    Without ``digits``, a multiple of 1024 bytes that is no multiple of 1000 bytes is written as in ``16 MiB``.
    """
    if digits is None and size_bytes % 1024 == 0 and size_bytes % 1000 != 0:
        unit, scale = max(
            ((unit, scale) for unit, scale in _BINARY_SIZES.items() if size_bytes % scale == 0), key=itemgetter(1)
        )
        return f"{int(size_bytes) // scale} {unit}"
    return _format(size_bytes, _SHOWN_SIZES, digits)


def value_text(value: object) -> str:
    """Return a short text for a value of an experiment file, such as ``0.1%`` or ``fq_codel 1bdp``.

    The values of a mapping or list are joined with spaces.  The path of a kernel package is reduced to the kernel's
    version, or to the name of the file without ``.deb``.
    """
    if isinstance(value, Mapping):
        return " ".join(map(value_text, value.values())) or "{}"
    if isinstance(value, list | tuple):
        return " ".join(map(value_text, value)) or "[]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value.endswith(".deb"):
        # Debian names such a file path/linux-image-VERSION_REVISION_ARCHITECTURE.deb.
        name = value.removesuffix(".deb").rpartition("/")[2]
        return name.removeprefix("linux-image-").partition("_")[0]
    return "none" if value is None else str(value)


def format_percent(probability: float, digits: int | None = None) -> str:
    """Format a fraction in [0, 1] as a percentage: ``0.1%`` for 0.001."""
    return f"{_plain(_rounded(Fraction(repr(float(probability))) * 100, digits))}%"


def tc_rate(rate_bps: int) -> str:
    """Format a rate for the command line of ``tc``."""
    return f"{rate_bps}bit"


def tc_duration(duration_ns: int) -> str:
    """Format a duration for the command line of ``tc``."""
    return f"{duration_ns}ns"


def tc_size(size_bytes: int) -> str:
    """Format a size for the command line of ``tc``, in which ``b`` means bytes."""
    return f"{size_bytes}b"


def _found(value: object, expected: str) -> str:
    return f"found {show(value)}; expected {expected}"


def _split(text: object, expected: str) -> tuple[Fraction, str]:
    match = _QUANTITY.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        hint = "; a number needs its unit" if type(text) in (int, float) else ""
        if isinstance(text, str) and text.startswith("-") and _QUANTITY.fullmatch(text[1:]):
            hint = "; it cannot be negative"
        raise ValueError(_found(text, expected) + hint)
    return Fraction(match[1]), match[2]


def _whole(text: object, number: Fraction, scale: int | None, base: str, expected: str) -> int:
    if scale is None:
        raise ValueError(_found(text, expected))
    result = number * scale
    if result.denominator != 1:
        raise ValueError(_found(text, f"a whole number of {base}"))
    if result > _MAX_RESULT:
        raise ValueError(_found(text, f"at most {_MAX_RESULT} {base}"))
    return int(result)


def _refuse_ambiguous_size(text: object, unit: str, expected: str) -> None:
    if unit not in _SIZE_UNITS and unit.lower() in ("b", "kb", "mb", "gb"):
        hint = "'b' may mean bits or bytes and 'k' 1000 or 1024: write B for bytes, kB for 1000 bytes, KiB for 1024"
        raise ValueError(f"{_found(text, expected)}; {hint}")


def _rounded(value: Fraction, digits: int | None) -> Fraction:
    return value if digits is None else Fraction(f"{float(value):.{digits}g}")


def _plain(value: Fraction) -> str:
    """Return a decimal number without an exponent or trailing zeros.

    The text is exact if ``value`` has a finite decimal expansion.
    """
    if value.denominator == 1:
        return str(value.numerator)
    text = f"{Decimal(value.numerator) / Decimal(value.denominator):f}"
    return text.rstrip("0").rstrip(".")


def _format(value: float, units: Mapping[str, int], digits: int | None) -> str:
    exact = _rounded(Fraction(value) if isinstance(value, int) else Fraction(repr(value)), digits)
    shown, scale = next(iter(units.items()))
    for unit, factor in units.items():
        if abs(exact) >= factor:
            shown, scale = unit, factor
    return f"{_plain(exact / scale)} {shown}"
