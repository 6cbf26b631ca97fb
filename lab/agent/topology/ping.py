# SPDX-License-Identifier: Apache-2.0
"""Read the statistics that ping prints."""

from __future__ import annotations

import re

_ANSWERED = re.compile(r"(\d+) received")
_LEAST_AND_MOST = re.compile(r"rtt min/avg/max/mdev = ([0-9.]+)/[0-9.]+/([0-9.]+)/")


def parse_ping(output: str) -> tuple[int, int | None, int | None]:
    """Return the number of answers and their shortest and longest round-trip time in ns, from the output of ``ping``.

    The times are those of the last line.  In the line of each reply, ping rounds times above 10 ms to 0.1 ms, and those
    above 100 ms to 1 ms (iputils, ``gather_statistics()``).

    Raises:
        ValueError: The output has no statistics.
    """
    answered = _ANSWERED.search(output)
    if not answered:
        raise ValueError(f"ping printed no statistics: {output!r}")
    times = _LEAST_AND_MOST.search(output)
    least_ns, most_ns = (round(float(found) * 1_000_000) for found in times.groups()) if times else (None, None)
    return int(answered[1]), least_ns, most_ns
