# SPDX-License-Identifier: Apache-2.0
"""Read the values that are used from the output of ``iperf3 --json``.

What the output lacks has a default, as each function says.  A value of another type than iperf3's is a
:class:`ValueError`: the output is damaged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

_T = TypeVar("_T")


def _get(part: dict[str, Any], key: str, kind: type[_T], default: _T) -> _T:
    """Return the value of a key, which is of this type; *default* if there is none.  An int is a float, too."""
    found = part.get(key)
    if found is None:
        return default
    if kind is float and type(found) is int and abs(found) < 2**64:
        return kind(found)  # type: ignore[call-arg]
    if type(found) is not kind or (isinstance(found, int) and abs(found) >= 2**64):
        raise ValueError(f"the output of iperf3 is damaged: '{key}' is not of the type {kind.__name__}")
    return found


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
    found = _get(_get(_get(server, "end", dict, {}), "sum_received", dict, {}), "bytes", int, -1)
    return None if found < 0 else found


def intervals(document: dict[str, Any]) -> list[Interval]:
    """Return the intervals that one end reported.  Intervals that iperf3 omits (``--omit``) are left out."""
    found = []
    for interval in _dicts(document, "intervals"):
        total, streams = _get(interval, "sum", dict, {}), _dicts(interval, "streams")
        if _get(total, "omitted", bool, False):
            continue
        rtt_us = _get(streams[0], "rtt", float, -1.0) if streams else -1.0
        start_s, end_s = _get(total, "start", float, 0.0), _get(total, "end", float, 0.0)
        found.append(Interval(start_s, end_s, _get(total, "bytes", int, 0), None if rtt_us < 0 else rtt_us))
    return found


def _dicts(part: dict[str, Any], key: str) -> list[dict[str, Any]]:
    found = _get(part, key, list, [])
    if not all(isinstance(item, dict) for item in found):
        raise ValueError(f"the output of iperf3 is damaged: '{key}' is not a list of objects")
    return found


def block_bytes(document: dict[str, Any]) -> int:
    """Return the size of the blocks that both ends read, write and count, in bytes.

    If the output does not state it, this is iperf3's default for TCP, 128 KiB.
    """
    said = _get(_get(_get(document, "start", dict, {}), "test_start", dict, {}), "blksize", int, 0)
    return said if said > 0 else 131072


def error(document: dict[str, Any]) -> str | None:
    """Return the error that iperf3 reported, if any."""
    return _get(document, "error", str, "") or None
