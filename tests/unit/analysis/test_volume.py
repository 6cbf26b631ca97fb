# SPDX-License-Identifier: Apache-2.0
"""Goodput and losses from what the kernel counted, against values worked out by hand."""

from __future__ import annotations

from typing import cast

import pytest

from lab.analysis.volume import Volume, arrived, datagrams_lost_share, volume
from lab.job.accounts import AccountTotal
from lab.job.protocol import Flow, FlowResult


def total(**changes: int | None) -> AccountTotal:
    none = {"packets": 0, "bytes": 0, "again_packets": 0, "again_bytes": 0, "ce_packets": 0, "first_bytes": 0}
    return cast("AccountTotal", {**none, "first_ns": None, "last_ns": None, **changes})


def test_a_rate_counts_gaps_and_not_packets() -> None:
    # A packet of 1250 bytes every 10 ms is 1 Mbit/s, however few there are.
    for packets in (2, 3, 100):
        found = total(
            packets=packets,
            bytes=1250 * packets,
            first_bytes=1250,
            first_ns=7 * 10**6,
            last_ns=(7 + 10 * (packets - 1)) * 10**6,
        )
        assert volume(found).bps == pytest.approx(1e6)
    assert volume(total(packets=1, bytes=1250, first_bytes=1250, first_ns=5, last_ns=5)).bps == 0
    assert volume(total()) == Volume(0, 0.0)


def test_further_copies_are_no_goodput() -> None:
    found = total(packets=4, bytes=4000, again_packets=1, again_bytes=1000, first_bytes=1000, first_ns=0, last_ns=10**9)
    assert volume(found) == Volume(3000, 1.0, 1000)
    assert volume(found).bps == 16_000


def arrived_of(first_ms: int, last_ms: int, packets: int) -> Volume:
    """What arrived of a flow of 10 s whose sender begins at once, on a path of 20 ms; packets of 1000 bytes."""
    sent = total(packets=packets, bytes=1000 * packets, first_bytes=1000, first_ns=0, last_ns=10**10)
    times = {"first_ns": first_ms * 10**6, "last_ns": last_ms * 10**6}
    found = total(packets=packets, bytes=1000 * packets, first_bytes=1000, **times)
    result = {"accounts": {"sides": {"sent": {"declared": sent}, "arrived": {"declared": found}}}}
    asked = {"start_ns": 0, "duration_ns": 10**10, "limit_bytes": None}
    return arrived(cast("FlowResult", result), cast("Flow", asked), 20 * 10**6)


def test_the_time_of_a_flow_includes_what_it_waits() -> None:
    # A packet every 100 ms from 21 ms on, until the end.
    assert arrived_of(21, 9921, 100) == Volume(100_000, 9.9, 1000)
    # Nothing in the last second: the flow waits until its end.
    assert arrived_of(21, 9021, 91) == Volume(91_000, 9.979, 1000)
    # Nothing in the first three seconds, although the sender has begun.
    assert arrived_of(3020, 9920, 70) == Volume(70_000, 9.9, 0)
    # What comes a little late was in a queue.
    assert arrived_of(520, 9920, 95) == Volume(95_000, 9.4, 1000)


def arrived_in(
    window_ms: tuple[int, int],
    ever_ms: tuple[int, int],
    found_ms: tuple[int, int],
    packets: int,
    sent_ms: int | None = None,
    limit_bytes: int | None = None,
) -> Volume:
    """What arrived in a window of a flow of 10 s, on a path of 20 ms; packets of 1000 bytes.

    *ever_ms* are its first and last arrival, *found_ms* those in the window, *sent_ms* is when the first packet left
    in the window.
    """

    def times(first_ms: int, last_ms: int) -> dict[str, int]:
        return {"first_ns": first_ms * 10**6, "last_ns": last_ms * 10**6}

    found = total(packets=packets, bytes=1000 * packets, first_bytes=1000, **times(*found_ms))
    sent = total(first_ns=(window_ms[0] if sent_ms is None else sent_ms) * 10**6)
    sides = {"sent": {"measured": sent}, "arrived": {"measured": found, "declared": total(**times(*ever_ms))}}
    window = {"start_ns": window_ms[0] * 10**6, "end_ns": window_ms[1] * 10**6}
    asked = {"start_ns": 0, "duration_ns": 10**10, "limit_bytes": limit_bytes, "measured": window}
    result = {"accounts": {"sides": sides}}
    return arrived(cast("FlowResult", result), cast("Flow", asked), 20 * 10**6, "measured")


def test_in_a_window_a_flow_that_runs_already_waits_when_nothing_arrives() -> None:
    # A packet every 100 ms, before and behind the window as well.
    assert arrived_in((5000, 8000), (21, 9921), (5021, 7921), 30) == Volume(30_000, 2.9, 1000)
    # Nothing in the first second of the window.
    assert arrived_in((5000, 8000), (21, 9921), (6000, 7900), 20) == Volume(20_000, 2.9, 0)
    # Nothing in its last second.
    assert arrived_in((5000, 8000), (21, 9921), (5021, 7021), 21) == Volume(21_000, 2.979, 1000)
    # A single packet.
    assert arrived_in((5000, 8000), (21, 9921), (6000, 6000), 1) == Volume(1000, 3.0, 0)


def test_in_a_window_a_flow_that_begins_is_given_the_time_of_its_first_packets() -> None:
    # It begins at 6 s, within the window: what comes a little late was in a queue.
    assert arrived_in((5000, 8000), (6200, 9921), (6200, 7900), 18, sent_ms=6000) == Volume(18_000, 1.7, 1000)
    # The first 580 ms are a wait beside 20 ms of the path.
    assert arrived_in((5000, 8000), (6600, 9921), (6600, 7900), 14, sent_ms=6000) == Volume(14_000, 1.88, 0)


def test_in_a_window_a_flow_with_an_amount_ends_with_its_last_packet() -> None:
    amount = 50_000
    # It has sent all at 6 s, and waits for nothing in the rest of the window.
    ended = arrived_in((5000, 8000), (21, 6000), (5000, 6000), 11, limit_bytes=amount)
    assert ended == Volume(11_000, 1.0, 1000)
    # It has not sent all, and stalls from 6 s until after the window.
    stalled = arrived_in((5000, 8000), (21, 9921), (5000, 6000), 11, limit_bytes=amount)
    assert stalled == Volume(11_000, 3.0, 1000)


def test_lost_datagrams() -> None:
    # Of 100 packets, 2 were duplicated and 5 did not arrive.
    assert datagrams_lost_share(total(packets=100), total(packets=97, again_packets=2)) == pytest.approx(0.05)
    assert datagrams_lost_share(total(), total()) is None
