# SPDX-License-Identifier: Apache-2.0
"""Waiting times from the length of a queue: a queue whose packets are known one by one, and closed forms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from lab.analysis.backlog import Backlog, Waits, queueing_delay

BIN_NS = 10_000_000
PACKET = 1500


def backlog_of(packets: Sequence[tuple[float, float]]) -> Backlog:
    """Return what the kernel records of a queue through which PACKET-sized packets go: (enters, leaves), in ns."""
    end = max(leaves for _enters, leaves in packets)
    rows = []
    for begin in np.arange(0, end + 1, BIN_NS):
        stop = begin + BIN_NS
        inside = [max(0.0, min(leaves, stop) - max(enters, begin)) for enters, leaves in packets]
        left = sum(begin <= leaves < stop for _enters, leaves in packets)
        moments = sorted({begin, *(enters for enters, _leaves in packets if begin <= enters < stop)})
        most = max(sum(enters <= moment < leaves for enters, leaves in packets) for moment in moments)
        if sum(inside) or left:
            rows.append((begin, BIN_NS, sum(inside) * PACKET, sum(inside), most * PACKET, most, left, left * PACKET))
    return Backlog(*np.array(rows, dtype=np.int64).T)


def through_a_link(arrivals: Sequence[float], service_ns: float) -> list[tuple[float, float]]:
    """Return when packets enter and leave a queue in front of a link that takes *service_ns* for each of them."""
    free = 0.0
    found = []
    for enters in arrivals:
        free = max(free, enters) + service_ns
        found.append((enters, free))
    return found


@pytest.mark.parametrize("service_ns", [1_000_000, 10_000_000])
def test_waits_are_those_of_the_single_packets(service_ns: float) -> None:
    numbers = np.random.default_rng(1)
    arrivals = np.cumsum(numbers.exponential(1.3 * service_ns, 1000))
    packets = through_a_link(list(arrivals), service_ns)
    backlog = backlog_of(packets)
    waited = [leaves - enters for enters, leaves in packets]
    end_ns = float(backlog.start_ns[-1] + BIN_NS)
    assert backlog.mean_wait_ns(0, end_ns) == pytest.approx(np.mean(waited), rel=1e-6)
    p95 = queueing_delay([backlog], 0, int(end_ns)).p95
    # Waits that change within a bin are averaged.
    assert p95 == pytest.approx(np.quantile(waited, 0.95), rel=0.2)


def test_a_window_counts_only_what_is_within_it() -> None:
    # A standing queue of ten packets for one second, then an empty one.
    busy = [(n * 1e6, n * 1e6 + 10e6) for n in range(1000)]
    idle = [(2e9 + n * 1e6, 2e9 + n * 1e6) for n in range(1000)]
    backlog = backlog_of([*busy, *idle])
    assert backlog.mean_wait_ns(0.1e9, 0.9e9) == pytest.approx(10e6)
    assert backlog.mean_wait_ns(2e9, 3e9) == 0
    assert backlog.mean_wait_ns(1.5e9, 1.9e9) is None
    inside = backlog.occupancy(0.1e9, 0.9e9)
    assert inside is not None
    assert [inside.mean, inside.p95, inside.most] == pytest.approx([10, 10, 10])
    over_all = backlog.occupancy(0, 4e9)
    assert over_all is not None
    assert over_all.mean == pytest.approx(2.5, rel=0.01)


def test_a_wait_follows_the_rate_at_which_the_queue_empties() -> None:
    # Packets enter at once; the link sends one each 10 ms, stands still for a second, and sends one each millisecond.
    leaves = [(n + 1) * 10e6 for n in range(50)] + [1.5e9 + (n + 1) * 1e6 for n in range(50)]
    backlog = backlog_of([(0.0, time) for time in leaves])
    at_ns = np.array([105e6, 495e6, 1.0e9])
    # At 105 ms, 90 packets are left to send, 40 of them before the link stands still.
    assert backlog.wait_ns(at_ns) == pytest.approx([1.55e9 - 105e6, 1.55e9 - 495e6, 0.55e9], abs=2 * BIN_NS)


def test_queues_in_series_add_up() -> None:
    first = backlog_of([(n * 1e6, n * 1e6 + 10e6) for n in range(1000)])
    second = backlog_of([(n * 1e6, n * 1e6 + 3e6) for n in range(1000)])
    found = queueing_delay([first, second], 100_000_000, 900_000_000)
    mean, p95 = found.mean, found.p95
    assert mean == pytest.approx(13e6)
    assert p95 == pytest.approx(13e6, rel=0.01)


def test_no_packet_has_no_wait() -> None:
    nothing = Backlog(*np.zeros((8, 0), dtype=np.int64))
    assert queueing_delay([nothing], 0, 10**9) == Waits()
    assert queueing_delay([], 0, 10**9) == Waits()
    empty = nothing.occupancy(0, 10**9)
    assert empty is not None
    assert (empty.mean, empty.p95, empty.most) == (0, 0, 0)
