# SPDX-License-Identifier: Apache-2.0
"""Read the values that are used from the output of ``iperf3 --json``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Interval:
    """One reporting interval; its times are seconds since the start of the test."""

    start_s: float
    end_s: float
    bytes: int
    rtt_us: float | None
    """Smoothed RTT at the end of the interval, in microseconds; None at the receiver."""


def read_bytes(server: dict[str, Any]) -> int | None:
    """Return how many bytes the *receiver* says that it has read, in whole blocks; None if it does not say."""
    found = server.get("end", {}).get("sum_received", {}).get("bytes")
    return int(found) if found is not None else None


def intervals(document: dict[str, Any]) -> list[Interval]:
    """Return the intervals that one end reported.  Intervals that iperf3 omits (``--omit``) are left out."""
    found = []
    for interval in document.get("intervals", []):
        total, streams = interval.get("sum", {}), interval.get("streams", [])
        if total.get("omitted"):
            continue
        rtt = streams[0].get("rtt") if streams else None
        found.append(Interval(total.get("start", 0.0), total.get("end", 0.0), total.get("bytes", 0), rtt))
    return found


def block_bytes(document: dict[str, Any]) -> int:
    """Return the size of the blocks that both ends read, write and count, in bytes.

    If the output does not state it, this is iperf3's default for TCP, 128 KiB.
    """
    said = document.get("start", {}).get("test_start", {}).get("blksize")
    return int(said) if isinstance(said, int) and said > 0 else 131072


def error(document: dict[str, Any]) -> str | None:
    """Return the error that iperf3 reported, if any."""
    return document.get("error")
