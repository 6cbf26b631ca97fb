# SPDX-License-Identifier: Apache-2.0
"""Spans, states, held values and histograms, compared with results that were calculated by hand."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest

from lab.analysis.events import (
    Occupancy,
    Span,
    StateChange,
    bucket_quantile,
    held_at,
    occupancy,
    spans,
    state_histories,
    thinned,
)


def test_a_mode_lasts_until_the_next_begins() -> None:
    times = np.array([0.0, 0.5, 1.0, 2.0, 3.0])
    expected = [Span(0.0, 1.0, "Startup"), Span(1.0, 2.0, "Drain"), Span(2.0, 3.0, "ProbeBW")]
    assert spans(times, ["Startup", "Startup", "Drain", "ProbeBW", "ProbeBW"]) == expected
    codes = np.array([2, 2, 0, 1, 1], dtype=np.int32)
    assert spans(times, ["Drain", "ProbeBW", "Startup"], codes) == expected
    assert spans(np.zeros(0), []) == []


def test_a_mode_that_comes_again_is_another_stretch() -> None:
    times = np.array([0.0, 1.0, 2.0, 3.0])
    assert spans(times, ["a", "b", "a", "a"]) == [Span(0.0, 1.0, "a"), Span(1.0, 2.0, "b"), Span(2.0, 3.0, "a")]


def test_the_states_of_a_connection() -> None:
    changes = [
        StateChange(7, 1.0, "CLOSE", "SYN_SENT", 0.0, row=0),
        StateChange(7, 1.2, "SYN_SENT", "ESTABLISHED", 0.2, row=1),
        StateChange(7, 5.0, "ESTABLISHED", "FIN_WAIT1", 3.8, row=3),
        StateChange(7, 5.5, "FIN_WAIT1", "CLOSE", 0.5, row=4),
    ]
    (history,) = state_histories(changes, 9.0)
    assert history.spans == (Span(1.0, 1.2, "SYN_SENT"), Span(1.2, 5.0, "ESTABLISHED"), Span(5.0, 5.5, "FIN_WAIT1"))
    assert history.rows == (0, 1, 3, 4)


def test_a_connection_that_stays_open_lasts_to_the_end() -> None:
    (history,) = state_histories([StateChange(7, 1.0, "SYN_RECV", "ESTABLISHED", 0.25)], 9.0)
    assert history.spans == (Span(0.75, 1.0, "SYN_RECV"), Span(1.0, 9.0, "ESTABLISHED"))


def test_a_socket_that_is_used_again_is_another_connection() -> None:
    changes = [
        StateChange(7, 1.0, "CLOSE", "SYN_SENT", 0.0, row=0),
        StateChange(8, 1.1, "LISTEN", "SYN_RECV", 0.0, row=1),
        StateChange(7, 2.0, "SYN_SENT", "CLOSE", 1.0, row=2),
        StateChange(7, 3.0, "CLOSE", "SYN_SENT", 1.0, row=3),
    ]
    histories = state_histories(changes, 4.0)
    assert [history.rows for history in histories] == [(0, 2), (1,), (3,)]
    assert histories[2].spans == (Span(3.0, 4.0, "SYN_SENT"),)


def test_a_socket_that_only_listened_is_no_connection() -> None:
    assert state_histories([StateChange(7, 2.0, "LISTEN", "CLOSE", 0.0)], 4.0) == []
    assert state_histories([StateChange(7, 2.0, "CLOSE", "LISTEN", 0.0)], 4.0) == []


def test_a_queue_on_a_regular_grid_holds_each_sample_until_the_next() -> None:
    times, packets = np.array([0.15, 0.3, 0.31, 0.5]), np.array([4, 9, 2, 0])
    grid = np.arange(7) * 0.1
    assert held_at(times, packets, grid).tolist() == [0, 0, 4, 9, 2, 0, 0]
    assert held_at(times, packets, np.array([0.3])).tolist() == [9]
    assert held_at(np.zeros(0), np.zeros(0), grid, before=3.0).tolist() == [3.0] * 7


def test_occupancy_weighs_a_sample_by_how_long_it_held() -> None:
    # The queue is empty for 1 s, and has 10 packets for 8.5 s and 40 packets for 0.5 s.  The last sample is after the
    # ten seconds and does not count.
    times, packets = np.array([1.0, 9.5, 12.0]), np.array([10, 40, 100])
    found = occupancy(times, packets, 0.0, 10.0)
    assert found is not None
    assert astuple(found) == (pytest.approx((85 + 20) / 10), 10.0, 40.0)
    # From 2 s on, the queue has 10 packets for 7.5 s of 8 s, which is less than 95 % of the time.
    found = occupancy(times, packets, 2.0, 10.0)
    assert found is not None
    assert astuple(found) == (pytest.approx((75 + 20) / 8), 40.0, 40.0)


def test_occupancy_of_a_queue_that_was_never_used() -> None:
    assert occupancy(np.zeros(0), np.zeros(0), 0.0, 5.0) == Occupancy(0.0, 0.0, 0.0)
    assert occupancy(np.zeros(0), np.zeros(0), 5.0, 5.0) is None


@pytest.mark.parametrize(("quantile", "expected"), [(0.5, 1024), (0.51, 2048), (0.95, 4096), (1.0, 8192)])
def test_the_bucket_of_a_quantile(quantile: float, expected: int) -> None:
    # The buckets have 50, 40, 8 and 2 of 100 packets.  They are not in order.
    assert bucket_quantile([2048, 1024, 8192, 4096], [40, 50, 2, 8], quantile) == expected


def test_no_bucket_of_nothing() -> None:
    assert bucket_quantile([], [], 0.5) is None
    assert bucket_quantile([1024], [0], 0.5) is None


def test_marks_do_not_run_together() -> None:
    assert len(thinned(np.linspace(0.0, 10.0, 5000), 10.0, 90)) == 90
    # Of the times in each tenth of the ten seconds, only the first remains.
    assert thinned(np.array([0.1, 0.9, 1.0, 4.2, 4.3, 10.0]), 10.0, 10).tolist() == [0.1, 1.0, 4.2, 10.0]
    assert len(thinned(np.zeros(0), 10.0, 90)) == 0
