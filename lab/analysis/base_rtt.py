# SPDX-License-Identifier: Apache-2.0
"""The base RTT of a path, which is the lowest round-trip time that it can have and changes with schedules."""

from __future__ import annotations

from dataclasses import dataclass

from lab.analysis.path import FlowPath
from lab.job.over_time import Steps, highest_delay_ns, longest_wait_ns, lowest_delay_ns
from lab.job.protocol import PathCalibration

ECHO_FRAME_BYTES = 98
"""The size of an echo request of ``ping`` as ``tc`` counts it: 56 bytes of data, and the headers of ICMP, IPv4 and
Ethernet."""


def base_rtt_us(path: FlowPath, calibration: PathCalibration | None) -> Steps[float] | None:
    """Return the base RTT over time in microseconds; None if no delay is declared and none was measured.

    It is the lowest possible round-trip time: the sum of the lowest delays that are in force at the time, and what the
    calibration found in addition before the traffic, which is the emulator's own.  A rate limit adds nothing: tbf sends
    a packet at once if none was sent before it.

    What jitter, reordering and a capacity file add to or take from a single round trip is random and no property of the
    emulator; on a path with one of them, nothing is added.  Packets that netem sends ahead of others (``reorder``) do
    not count.
    """
    lowest = path.rtt_with(lowest_delay_ns).map(lambda sum_ns: sum_ns / 1000)
    measured_ns = calibration["min_rtt_ns"] if calibration else None
    if measured_ns is None and not any(value for _at, value in path.rtt_ns.changes):
        return None
    # A change at the start of traffic comes after the calibration.
    before_us = sum(lowest_delay_ns(hop.direction["netem"]) for hop in path.hops) / 1000
    own_us = measured_ns / 1000 - before_us if measured_ns is not None and not varies(path) else 0.0
    return lowest.map(lambda lowest_us: lowest_us + own_us).without_repeats()


def varies(path: FlowPath) -> bool:
    """Return whether round-trip times without any traffic differ at the start: by jitter, reordering or capacity."""
    return any(
        hop.direction["capacity"] is not None or (netem is not None and bool(netem["jitter"] or netem["reorder"]))
        for hop in path.hops
        for netem in [hop.direction["netem"]]
    )


@dataclass(frozen=True)
class Expected:
    """Between which round-trip times the smallest of a few echo requests before the traffic must be, in nanoseconds."""

    least_ns: int
    most_ns: int


def expected_echo(path: FlowPath) -> Expected:
    """Return the round-trip times that delays, jitter, reordering, rates and capacity files allow at the start."""
    echo_ns = most_ns = least_ns = 0
    for hop in path.hops:
        netem, capacity, rate_bps = hop.direction["netem"], hop.direction["capacity"], hop.direction["rate_bps"]
        if capacity is not None:
            most_ns += longest_wait_ns(capacity)
        elif rate_bps:
            echo_ns += ECHO_FRAME_BYTES * 8 * 10**9 // rate_bps
        # Packets that netem sends ahead of others are not delayed.
        least_ns += 0 if netem is not None and netem["reorder"] else lowest_delay_ns(netem)
        most_ns += highest_delay_ns(netem)
    return Expected(least_ns, most_ns + echo_ns)
