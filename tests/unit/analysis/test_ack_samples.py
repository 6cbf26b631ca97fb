# SPDX-License-Identifier: Apache-2.0
"""Computations on traces, compared with results that were calculated by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lab.analysis.ack_samples import (
    INFINITE_SSTHRESH,
    AckSamples,
    acked_bytes,
    holding_times,
    merged_times,
    reductions,
    ssthresh,
    unwrap32,
    weighted_mean,
    weighted_quantile,
    weighted_quantiles,
    with_timeouts,
)
from lab.analysis.capacity import bin_edges_ns
from lab.analysis.series import Bins, bin_width_ns, decimate, rate_series

MS = 1_000_000


def trace(**columns: list[int]) -> AckSamples:
    """Return a trace with the given columns; all other columns are 0."""
    rows = len(next(iter(columns.values())))
    names = ("time_ns", "snd_nxt", "snd_una", "snd_cwnd", "ssthresh", "srtt_us", "in_recovery")
    return AckSamples.from_columns({name: np.array(columns.get(name, [0] * rows)) for name in names})


def test_unwrap32_counts_through_a_wrap() -> None:
    sequence = np.array([2**32 - 1000, 2**32 - 1, 0, 448, 448, 2**31], dtype=np.uint32)
    assert unwrap32(sequence).tolist() == [0, 999, 1000, 1448, 1448, 2**31 + 1000]


def test_unwrap32_follows_a_step_back() -> None:
    assert unwrap32(np.array([5, 2**32 - 5], dtype=np.uint32)).tolist() == [0, -10]


def test_unwrap32_of_nothing() -> None:
    assert unwrap32(np.zeros(0, dtype=np.uint32)).tolist() == []


def test_unwrap32_of_more_than_one_turn() -> None:
    step = 2**31 - 1
    sequence = (np.arange(7, dtype=np.uint64) * step % 2**32).astype(np.uint32)
    assert unwrap32(sequence)[-1] == 6 * step


def test_a_value_counts_for_the_time_before_its_row() -> None:
    rows = trace(time_ns=[0, 10, 40], srtt_us=[100, 200, 600])
    assert holding_times(rows).tolist() == [0, 10, 30]
    # The value is 200 for 10 ns and 600 for 30 ns.  Nobody knows how long the first row's value was in force.
    assert weighted_mean(rows.srtt_us, holding_times(rows)) == pytest.approx(500.0)


def test_a_cut_keeps_what_was_in_force_at_its_edges() -> None:
    rows = trace(time_ns=[0, 10, 40, 50, 90], srtt_us=[100, 200, 600, 300, 400], snd_una=[0, 1, 2, 3, 4])
    found = rows.cut(20, 70)
    # From 20 to 40 it was 600, then 300 until 50, then 400.
    assert found.time_ns.tolist() == [20, 40, 50, 70]
    assert found.srtt_us.tolist() == [600, 600, 300, 400]
    assert holding_times(found).tolist() == [0, 20, 10, 20]
    assert weighted_mean(found.srtt_us, holding_times(found)) == pytest.approx((20 * 600 + 10 * 300 + 20 * 400) / 50)
    # The ACKs of 40 and 50 moved snd_una from 2 to 4.
    assert acked_bytes(found) == 2


def test_a_cut_between_two_rows_keeps_their_value() -> None:
    rows = trace(time_ns=[0, 10, 40], srtt_us=[100, 200, 600])
    found = rows.cut(15, 25)
    assert (found.time_ns.tolist(), found.srtt_us.tolist()) == ([15, 25], [600, 600])


def test_a_cut_at_a_row_and_beyond_all_rows() -> None:
    rows = trace(time_ns=[0, 10, 40], srtt_us=[100, 200, 600])
    assert rows.cut(10, 40).time_ns.tolist() == [10, 40]
    assert rows.cut(-5, 60).time_ns.tolist() == [0, 10, 40]
    assert rows.cut(20, 60).time_ns.tolist() == [20, 40]
    assert rows.cut(-5, 20).time_ns.tolist() == [0, 10, 20]
    assert len(rows.cut(50, 60)) == len(rows.cut(60, 50)) == len(trace(time_ns=[]).cut(0, 9)) == 0


def test_weighted_mean_without_weight() -> None:
    assert weighted_mean(np.array([1.0]), np.array([0])) is None


@pytest.mark.parametrize(("quantile", "expected"), [(0.1, 1.0), (0.5, 2.0), (0.75, 2.0), (0.76, 3.0), (1.0, 3.0)])
def test_weighted_quantile(quantile: float, expected: float) -> None:
    # The weights are a quarter for 1, a half for 2 and a quarter for 3.  The values are not in order.
    assert weighted_quantile(np.array([3, 1, 2]), np.array([10, 10, 20]), quantile) == expected


def test_several_quantiles_are_those_of_one_at_a_time() -> None:
    rng = np.random.default_rng(3)
    values, weights = rng.integers(0, 50, 200), rng.integers(0, 9, 200)
    shares = (0.0, 0.05, 0.5, 0.95, 0.99, 1.0)
    assert weighted_quantiles(values, weights, shares) == tuple(
        weighted_quantile(values, weights, share) for share in shares
    )
    # Values of which each counts as often as its weight says have the same quantiles.
    repeated = np.sort(np.repeat(values, weights))
    assert weighted_quantiles(values, weights, (0.5,))[0] == repeated[-(-len(repeated) // 2) - 1]
    assert weighted_quantiles(np.zeros(2), np.zeros(2), (0.5, 0.9)) == (None, None)


def test_merged_times_are_distinct_and_in_order() -> None:
    assert merged_times(np.array([1, 1, 4, 9]), np.array([0, 4, 5])).tolist() == [0, 1, 4, 5, 9]
    assert merged_times(np.zeros(0, np.int64), np.zeros(0, np.int64)).tolist() == []


def test_weighted_quantile_of_nothing() -> None:
    assert weighted_quantile(np.zeros(0), np.zeros(0), 0.5) is None


def test_ssthresh_is_told_from_three_quarters_of_the_window() -> None:
    # From a real CUBIC trace: HyStart sets ssthresh to 75.  The reported value then follows the window (76 is 3/4 of
    # 102), until a loss at a window of 140 sets ssthresh to 98.  After recovery, the reported value follows the window
    # again (99 is 3/4 of 132).
    rows = trace(ssthresh=[INFINITE_SSTHRESH, 75, 76, 105, 98, 98, 99], snd_cwnd=[75, 75, 102, 140, 139, 98, 132])
    assert ssthresh(rows).tolist() == [INFINITE_SSTHRESH, 75, 75, 75, 98, 98, 98]


def test_ssthresh_is_known_when_the_window_falls_and_the_report_does_not() -> None:
    # From a real CUBIC trace: 4 is 3/4 of 6, but not of 5, and so it is the threshold.  An ECN mark then sets it to 3.
    rows = trace(ssthresh=[2, 4, 4, 3, 3], snd_cwnd=[2, 6, 5, 4, 3])
    assert ssthresh(rows).tolist() == [2, 2, 4, 3, 3]
    assert reductions(rows).tolist() == [3]


def test_ssthresh_of_nothing() -> None:
    assert ssthresh(trace(ssthresh=[])).tolist() == []


def test_reductions_are_new_thresholds_below_the_window() -> None:
    rows = trace(ssthresh=[INFINITE_SSTHRESH, 75, 76, 105, 98, 98, 99], snd_cwnd=[75, 75, 102, 140, 139, 98, 132])
    assert reductions(rows).tolist() == [4]


def test_two_reductions_to_the_same_threshold_are_two() -> None:
    # Before the second loss sets ssthresh to 93 again, the reported value is 99, which is 3/4 of 133.
    rows = trace(ssthresh=[99, 93, 93, 94, 99, 93], snd_cwnd=[133, 132, 93, 126, 133, 132])
    assert reductions(rows).tolist() == [1, 5]


def test_a_window_that_restarts_after_idling_is_no_reduction() -> None:
    # The window is reduced after an idle period, so the reported value falls from 3/4 of the window to ssthresh.
    assert reductions(trace(ssthresh=[60, 60, 75, 60], snd_cwnd=[80, 80, 100, 10])).tolist() == []


def test_an_algorithm_that_keeps_more_than_three_quarters() -> None:
    # Scalable TCP reduces the window to 7/8 only, so the reported value increases from 75 (3/4 of 100) to 87.
    assert reductions(trace(ssthresh=[60, 75, 87, 87], snd_cwnd=[80, 100, 99, 87])).tolist() == [2]


def test_hystart_is_no_reduction() -> None:
    assert reductions(trace(ssthresh=[INFINITE_SSTHRESH, 64, 64], snd_cwnd=[64, 64, 65])).tolist() == []


def test_an_undone_reduction_does_not_count() -> None:
    rows = trace(ssthresh=[90, 90, 70, 90, 90], snd_cwnd=[100, 100, 95, 100, 101])
    assert reductions(rows).tolist() == []


def test_a_reduction_to_an_earlier_threshold_undoes_nothing() -> None:
    # From a real Reno trace: from 4 to 2; the report follows the window up to 6; then a mark at 8 sets 4 again.
    rows = trace(ssthresh=[4, 4, 2, 3, 6, 4], snd_cwnd=[5, 4, 4, 4, 8, 8])
    assert reductions(rows).tolist() == [2, 5]


def test_a_reduction_to_three_quarters_of_the_next_window_is_told_by_the_state() -> None:
    # From a real trace: the report follows the window up to 10 (14), and the new threshold of 9 is 3/4 of 13.
    columns = {"ssthresh": [5, 10, 9, 9, 9, 7], "snd_cwnd": [7, 14, 13, 9, 11, 10]}
    rows = trace(**columns, in_recovery=[0, 0, 1, 1, 0, 1])
    assert ssthresh(rows).tolist() == [5, 5, 9, 9, 9, 7]
    assert reductions(rows).tolist() == [2, 5]
    # Without the state, the first one cannot be told from growth.
    assert reductions(trace(**columns)).tolist() == [5]


def test_acked_bytes() -> None:
    assert acked_bytes(trace(snd_una=[100, 1548, 2996])) == 2896
    assert acked_bytes(trace(snd_una=[])) == 0


def test_between_keeps_both_ends() -> None:
    assert trace(time_ns=[0, 10, 20, 30]).between(10, 20).time_ns.tolist() == [10, 20]


def bins(arrived: dict[int, int], width: int = 10 * MS) -> Bins:
    """Start of a bin in ms → bytes that arrived in it."""
    return Bins(np.array(list(arrived)) * MS, np.array(list(arrived.values())), width)


def unlimited(_edges_ns: Any) -> None:
    """The path has no rate limit."""


def limited(bps: float) -> Callable[[Any], Any]:
    """The path has a constant rate; of its bytes, all are payload."""
    return lambda edges_ns: np.diff(edges_ns) * bps / 8e9


def rates(arrived: dict[int, int], edges_ms: list[int], carries: Any = unlimited, ahead: int = 1500) -> list[float]:
    found: list[float] = rate_series(bins(arrived), np.array(edges_ms) * MS, carries, ahead, 100 * MS).tolist()
    return found


def test_rate_series_of_a_steady_flow() -> None:
    found = rates(dict.fromkeys(range(0, 300, 10), 1000), [0, 100, 200, 300])
    assert found == pytest.approx([1000 * 8 / 0.01] * 3)


def test_rate_series_is_smooth_on_a_slow_link() -> None:
    # A packet arrives every 70 ms: bins of 100 ms hold one or two of them.
    found = rates({70 * number: 1500 for number in range(1, 30)}, list(range(70, 1871, 100)))
    assert found[1:] == pytest.approx([1500 * 8 / 0.07] * (len(found) - 1), rel=0.01)


def test_rate_series_shows_an_interruption() -> None:
    # Nothing arrives between 100 ms and 700 ms; what arrives then is not spread over the time before.
    arrived = dict.fromkeys([*range(0, 100, 10), *range(700, 800, 10)], 1000)
    assert rates(arrived, list(range(0, 801, 100))) == pytest.approx([800_000, 0, 0, 0, 0, 0, 0, 800_000])


def test_rate_series_needs_a_whole_bin() -> None:
    assert rates({0: 1, 10: 1}, [0]) == []
    assert rates({}, [0, 100, 200]) == [0, 0]


def test_rate_series_never_exceeds_the_link_by_a_packet_that_came_whole() -> None:
    # 60 kbit/s: a packet of 1500 bytes takes 200 ms, and arrives in a single bin.
    arrived = {200 * number - 10: 1500 for number in range(1, 11)}
    assert rates(arrived, list(range(0, 2001, 100)), limited(60_000)) == pytest.approx([60_000] * 20)
    # A packet that comes after a pause has taken as long; what comes too soon is seen.
    late = rates({790: 1500}, list(range(0, 801, 100)), limited(60_000))
    assert late == pytest.approx([0] * 6 + [60_000] * 2)
    too_fast = rates({790: 6000}, list(range(0, 801, 100)), limited(60_000))
    assert too_fast[-1] > 100_000
    assert sum(too_fast) / 80 == pytest.approx(6000)


def test_what_comes_too_soon_does_not_spoil_what_came_before() -> None:
    # A packet each 150 ms at 80 kbit/s, and then many at once.
    arrived = {**{150 * number - 10: 1500 for number in range(1, 11)}, 1600: 30_000}
    found = rates(arrived, list(range(0, 1701, 100)), limited(80_000))
    assert found[:14] == pytest.approx([80_000] * 14)
    assert found[-1] > 1_000_000


def test_rate_series_cuts_a_bin_where_the_rate_changes() -> None:
    # 8 Mbit/s until 55 ms, then 0.8: of the bin from 50 to 60 ms, ten elevenths came before the change.
    def carries(edges_ns: Any) -> Any:
        return np.diff(np.interp(edges_ns / 1e6, [0, 55, 155], [0, 55_000, 65_000]))

    arrived = {**dict.fromkeys(range(0, 50, 10), 10_000), 50: 5500, **dict.fromkeys(range(60, 150, 10), 1000), 150: 500}
    assert rates(arrived, [0, 55, 155], carries) == pytest.approx([8e6, 0.8e6], rel=1e-3)


def test_bins_begin_anew_at_changes() -> None:
    assert (bin_edges_ns(450 * MS, 100 * MS) / MS).tolist() == [0, 100, 200, 300, 450]
    changes = [230 * MS, 250 * MS, 600 * MS, 990 * MS]
    # The second change is too close to the first, and the last to the end.
    assert (bin_edges_ns(1000 * MS, 100 * MS, changes) / MS).tolist() == [
        0,
        100,
        230,
        330,
        430,
        600,
        700,
        800,
        900,
        1000,
    ]
    assert (bin_edges_ns(50 * MS, 100 * MS) / MS).tolist() == [0, 50]


def test_the_rows_of_timeouts_have_the_values_before_them() -> None:
    rows = trace(time_ns=[0, 10, 50, 90, 200], snd_cwnd=[9, 10, 1, 1, 1], ssthresh=[64, 64, 5, 5, 5])
    is_timeout = np.array([False, False, True, True, False])
    found = with_timeouts(rows, is_timeout, 300)
    # 10 until the first timeout at 50, and 1 since then.
    assert found.time_ns.tolist() == [0, 10, 50, 90, 200]
    assert found.snd_cwnd.tolist() == [9, 10, 10, 1, 1]
    assert found.ssthresh.tolist() == [64, 64, 64, 5, 5]
    # If nothing comes after a timeout, its window is that until the end.
    ending = with_timeouts(rows.between(0, 50), is_timeout[:3], 300)
    assert list(zip(ending.time_ns.tolist(), ending.snd_cwnd.tolist(), strict=True))[2:] == [(50, 10), (300, 1)]
    assert with_timeouts(rows, np.zeros(5, dtype=bool), 300) is rows


@pytest.mark.parametrize(
    ("duration_s", "rtt_ms", "expected_ms"),
    [(10, 40, 100), (10, 250, 250), (10, 101, 110), (600, 40, 2000)],
)
def test_bin_width(duration_s: int, rtt_ms: int, expected_ms: int) -> None:
    assert bin_width_ns(duration_s * 10**9, rtt_ms * 1000) == expected_ms * MS
    assert bin_width_ns(duration_s * 10**9, rtt_ms * 1000, 1e9) == max(4000, expected_ms) * MS


def test_decimate_keeps_extrema_and_order() -> None:
    x = np.arange(100_000)
    y = np.sin(x / 50.0)
    y[12_345], y[77_777] = 9.0, -9.0
    fewer_x, fewer_y = decimate(x, y, 100)
    assert len(fewer_x) <= 400
    assert (np.diff(fewer_x) > 0).all()
    assert (fewer_x[0], fewer_x[-1]) == (0, 99_999)
    assert fewer_y.max() == 9.0
    assert fewer_y.min() == -9.0
    assert set(zip(fewer_x.tolist(), fewer_y.tolist(), strict=True)) <= set(zip(x.tolist(), y.tolist(), strict=True))


def test_decimate_leaves_few_points_alone() -> None:
    x, y = decimate(np.array([1, 2]), np.array([3, 4]), 10)
    assert (x.tolist(), y.tolist()) == ([1.0, 2.0], [3.0, 4.0])
