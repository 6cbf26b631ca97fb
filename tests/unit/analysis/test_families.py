# SPDX-License-Identifier: Apache-2.0
"""The families of metrics, on made-up traces of captured trials whose truth is known in closed form."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lab.analysis.ack_samples import CA_STATES, INFINITE_SSTHRESH, AckSamples, StateSamples
from lab.analysis.backlog import Backlog
from lab.analysis.measured import MeasuredFlow, MeasuredProbe, MeasuredTrial
from lab.analysis.metrics import FlowMetrics, trial_metrics
from lab.analysis.metrics.dynamics import dynamics
from lab.analysis.metrics.probe import latency
from lab.analysis.metrics.short_flows import shortest_times_ns, slowdowns_of
from lab.analysis.series import Bins
from lab.evaluation.trial import measure
from lab.store.run import Run
from tests.unit.analysis.planting import planted

Replayed = Callable[[str], Run]
MS = 1_000_000
SECOND = 1000 * MS


def trial_of(replayed: Replayed, name: str, which: str = "") -> MeasuredTrial:
    """Return the first measured trial of an experiment whose id contains *which*."""
    return next(measure(trial) for trial in replayed(name).trials() if trial.ok and which in trial.id)


def arriving(rates: Sequence[float], start_ns: int = 0) -> Bins:
    """Return what arrives in bins of 10 ms at so many bit/s in each second."""
    each = np.repeat(np.array(rates) / 800, 100)
    return Bins(start_ns + np.arange(len(each)) * 10 * MS, np.round(each).astype(np.int64), 10 * MS)


def with_windows(trial: MeasuredTrial, seconds: Mapping[str, tuple[float, float]]) -> MeasuredTrial:
    """Return the trial with flows that run, and are measured, from one time to another."""

    def plant(parts: Any) -> None:
        parts.job["flows"] = [flow for flow in parts.job["flows"] if flow["name"] in seconds]
        parts.record["flows"] = [flow for flow in parts.record["flows"] if flow["name"] in seconds]
        for flow in parts.job["flows"]:
            begin, end = (round(time * SECOND) for time in seconds[flow["name"]])
            flow |= {"start_ns": begin, "duration_ns": end - begin, "measured": {"start_ns": begin, "end_ns": end}}

    kept = replace(trial, flows=tuple(flow for flow in trial.flows if flow.name in seconds))
    return planted(kept, plant)


def row_of(trial: MeasuredTrial, name: str) -> FlowMetrics:
    return next(row for row in trial_metrics(trial) if row.flow == name)


# --- fairness over time ---------------------------------------------------------------------------------------


@pytest.fixture
def pair(replayed: Replayed) -> tuple[MeasuredTrial, str, str]:
    """A trial with two TCP flows that share a bottleneck for ten seconds, and their names."""
    trial = trial_of(replayed, "fairness", "cubic")
    first, second = (flow.name for flow in trial.sharing(trial.bulk_flows[0], trial.bulk_flows)[:2])
    return with_windows(trial, {first: (0, 10), second: (0, 10)}), first, second


def test_flows_that_take_turns_are_fair_only_in_the_long_run(pair: tuple[MeasuredTrial, str, str]) -> None:
    trial, first, second = pair
    turns = replace(trial, arrivals={first: arriving([4e6, 0] * 5), second: arriving([0, 4e6] * 5)})
    # One of two flows has everything in each window: 1/2.
    assert row_of(turns, first).jain_index_over_time == row_of(turns, second).jain_index_over_time == 0.5
    # x and 3x: (1 + 3)² / (2 × (1 + 9)) = 0.8.
    uneven = replace(trial, arrivals={first: arriving([3e6] * 10), second: arriving([1e6] * 10)})
    assert row_of(uneven, first).jain_index_over_time == pytest.approx(0.8)
    # A second without arrivals is left out.
    pause = replace(trial, arrivals={first: arriving([3e6] * 5 + [0] * 5), second: arriving([1e6] * 5 + [0] * 5)})
    assert row_of(pause, first).jain_index_over_time == pytest.approx(0.8)


def test_convergence_is_the_start_of_three_fair_seconds(pair: tuple[MeasuredTrial, str, str]) -> None:
    trial, first, second = pair
    # The second flow needs 4 s; after 1 s it is near its share for a moment.
    late = [0.5e6, 1.8e6, 0.6e6, 1.0e6, 1.7e6, 2.1e6, 2e6, 2e6, 2e6, 2e6]
    found = replace(trial, arrivals={first: arriving([4e6 - rate for rate in late]), second: arriving(late)})
    assert row_of(found, first).convergence_s == row_of(found, second).convergence_s == 4.0
    # 20 % off the mean of 2 Mbit/s are allowed.
    for rate, expected in ((1.61e6, 0.0), (1.59e6, None)):
        steady = replace(trial, arrivals={first: arriving([4e6 - rate] * 10), second: arriving([rate] * 10)})
        assert row_of(steady, second).convergence_s == expected
    # The time counts from the flow's own start.
    moved = with_windows(trial, {first: (0, 10), second: (3, 10)})
    moved = replace(
        moved,
        arrivals={
            first: arriving([4e6] * 5 + [2e6] * 5),
            second: arriving([0, 0, 2e6, 2e6, 2e6, 2e6, 2e6], 3 * SECOND),
        },
    )
    assert row_of(moved, second).convergence_s == 2.0
    # The first one has nobody to share with for 3 s, which do not count.
    assert row_of(moved, first).convergence_s == 2.0


def test_a_flow_alone_has_nobody_to_share_with(pair: tuple[MeasuredTrial, str, str]) -> None:
    trial, first, _second = pair
    alone = with_windows(trial, {first: (0, 10)})
    row = row_of(replace(alone, arrivals={first: arriving([4e6] * 10)}), first)
    assert (row.jain_index, row.jain_index_over_time, row.convergence_s, row.group_share) == (None,) * 4


def test_variation_is_that_of_whole_seconds(pair: tuple[MeasuredTrial, str, str]) -> None:
    trial, first, second = pair
    found = replace(trial, arrivals={first: arriving([1e6, 3e6] * 5), second: arriving([2e6] * 10)})
    # The mean is 2, and every second differs from it by 1.
    assert row_of(found, first).goodput_cv == pytest.approx(0.5)
    assert row_of(found, second).goodput_cv == 0
    short = with_windows(trial, {first: (0, 1.9), second: (0, 10)})
    assert row_of(replace(short, arrivals=found.arrivals), first).goodput_cv is None


# --- a sender over time ----------------------------------------------------------------------------------------


def samples_of(*rows: tuple[float, int, int]) -> AckSamples:
    """(time in ms, cwnd, ssthresh) of each row."""
    times, windows, thresholds = np.array(rows, dtype=np.float64).reshape(-1, 3).T
    nothing = np.zeros(len(rows))
    columns = (times * MS, nothing, nothing, windows, thresholds, nothing + 20_000, nothing)
    names = ("time_ns", "snd_nxt", "snd_una", "snd_cwnd", "ssthresh", "srtt_us", "in_recovery")
    return AckSamples.from_columns(dict(zip(names, columns, strict=True)))


def states_of(*rows: tuple[float, str]) -> StateSamples:
    """(time in ms, the state that was in force until then) of each row."""
    times = np.array([round(time * MS) for time, _name in rows])
    return StateSamples(times, np.array([CA_STATES.index(name) for _time, name in rows]), np.zeros(len(rows), np.bool_))


@pytest.fixture
def alone(replayed: Replayed) -> tuple[MeasuredTrial, MeasuredFlow]:
    """A trial with one CUBIC flow that is measured from its start at 0 until 10 s."""
    trial = with_windows(trial_of(replayed, "loss", "cubic"), {"bulk": (0, 10)})
    return trial, trial.flows[0]


def test_slow_start_ends_when_the_window_reaches_its_threshold(alone: tuple[MeasuredTrial, MeasuredFlow]) -> None:
    trial, flow = alone
    # The window doubles with each round trip of 20 ms: 10 × 2⁴ = 160 after four.  HyStart ends it there.
    rows = [(20 * trip, 10 * 2**trip, INFINITE_SSTHRESH) for trip in range(5)]
    ended = samples_of(*rows, (100, 160, 160), (120, 161, 160))
    found = dynamics(trial, replace(flow, samples=ended))
    # The row at 100 ms tells what was in force since 80 ms.
    assert (found.slow_start_s, found.slow_start_peak_segments) == (0.08, 160)
    # 4 Mbit/s for 20 ms and what the calibration found are 6.6 packets, and the queue holds 20 000 bytes.
    base_us = row_of(trial, "bulk").base_rtt_us
    assert base_us is not None
    assert found.slow_start_overshoot == pytest.approx(160 / ((4e6 * base_us / 8e6 + 20_000) / 1514))
    # After a loss, the window is above its threshold as well.
    lost = samples_of(*rows, (100, 112, 112), (120, 112, 112))
    assert dynamics(trial, replace(flow, samples=lost)).slow_start_s == 0.08
    # It goes on until the end, or nothing is known.
    for never in (samples_of(*rows), samples_of(), None):
        nothing = dynamics(trial, replace(flow, samples=never))
        assert (nothing.slow_start_s, nothing.slow_start_peak_segments, nothing.slow_start_overshoot) == (None,) * 3


def test_shares_of_the_states_are_over_time(alone: tuple[MeasuredTrial, MeasuredFlow]) -> None:
    trial, flow = alone
    states = states_of((0, "Open"), (6000, "Open"), (6500, "Disorder"), (8500, "Recovery"), (9000, "Open"),
                       (9600, "Loss"), (10_000, "Open"))  # fmt: skip
    found = dynamics(trial, replace(flow, states=states))
    shares = (
        found.state_open_share,
        found.state_disorder_share,
        found.state_cwr_share,
        found.state_recovery_share,
        found.state_loss_share,
    )
    assert shares == pytest.approx((0.69, 0.05, 0.0, 0.2, 0.06))
    # From 6.5 to 8.5 s, and from 9 to 9.6 s.
    assert found.recoveries == 2
    assert found.recovery_mean_s == pytest.approx(1.3)
    # A change from Recovery to Loss is one stay; one that does not end is none.
    stay = states_of((0, "Open"), (1000, "Open"), (1500, "Recovery"), (2000, "Loss"), (5000, "Open"), (9000, "Loss"))
    long = dynamics(trial, replace(flow, states=stay))
    assert long.recoveries == 1
    assert long.recovery_mean_s == pytest.approx(1.0)
    calm = dynamics(trial, replace(flow, states=states_of((0, "Open"), (9000, "Open"))))
    assert (calm.state_open_share, calm.recoveries, calm.recovery_mean_s) == (1.0, 0, None)
    unknown = dynamics(trial, replace(flow, states=None))
    assert (unknown.state_open_share, unknown.recoveries) == (None, None)


def test_only_the_measured_window_counts(alone: tuple[MeasuredTrial, MeasuredFlow]) -> None:
    trial, flow = alone
    cut = replace(flow, asked={**flow.asked, "measured": {"start_ns": 6 * SECOND, "end_ns": 9 * SECOND}})
    states = states_of(
        (0, "Open"), (6500, "Open"), (8000, "Recovery"), (9500, "Open"), (9700, "Recovery"), (9800, "Open")
    )
    found = dynamics(trial, replace(cut, states=states))
    # Of 3 s: 0.5 s open, 1.5 s in recovery, 1 s open.
    assert found.state_open_share == found.state_recovery_share == pytest.approx(0.5)
    assert (found.recoveries, found.slow_start_s) == (1, None)
    assert found.recovery_mean_s == pytest.approx(1.5)


def test_bbr_s_slow_start_is_its_startup(alone: tuple[MeasuredTrial, MeasuredFlow]) -> None:
    trial, flow = alone
    samples = samples_of(*((20 * trip, 10 * (trip + 1), INFINITE_SSTHRESH) for trip in range(7)))
    startup = StateSamples(
        samples.time_ns, np.zeros(7, np.int64), np.array([False, True, True, True, False, False, False])
    )
    result: Any = {**flow.result, "congestion_control": "bbr"}
    found = dynamics(trial, replace(flow, samples=samples, states=startup, result=result))
    # The row at 80 ms is the first without it, so that it ended at 60 ms, when the window was 40.
    assert (found.slow_start_s, found.slow_start_peak_segments) == (0.06, 40)
    without = dynamics(trial, replace(flow, samples=samples, states=None, result=result))
    assert without.slow_start_s is None


def test_a_rise_of_the_rate_is_answered_when_90_percent_arrive(alone: tuple[MeasuredTrial, MeasuredFlow]) -> None:
    trial, _flow = alone

    def rising(*changes: tuple[float, int]) -> MeasuredTrial:
        def plant(parts: Any) -> None:
            way = parts.bottleneck()
            way["changes"] = [
                {"at_ns": round(at * SECOND), "rate_bps": rate, "queue": way["queue"], "netem": None}
                for at, rate in changes
            ]

        return planted(trial, plant)

    # 4 Mbit/s carry 3.83 of payload, and 8 carry 7.65, of which 90 % are 6.89.  They arrive from 6.3 s on.
    rates = np.full(100, 3.8e6)
    rates[63:] = 7.6e6
    bins = Bins(np.arange(100) * 100 * MS, (rates / 80).astype(np.int64), 100 * MS)
    after = row_of(replace(rising((5, 8_000_000)), arrivals={"bulk": bins}), "bulk")
    # A window of 1 s needs 81.3 % at the new rate: 3.8 + 3.8 × 0.813 = 6.89.
    assert after.rate_rise_recovery_s == pytest.approx(1.2)
    assert row_of(replace(rising((5, 2_000_000)), arrivals={"bulk": bins}), "bulk").rate_rise_recovery_s is None
    assert row_of(replace(rising((5, 16_000_000)), arrivals={"bulk": bins}), "bulk").rate_rise_recovery_s is None
    # The next change came too early.
    early = rising((5, 8_000_000), (7, 8_400_000))
    assert row_of(replace(early, arrivals={"bulk": bins}), "bulk").rate_rise_recovery_s is None
    # A rise that lasts for less than a window is left out.
    brief = rising((5, 8_000_000), (5.5, 4_000_000))
    assert row_of(replace(brief, arrivals={"bulk": bins}), "bulk").rate_rise_recovery_s is None
    # Of two rises, the mean: the one at 8 s is answered at once.
    two = rising((5, 8_000_000), (8, 8_400_000))
    assert row_of(replace(two, arrivals={"bulk": bins}), "bulk").rate_rise_recovery_s == pytest.approx(0.6)


# --- the link ---------------------------------------------------------------------------------------------------


def queue_of(removed: Sequence[int], left: Sequence[int], entered: Sequence[int]) -> Backlog:
    """Return a queue in rows of one second."""
    number = len(removed)
    starts, nothing = np.arange(number) * SECOND, np.zeros(number, np.int64)
    lengths = nothing + SECOND
    return Backlog(starts, lengths, nothing, nothing, nothing, nothing, *map(np.array, (left, removed, entered)))


def test_utilisation_is_what_left_of_what_could_leave(alone: tuple[MeasuredTrial, MeasuredFlow]) -> None:
    trial, flow = alone
    assert flow.bottleneck is not None
    place = trial.place_of(flow.bottleneck)
    assert place is not None
    # 4 Mbit/s are 500 000 bytes/s.  In ten seconds 5 MB could leave, and 4 MB do.
    half = [400_000] * 10
    full = replace(trial, queues={**trial.queues, place: queue_of(half, [400] * 10, [400] * 10)})
    assert row_of(full, "bulk").utilisation == pytest.approx(0.8)
    # A discipline drops 40 full packets in each second that it had accepted.
    dropping = replace(trial, queues={**trial.queues, place: queue_of(half, [360] * 10, [400] * 10)})
    assert row_of(dropping, "bulk").utilisation == pytest.approx(0.8 - 40 * 1514 / 500_000)
    gone = replace(trial, queues={})
    assert row_of(gone, "bulk").utilisation is None


def test_power_is_goodput_per_delay(alone: tuple[MeasuredTrial, MeasuredFlow]) -> None:
    trial, _flow = alone
    row = row_of(trial, "bulk")
    assert row.goodput_bps is not None
    assert row.srtt_mean_us is not None
    assert row.power_bps_per_s == pytest.approx(row.goodput_bps / row.srtt_mean_us * 1e6)


def test_losses_of_the_queue_are_not_those_of_the_link(alone: tuple[MeasuredTrial, MeasuredFlow]) -> None:
    trial, flow = alone
    assert flow.bottleneck is not None
    place = trial.place_of(flow.bottleneck)
    assert place is not None
    lost = replace(
        trial, dropped_by_queues={("bulk", *place): 7, ("bulk", "elsewhere", "eth0"): 5, ("other", *place): 3}
    )
    assert row_of(lost, "bulk").bottleneck_loss_share == pytest.approx(7 / flow.sent_packets)
    assert row_of(replace(trial, dropped_by_queues={}), "bulk").bottleneck_loss_share == 0


# --- probes and short flows --------------------------------------------------------------------------------------


def test_latency_of_a_probe() -> None:
    asked: Any = {"name": "echo"}
    # 1 to 99 ms, and one without an answer.
    found = latency(MeasuredProbe(asked, np.array([0, *range(1, 100)]) * MS))
    assert found.requests == 100
    assert found.unanswered_share == pytest.approx(0.01)
    assert (found.latency_min_us, found.latency_max_us) == (1000, 99_000)
    assert found.latency_mean_us == pytest.approx(50_000)
    # The smallest values that are at least as large as 50, 95 and 99 % of 99 values.
    assert (found.latency_median_us, found.latency_p95_us, found.latency_p99_us) == (50_000, 95_000, 99_000)
    silent = latency(MeasuredProbe(asked, np.zeros(3, np.int64)))
    assert (silent.requests, silent.unanswered_share, silent.latency_mean_us) == (3, 1.0, None)
    nothing = latency(MeasuredProbe(asked, np.zeros(0, np.int64)))
    assert (nothing.requests, nothing.unanswered_share) == (0, None)


def test_the_shortest_time_of_a_short_flow() -> None:
    job: Any = {"mtu": 1500, "ip": "ipv4"}
    # 1448 bytes are one frame of 1514; 1449 are two frames with 66 more bytes of headers.
    times = shortest_times_ns(job, np.array([1448, 1449, 14_480]), 8e6, 20_000)
    handshake = 30 * MS
    assert times.tolist() == pytest.approx([handshake + 1_514_000, handshake + 1_581_000, handshake + 15_140_000])


def test_slowdown_is_relative_to_the_shortest_time(replayed: Replayed) -> None:
    trial = trial_of(replayed, "short_flows")
    flow = next(flow for flow in trial.flows if not flow.is_iperf)
    found, base = slowdowns_of(trial, flow), flow.base_rtt_us
    assert found is not None
    assert base is not None
    assert flow.measured_completions is not None
    row = row_of(trial, flow.name)
    assert found.min() >= 1
    done = flow.measured_completions
    by_hand = [
        took / (1.5e3 * base + (size + 66 * -(-size // 1448)) * 8e9 / 4e6)
        for took, size in zip(done.fct_ns.tolist(), done.bytes.tolist(), strict=True)
        if took
    ]
    assert row.slowdown_mean == pytest.approx(sum(by_hand) / len(by_hand))
    assert row.slowdown_median == pytest.approx(sorted(by_hand)[(len(by_hand) - 1) // 2])
    assert row.slowdown_p95 is not None
    assert row.slowdown_median is not None
    assert row.slowdown_p95 >= row.slowdown_median
    assert row.unfinished_share == pytest.approx(1 - len(by_hand) / len(done))

    def plant(parts: Any) -> None:
        way = parts.bottleneck()
        way["changes"] = [{"at_ns": 10**8, "rate_bps": 1_000_000, "queue": way["queue"], "netem": None}]

    # Whether a rate that changes would allow a time depends on when a flow starts.
    changed = planted(trial, plant)
    assert row_of(changed, flow.name).slowdown_mean is None
