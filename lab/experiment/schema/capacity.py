# SPDX-License-Identifier: Apache-2.0
"""Traces of delivery opportunities, in mahimahi's format: a line for each, the ms since the trace began.  Pure."""

from __future__ import annotations

import base64
import zlib
from collections import Counter
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import PlainValidator, ValidationInfo, WithJsonSchema

from lab.experiment.schema.contents import content_of
from lab.job import protocol
from lab.units import show

__all__ = ["MAX_OPPORTUNITIES", "PacketTrace", "TraceFile", "parse_trace"]

MAX_OPPORTUNITIES = 1 << 20
MAX_MS = 3_600_000
_MOST_IN_A_MS = 255


@dataclass(frozen=True)
class PacketTrace:
    """A trace: how many opportunities there are in each ms of its period."""

    counts: bytes

    @property
    def period_ms(self) -> int:
        """The last line's time: there the trace begins anew (mahimahi's link_queue.cc)."""
        return len(self.counts) - 1

    @property
    def opportunities(self) -> int:
        return sum(self.counts)

    def rate_bps(self, packet_bytes: int) -> int:
        """The mean rate, a multiple of 8 bit/s."""
        return self.opportunities * packet_bytes * 1000 // self.period_ms * 8

    def as_protocol(self, packet_bytes: int) -> protocol.Trace:
        packed = base64.b64encode(zlib.compress(self.counts, 9)).decode()
        return protocol.Trace(counts=packed, period_ms=self.period_ms, packet_bytes=packet_bytes)


def parse_trace(text: str) -> PacketTrace:
    """Return the trace that a file has.

    Raises:
        ValueError: It is none; the text names the line, what it is and what would be right.
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
            raise ValueError(f"line {number}: found {ms} after {last}; expected times that do not fall")
        if ms > MAX_MS:
            raise ValueError(f"line {number}: found {ms}; expected at most {MAX_MS} ms")
        counted[ms] += 1
        last = ms
        if counted[ms] > _MOST_IN_A_MS:
            raise ValueError(f"line {number}: found more than {_MOST_IN_A_MS} opportunities in a ms")
    if last == 0:
        raise ValueError("found no time after 0; expected at least one, for the last is the trace's length")
    if sum(counted.values()) > MAX_OPPORTUNITIES:
        raise ValueError(f"found {sum(counted.values())} opportunities; expected at most {MAX_OPPORTUNITIES}")
    return PacketTrace(bytes(counted[ms] for ms in range(last + 1)))


def _trace(value: Any, info: ValidationInfo) -> PacketTrace:
    if isinstance(value, PacketTrace):
        return value
    trace: PacketTrace = content_of("trace", value, info)
    return trace


TraceFile = Annotated[
    PacketTrace, PlainValidator(_trace), WithJsonSchema({"type": "string", "examples": ["traces/step.trace"]})
]
"""The path of a trace."""
