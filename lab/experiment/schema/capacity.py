# SPDX-License-Identifier: Apache-2.0
"""Capacity files in mahimahi's format, which list the times at which packets may leave a link.  No I/O.

Each line is the time of one delivery opportunity, in milliseconds.
"""

from __future__ import annotations

import base64
import re
import zlib
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any

from pydantic import PlainValidator, ValidationInfo, WithJsonSchema

from lab.experiment.schema.contents import content_of
from lab.job import protocol
from lab.units import RATE_PATTERN, show

__all__ = ["MAX_OPPORTUNITIES", "CapacityFile", "DeliveryOpportunities", "parse_capacity"]

MAX_OPPORTUNITIES = 1 << 20
MAX_MS = 3_600_000
_MOST_IN_A_MS = 255


@dataclass(frozen=True)
class DeliveryOpportunities:
    """The number of packets that may leave a link in each millisecond of a period, which is repeated."""

    counts: bytes
    """The number of packets in each millisecond, one byte each."""

    @property
    def period_ms(self) -> int:
        """The length of the period: the time in the last line, as in mahimahi's link_queue.cc."""
        return len(self.counts) - 1

    @property
    def opportunities(self) -> int:
        """The number of packets that may leave in one period."""
        return sum(self.counts)

    def rate_bps(self, packet_bytes: int) -> int:
        """Return the mean rate for packets of this size, rounded down to a multiple of 8 bit/s."""
        return self.opportunities * packet_bytes * 1000 // self.period_ms * 8

    def as_protocol(self, packet_bytes: int) -> protocol.Capacity:
        """Return the form in which a job contains the opportunities."""
        return protocol.Capacity(counts=_packed(self.counts), period_ms=self.period_ms, packet_bytes=packet_bytes)


@lru_cache(maxsize=8)
def _packed(counts: bytes) -> str:
    # All trials share the text, which may be long.
    return base64.b64encode(zlib.compress(counts, 9)).decode()


def parse_capacity(text: str) -> DeliveryOpportunities:
    """Parse the text of a capacity file.

    Raises:
        ValueError: The file is not valid; the message names the line, what was found and what was expected.
    """
    counted: Counter[int] = Counter()
    last = 0
    for number, line in enumerate(text.splitlines(), 1):
        word = line.strip()
        if not word or word.startswith("#"):
            continue
        if not word.isdigit() or len(word) > 9:
            raise ValueError(f"line {number}: found {show(word)}; expected a time in ms, such as 12")
        ms = int(word)
        if ms < last:
            raise ValueError(f"line {number}: found {ms} after {last}; expected times that do not decrease")
        if ms > MAX_MS:
            raise ValueError(f"line {number}: found {ms}; expected at most {MAX_MS} ms")
        counted[ms] += 1
        last = ms
        if counted[ms] > _MOST_IN_A_MS:
            raise ValueError(f"line {number}: found more than {_MOST_IN_A_MS} opportunities in one ms; expected fewer")
    if last == 0:
        raise ValueError(
            "found no time after 0; expected at least one, because the last one is the length of the period"
        )
    if sum(counted.values()) > MAX_OPPORTUNITIES:
        raise ValueError(f"found {sum(counted.values())} opportunities; expected at most {MAX_OPPORTUNITIES}")
    return DeliveryOpportunities(bytes(counted[ms] for ms in range(last + 1)))


def _capacity(value: Any, info: ValidationInfo) -> DeliveryOpportunities:
    if isinstance(value, DeliveryOpportunities):
        return value
    if isinstance(value, str) and re.fullmatch(RATE_PATTERN, value):
        raise ValueError(
            f"found {show(value)}; expected the path of a capacity file; a constant rate is 'rate: {value}'"
        )
    capacity: DeliveryOpportunities = content_of("capacity", value, info)
    return capacity


CapacityFile = Annotated[
    DeliveryOpportunities,
    PlainValidator(_capacity),
    WithJsonSchema({"type": "string", "examples": ["capacity/step.mahimahi"]}),
]
"""The path of a capacity file."""
