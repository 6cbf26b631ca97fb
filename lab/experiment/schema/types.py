# SPDX-License-Identifier: Apache-2.0
"""The scalar types of the schema.  Each parses a value of the file, and describes the allowed texts to editors.

The parsed value is in the base unit that the type's name mentions, whatever unit the file uses.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainSerializer, PlainValidator, WithJsonSchema

from lab import names, units

__all__ = [
    "CONGESTION_CONTROL_MEANING",
    "NAME_PATTERN",
    "OTHER_CC_NAMES",
    "PATTERN_MEANINGS",
    "CongestionControl",
    "DurationNs",
    "EndNs",
    "FlowName",
    "LossProbability",
    "ModuleParameter",
    "Name",
    "NodeName",
    "NodePattern",
    "PositiveDurationNs",
    "PositiveProbability",
    "Probability",
    "QueueLimit",
    "RateBps",
    "ScheduledLossProbability",
    "SizeBytes",
    "SocketBuffer",
    "SysctlName",
    "SysctlValue",
    "TcParameters",
]

_MAX_DURATION_NS = 24 * 3600 * 10**9
_MAX_RATE_BPS = 10**12
_MAX_SIZE_BYTES = 2**31 - 1

# netem stores a probability in 32 bits; with a smaller one than this it would never drop a packet.
_MIN_LOSS = 2.0**-32


def _ranged(
    parse: Callable[[object], int], show: Callable[[int], str], low: int, high: int, what: str
) -> Callable[[object], int]:
    def check(value: object) -> int:
        parsed = parse(value)
        if not low <= parsed <= high:
            raise ValueError(f"found {units.show(value)}; expected {what} from {show(low)} to {show(high)}")
        return parsed

    return check


def _rate(value: object) -> int:
    rate_bps = _ranged(units.parse_rate, units.format_rate, 8, _MAX_RATE_BPS, "a rate")(value)
    if rate_bps % 8:
        # tc passes rates to the kernel in bytes per second and would discard a fraction of a byte.
        raise ValueError(
            f"found {units.show(value)}; expected a multiple of 8 bit/s, because the kernel counts bytes per second"
        )
    return rate_bps


def _loss(value: object) -> float:
    loss = _scheduled_loss(value)
    if loss == 1:
        hint = (
            "did you mean '1%'?"
            if value in (1, "1")
            else "a link that is down for some time has a loss of 100% in its schedule"
        )
        raise ValueError(f"found {units.show(value)}; expected a loss below 100%; {hint}")
    return loss


def _scheduled_loss(value: object) -> float:
    loss = units.parse_probability(value)
    if 0 < loss < _MIN_LOSS:
        raise ValueError(f"found {units.show(value)}; expected 0 or at least 0.00000003% (netem's resolution)")
    return loss


def _positive_probability(value: object) -> float:
    probability = units.parse_probability(value)
    if probability < _MIN_LOSS:
        raise ValueError(f"found {units.show(value)}; expected more than 0 (netem's resolution is 0.00000003%)")
    return probability


def _or_word(word: str, parse: Callable[[object], int]) -> Callable[[object], int | str]:
    """Return a parser that accepts *word* as well."""

    def check(value: object) -> int | str:
        if value == word:
            return word
        try:
            return parse(value)
        except ValueError as error:
            raise ValueError(f"{error}, or '{word}'") from None

    return check


def _tc_value(value: object) -> bool | int | str:
    if value is False:
        # Some parameters are on by default: without noecn, for example, fq_codel marks packets with ECN.  False would
        # suggest that lab can switch such a parameter off without tc's own word for it.
        raise ValueError(
            "found false; expected tc's own parameter that switches it off, such as noecn: true, or no parameter"
        )
    if isinstance(value, int | float) and value < 0:
        raise ValueError(f"found {units.show(value)}; expected a number that is not negative")
    if isinstance(value, float) and math.isfinite(value):
        # As text, because 0.00002 must reach tc as it was written, and not as 2e-05.
        text = f"{Decimal(repr(value)):f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    if isinstance(value, int) or (isinstance(value, str) and re.fullmatch(names.TC_WORD, value)):
        return value
    raise ValueError(
        f"found {units.show(value)}; expected a single word of letters, digits, '.', '_' and '%', such as 5ms, or "
        "true for a parameter without a value"
    )


def _json(pattern: str, *examples: str) -> dict[str, Any]:
    return {"type": "string", "pattern": pattern, "examples": list(examples)}


def _written(text: Callable[[Any], str]) -> PlainSerializer:
    """Return what writes a parsed value as a file has it; a word such as ``auto`` stays as it is."""
    return PlainSerializer(lambda value: value if isinstance(value, str) else text(value), when_used="json")


_DURATION_EXAMPLES = ("20ms", "30s", "100us", "2min")
_SIZE_JSON = _json(units.SIZE_PATTERN, "16MiB", "64kB", "1500B")

_AS_DURATION = _written(units.format_duration)
_AS_SIZE = _written(units.format_size)

RateBps = Annotated[
    int,
    PlainValidator(_rate),
    _written(units.format_rate),
    WithJsonSchema(_json(units.RATE_PATTERN, "20mbit", "1.5gbit", "500kbit")),
]
"""A rate in bit/s."""

DurationNs = Annotated[
    int,
    PlainValidator(_ranged(units.parse_duration, units.format_duration, 0, _MAX_DURATION_NS, "a duration")),
    _AS_DURATION,
    WithJsonSchema(_json(units.DURATION_PATTERN, *_DURATION_EXAMPLES)),
]
"""A duration in nanoseconds, which may be 0."""

PositiveDurationNs = Annotated[
    int,
    PlainValidator(_ranged(units.parse_duration, units.format_duration, 1, _MAX_DURATION_NS, "a duration")),
    _AS_DURATION,
    WithJsonSchema(_json(units.DURATION_PATTERN, *_DURATION_EXAMPLES)),
]
"""A duration in nanoseconds, greater than 0."""

EndNs = Annotated[
    int | Literal["end"],
    PlainValidator(
        _or_word("end", _ranged(units.parse_duration, units.format_duration, 1, _MAX_DURATION_NS, "a time"))
    ),
    _AS_DURATION,
    WithJsonSchema({"anyOf": [{"const": "end"}, _json(units.DURATION_PATTERN, *_DURATION_EXAMPLES)]}),
]
"""A time in nanoseconds, greater than 0, or ``end``."""

LossProbability = Annotated[
    float,
    PlainValidator(_loss),
    WithJsonSchema(
        {
            "anyOf": [
                _json(units.PERCENT_PATTERN, "0%", "0.1%", "1%"),
                {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
            ]
        }
    ),
]
"""A loss probability as a fraction in [0, 1)."""

ScheduledLossProbability = Annotated[
    float,
    PlainValidator(_scheduled_loss),
    WithJsonSchema(
        {"anyOf": [_json(units.PERCENT_PATTERN, "0%", "1%", "100%"), {"type": "number", "minimum": 0, "maximum": 1}]}
    ),
]
"""The loss probability of a link from some time on, as a fraction in [0, 1]; 1 means that the link is down."""


def _probability_json(**limits: float) -> dict[str, Any]:
    return {"anyOf": [_json(units.PERCENT_PATTERN, "25%", "100%"), {"type": "number", "maximum": 1, **limits}]}


Probability = Annotated[float, PlainValidator(units.parse_probability), WithJsonSchema(_probability_json(minimum=0))]
"""A probability as a fraction in [0, 1]."""

PositiveProbability = Annotated[
    float, PlainValidator(_positive_probability), WithJsonSchema(_probability_json(exclusiveMinimum=0))
]
"""A probability as a fraction in (0, 1]."""

QueueLimit = Annotated[
    units.QueueLimit,
    PlainValidator(units.parse_queue_limit),
    _written(units.written_queue_limit),
    WithJsonSchema(_json(units.QUEUE_LIMIT_PATTERN, "1bdp", "0.5bdp", "100p", "64kB", "50ms")),
]

SizeBytes = Annotated[
    int,
    PlainValidator(_ranged(units.parse_size, units.format_size, 1, 10**15, "a size")),
    _AS_SIZE,
    WithJsonSchema(_SIZE_JSON),
]
"""A size in bytes, greater than 0."""

SocketBuffer = Annotated[
    int | Literal["auto"],
    PlainValidator(_or_word("auto", _ranged(units.parse_size, units.format_size, 4096, _MAX_SIZE_BYTES, "a size"))),
    _AS_SIZE,
    WithJsonSchema({"anyOf": [{"const": "auto"}, _SIZE_JSON]}),
]
"""A size in bytes, or ``auto``."""

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
_NODE_PATTERN = r"^[A-Za-z0-9_*?]{1,20}$"

CONGESTION_CONTROL_MEANING = "up to 15 lowercase letters, digits and '_', such as cubic or bbr"

PATTERN_MEANINGS = {
    _NODE_PATTERN: "a node's name, or a pattern such as 's*'",
    names.SYSCTL: "a sysctl of the network, such as net.ipv4.tcp_slow_start_after_idle",
    names.MODULE_PARAMETER: "lowercase letters, digits and '_', as in the parameters of kernel modules",
    NAME_PATTERN: "up to 64 letters, digits, '_' and '-', beginning with a letter or digit",
    names.FLOW: "up to 32 letters, digits, '_' and '-', beginning with a letter",
    names.NODE: "up to 9 letters, digits and '_', beginning with a letter, because the kernel limits the names of "
    "interfaces to 15 characters",
    names.CONGESTION_CONTROL: CONGESTION_CONTROL_MEANING,
    names.TC_NAME: "lowercase letters, digits and '_', as in the parameters of tc",
}
"""Regular expression → its meaning in words, for messages."""

Name = Annotated[str, Field(pattern=NAME_PATTERN)]
"""A name that may be part of a path on all file systems."""

NodeName = Annotated[str, Field(pattern=names.NODE)]
"""The name of a node; followed by ``-eth99``, it fits in IFNAMSIZ (16, including the terminating NUL)."""

NodePattern = Annotated[str, Field(pattern=_NODE_PATTERN)]
SysctlName = Annotated[str, Field(pattern=names.SYSCTL)]
ModuleParameter = Annotated[str, Field(pattern=names.MODULE_PARAMETER)]


def _setting(value: object) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str) and re.fullmatch(names.SETTING, value):
        return " ".join(value.split())
    raise ValueError(f"found {units.show(value)}; expected a number, a text of words, or true or false")


SysctlValue = Annotated[
    str,
    PlainValidator(_setting),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "boolean"}]}),
]
"""A sysctl's or module parameter's value as it is written to the kernel; true is written as 1, false as 0."""

FlowName = Annotated[str, Field(pattern=names.FLOW)]

OTHER_CC_NAMES = {"hstcp": "highspeed", "newreno": "reno"}
"""Other names of algorithms → their names in the kernel."""

CongestionControl = Annotated[
    str,
    Field(pattern=names.CONGESTION_CONTROL, examples=["cubic", "bbr", "reno", "vegas", "dctcp"]),
    AfterValidator(lambda name: OTHER_CC_NAMES.get(name, name)),
]
"""A name that an algorithm may have (TCP_CA_NAME_MAX is 16); only the kernel knows whether it has the algorithm."""

_TcValue = Annotated[
    bool | int | str,
    PlainValidator(_tc_value),
    WithJsonSchema({"anyOf": [{"const": True}, {"type": "number"}, {"type": "string", "pattern": names.TC_WORD}]}),
]
TcParameters = dict[Annotated[str, Field(pattern=names.TC_NAME)], _TcValue]
"""Parameters of a qdisc as ``tc`` spells them; the value ``true`` stands for a parameter without a value."""
