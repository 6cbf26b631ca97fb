# SPDX-License-Identifier: Apache-2.0
"""Give the times of events on the clock that the user asks for.

The BPF programs stamp events with CLOCK_MONOTONIC (bpf_ktime_get_ns()).  The kernel's other clocks differ from it by
an offset that stays the same until somebody sets the clock, or the machine wakes up from a suspension.
"""

from __future__ import annotations

import functools
import time
from datetime import datetime
from typing import Any

CLOCKS = {"wall": time.CLOCK_REALTIME, "boot": time.CLOCK_BOOTTIME}
KINDS = ("start", *CLOCKS)
"""What times can be relative to: the start of the trace, the Unix epoch (shown as date and time), or the machine's
boot."""

_ATTEMPTS = 20


class Timestamps:
    """Converts times on CLOCK_MONOTONIC, in ns, to times of another kind."""

    def __init__(self, kind: str, start_ns: int) -> None:
        """Convert to *kind*, one of :data:`KINDS`; the trace started at ``start_ns`` on CLOCK_MONOTONIC."""
        self.kind = kind
        self._clock = CLOCKS.get(kind)
        self._offset_ns = -start_ns
        if self._clock is not None:
            self._offset_ns = _middle(min((_offset(self._clock) for _ in range(_ATTEMPTS)), key=_width))

    def follow(self) -> None:
        """Find out whether the clock has been set; to be called before the times of new events are converted."""
        if self._clock is not None:
            low, high = found = _offset(self._clock)
            if not low <= self._offset_ns <= high:
                self._offset_ns = _middle(found)

    def time_ns(self, monotonic_ns: int) -> int:
        """Return a time on CLOCK_MONOTONIC as nanoseconds since the start, the Unix epoch or the boot."""
        return monotonic_ns + self._offset_ns

    def dated(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return *row* after adding ``time``, the date and time of ``time_ns``, if times are dates."""
        if self.kind == "wall":
            row["time"] = date_text(row["time_ns"], digits=9)
        return row


def seconds_text(time_ns: int) -> str:
    """Return a time as seconds with six decimals."""
    seconds, microseconds = divmod((time_ns + 500) // 1000, 1_000_000)
    return f"{seconds}.{microseconds:06d}"


def date_text(time_ns: int, digits: int = 6) -> str:
    """Return the local date and time in ISO 8601, with *digits* decimals, for nanoseconds since the Unix epoch."""
    seconds, nanoseconds = divmod(time_ns, 1_000_000_000)
    before, after = _local(seconds)
    return f"{before}.{nanoseconds // 10 ** (9 - digits):0{digits}d}{after}"


@functools.lru_cache(maxsize=16)
def _local(seconds: int) -> tuple[str, str]:
    """Return the local date and time of a second since the Unix epoch, and the offset from UTC."""
    text = datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="seconds")
    date, _t, clock = text.partition("T")
    return f"{date}T{clock[:8]}", clock[8:]


def _offset(clock: int) -> tuple[int, int]:
    """Return the smallest and the greatest offset of *clock* from CLOCK_MONOTONIC, in ns, that two readings allow."""
    before = time.monotonic_ns()
    now = time.clock_gettime_ns(clock)
    after = time.monotonic_ns()
    return now - after, now - before


def _width(bounds: tuple[int, int]) -> int:
    return bounds[1] - bounds[0]


def _middle(bounds: tuple[int, int]) -> int:
    return sum(bounds) // 2
