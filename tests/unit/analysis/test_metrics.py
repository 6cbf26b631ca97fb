# SPDX-License-Identifier: Apache-2.0
"""Every measure of every captured flow, against the same worked out of the raw record in another way."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lab.analysis.metrics import FlowMetrics
from lab.evaluation.trial import evaluate_trial
from lab.report.model import Report
from lab.store.run import Run
from tests.data.capture import EXPERIMENTS, names
from tests.data.raw import RawTrial, Row, mean, quantile, rank, weighted

Raw = Callable[[str], dict[str, RawTrial]]
Flows = list[tuple[RawTrial, dict[str, Any], FlowMetrics]]

_MOMENTS = [int(line) for line in (EXPERIMENTS / "capacity" / "steps.mahimahi").read_text().split()]
CAPACITY_BPS = round(
    sum(at + period < 3000 for period in range(0, 3000, _MOMENTS[-1]) for at in _MOMENTS) * 1514 * 8 / 3
)
"""At each of its moments, in ms, a full packet may leave; after the last it begins anew.  The trial takes 3 s."""

DECLARED: dict[str, tuple[set[int], set[float], set[int], set[float]]] = {
    # bottleneck in bit/s, RTT in µs, queue in bytes, loss
    "capacity": ({CAPACITY_BPS}, {20_000}, {20 * 1514}, {0}),
    "crowd": ({4_000_000}, {10_000}, {120 * 1514}, {0}),
    "everything": ({4_000_000}, {20_000}, {8 * 1514}, {0.01}),
    "failed": ({4_000_000}, {20_000}, {10_000}, {0}),
    "fairness": ({4_000_000}, {10_000, 20_000}, {40 * 1514}, {0}),
    "kernels": ({4_000_000}, {20_000}, {10_000}, {0.01}),
    "loss": ({4_000_000}, {20_000}, {20_000}, {0, 0.002, 0.02}),
    "measured": ({4_000_000}, {10_000}, {20 * 1514}, {0.01}),
    "native": ({20_000_000}, {0}, {50 * 1514}, {0}),
    # A second at 4, one at 2, one at 4 Mbit/s.
    "schedule": ({3_333_333}, {20_000}, {16 * 1514}, {0}),
    "short_flows": ({4_000_000}, {10_000}, {20 * 1514}, {0}),
    "udp": ({2_000_000}, {10_000}, {20 * 1514, 100 * 1514}, {0}),
}


@pytest.fixture(params=names())
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def flows(name: str, reports: Callable[[str], Report], raw: Raw) -> Flows:
    """(raw trial, the flow in its job, its metrics)."""
    found = []
    for result in reports(name).done:
        trial = raw(name)[result.trial.id]
        assert [row.flow for row in result.metrics] == [flow["name"] for flow in trial.job["flows"]]
        found += [(trial, asked, row) for asked, row in zip(trial.job["flows"], result.metrics, strict=True)]
    assert found
    return found


def result_of(trial: RawTrial, asked: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(flow for flow in trial.record["flows"] if flow["name"] == asked["name"])
    return found


def moved(rows: list[Row]) -> int:
    """Bytes that were acknowledged between the first and the last row: 32-bit numbers that wrap."""
    steps = ((after["snd_una"] - row["snd_una"]) % 2**32 for row, after in itertools.pairwise(rows))
    return sum(step - 2**32 if step >= 2**31 else step for step in steps)


def test_what_was_asked_and_read_back(flows: Flows) -> None:
    for trial, asked, row in flows:
        assert (row.group, row.source, row.destination) == (asked["group"], asked["source"], asked["destination"])
        assert row.congestion_control == result_of(trial, asked)["congestion_control"]
        assert (row.start_s, row.duration_s) == (asked["start_ns"] / 1e9, asked["duration_ns"] / 1e9)


def test_what_is_declared(name: str, flows: Flows) -> None:
    rates, rtts, queues, losses = DECLARED[name]
    assert {row.bottleneck_bps for _, _, row in flows} == rates
    assert {row.declared_rtt_us for _, _, row in flows} == rtts
    assert {row.queue_bytes for _, _, row in flows} == queues
    assert {round(row.declared_loss, 12) for _, _, row in flows} == losses
    # Of 1500 bytes, headers of IP and TCP with its time stamps are not payload; 14 more are Ethernet's.
    payload = 1428 if name == "fairness" else 1448
    assert {row.ceiling for _, _, row in flows} == {payload / 1514}


def test_goodput(flows: Flows) -> None:
    for trial, asked, row in flows:
        expected = trial.goodput_bps(asked["name"])
        if expected is None:
            nothing = (row.goodput_bps, row.goodput_bytes, row.goodput_interval_s, row.sender_bps, row.share_of_link)
            assert (*nothing, row.measured_from_s, row.measured_to_s, row.retransmits) == (None,) * 8
            continue
        start, end, _ = trial.window(asked["name"])
        assert (row.measured_from_s, row.measured_to_s) == (start / 1e9, end / 1e9)
        assert row.goodput_bps == pytest.approx(expected)
        assert row.bottleneck_bps is not None
        assert row.share_of_link == pytest.approx(expected / row.bottleneck_bps)
        if asked["arrivals"]:
            assert row.goodput_bytes is not None
            assert row.goodput_interval_s is not None
            assert row.goodput_bytes * 8 / row.goodput_interval_s == pytest.approx(expected)
            assert row.sender_bps == row.goodput_bps
            continue
        arrived, sent = trial.counted(asked["name"], "arrived"), trial.counted(asked["name"], "sent")
        assert row.goodput_bytes == arrived["bytes"] - arrived["again_bytes"]
        assert row.goodput_interval_s == pytest.approx(trial.goodput_interval_s(asked["name"]))
        first_copies = sent["bytes"] - sent["again_bytes"] - sent["first_bytes"]
        assert row.sender_bps == pytest.approx(8e9 * first_copies / (sent["last_ns"] - sent["first_ns"]))


def test_what_was_sent_again_or_lost(flows: Flows) -> None:
    for trial, asked, row in flows:
        info = result_of(trial, asked)["tcp_info"]
        is_udp = asked["protocol"] == "udp"
        if asked["arrivals"]:
            own = trial.short(asked["name"])
            assert row.retransmits == sum(one["retransmissions"] for one in own)
        elif not is_udp and row.measured_from_s is not None:
            assert row.retransmits == trial.retransmits(asked["name"])
        assert (row.retransmits is None) == (is_udp or row.measured_from_s is None)
        expected = info["total_retrans"] / info["data_segs_out"] if info else None
        if info and not trial.window(asked["name"])[2]:
            sent = trial.counted(asked["name"], "sent")
            expected = sent["again_packets"] / sent["packets"] if sent["packets"] else None
        assert row.retransmitted_share == (pytest.approx(expected) if expected is not None else None)
        if is_udp:
            assert row.datagrams_lost_share == pytest.approx(trial.lost_share(asked["name"]))
            counts = trial.datagrams(asked["name"])
            assert row.jitter_mean_us == pytest.approx(counts["jitter_sum_ns"] / 1e3 / counts["arrived"])
            assert row.jitter_last_us == counts["jitter_last_ns"] / 1e3
            assert row.reordered_share == counts["reordered"] / counts["arrived"]
            is_any = counts["extents"] > 0
            assert row.reordering_extent_max == (counts["extent_max"] if is_any else None)
            assert row.reordering_extent_mean == (counts["extent_sum"] / counts["extents"] if is_any else None)
        else:
            nothing = (row.jitter_mean_us, row.jitter_last_us, row.reordered_share)
            assert (*nothing, row.reordering_extent_mean, row.reordering_extent_max) == (None,) * 5
            assert row.datagrams_lost_share is None


def test_round_trip_times_and_windows_are_means_over_time(flows: Flows) -> None:
    for trial, asked, row in flows:
        is_traced = "tcp_probe" in trial.record["collectors"] and asked["protocol"] == "tcp" and not asked["arrivals"]
        base = trial.base_rtt_us(asked["name"])
        assert row.base_rtt_us == pytest.approx(base)
        assert row.min_rtt_us == result_of(trial, asked)["tcp_info"].get("min_rtt")
        if not is_traced or row.measured_from_s is None:
            nothing = (row.srtt_mean_us, row.srtt_p95_us, row.srtt_max_us, row.cwnd_mean_segments)
            assert (*nothing, row.acked_bps, row.window_reductions) == (None,) * 6
            assert (row.srtt_inflation_mean_us, row.srtt_inflation_p95_us) == (None, None)
            continue
        rows = trial.measured_rows(asked["name"])
        srtt = weighted(rows, "srtt_us")
        assert row.srtt_mean_us == pytest.approx(mean(srtt))
        assert row.srtt_median_us == quantile(srtt, 0.5)
        assert row.srtt_p95_us == quantile(srtt, 0.95)
        assert row.srtt_max_us == max(one["srtt_us"] for one in rows)
        above = [
            (value - level, took)
            for before, one in itertools.pairwise(rows)
            for value, level, took in pieces(before, one, trial.base_rtts_us(asked["name"]))
        ]
        assert row.srtt_inflation_mean_us == pytest.approx(mean(above))
        assert row.srtt_inflation_p95_us == pytest.approx(quantile(above, 0.95))
        assert row.cwnd_mean_segments == pytest.approx(mean(weighted(rows, "snd_cwnd")))
        assert row.acked_bps == pytest.approx(moved(rows) * 8e9 / (rows[-1]["t"] - rows[0]["t"]))


def pieces(before: Row, row: Row, base: list[tuple[int, float]]) -> list[tuple[float, float, int]]:
    """(srtt, base RTT, how long) of the time from a row to the next; a change of the base RTT cuts it in two."""
    cuts = [before["t"], *(at for at, _ in base if before["t"] < at < row["t"]), row["t"]]
    if not row["srtt_us"]:
        return []
    return [
        (row["srtt_us"], [level for at, level in base if at <= start][-1], end - start)
        for start, end in itertools.pairwise(cuts)
    ]


def test_packets_wait_as_long_as_the_queues_are(flows: Flows) -> None:
    for trial, asked, row in flows:
        expected = trial.waits_ms(asked["name"])
        if expected is None:
            assert (row.queueing_delay_mean_us, row.queueing_delay_p95_us) == (None, None)
            continue
        mean_ms, p95_ms = expected
        assert row.queueing_delay_mean_us == pytest.approx(mean_ms * 1e3)
        assert row.queueing_delay_p95_us == pytest.approx(p95_ms * 1e3)


def test_what_the_bottleneck_carried_and_dropped(flows: Flows) -> None:
    for trial, asked, row in flows:
        begin, end, _ = trial.window(asked["name"])
        place = trial.bottleneck(asked["name"])
        assert place is not None
        link, node = place
        (interface,) = (
            port["interface"]
            for port in trial.record["interfaces"]
            if (port["link"], port["node"], port["role"]) == (link, node, "egress")
        )
        here = (node, interface)
        sent = trial.counted(asked["name"], "sent")["packets"]
        dropped = sum(
            one["packets"]
            for one in trial.rows("losses")
            if (one["flow"], one["way"], one["node"], one["interface"]) == (asked["name"], "forward", *here)
            and begin <= one["t"] < end
            # A queue is full; that of a link with a capacity file is; codel drops what it dequeues.
            and (one["reason"] in ("QDISC_DROP", "TC_EGRESS") or "codel" in one["location"])
        )
        if begin == end:
            assert (row.utilisation, row.bottleneck_loss_share) == (None, None)
            continue
        if sent:
            assert row.bottleneck_loss_share is not None
            assert row.bottleneck_loss_share * sent == pytest.approx(dropped)
        way = next(one for one in trial.job["links"] if one["name"] == link)
        direction = way["ab"] if way["a"] == node else way["ba"]
        if direction["capacity"] or direction["changes"]:
            continue
        own = [one for one in trial.rows("backlog") if (one["node"], one["interface"]) == here]
        inside = [
            max(0, min(end, one["t"] + one["length_ns"]) - max(begin, one["t"])) / one["length_ns"] for one in own
        ]
        removed = sum(one["removed_bytes"] * share for one, share in zip(own, inside, strict=True))
        # With offloads, a packet may be cut in the queue, so that more leave than have entered.
        gone = max(0, sum(one["entered_packets"] - one["left_packets"] for one in own)) * 1514
        left = 1 - gone / sum(one["removed_bytes"] for one in own)
        assert row.utilisation is not None
        assert row.utilisation == pytest.approx(removed * left * 8e9 / (end - begin) / direction["rate_bps"])
        # Two packets can be in the bucket of tbf.
        assert row.utilisation <= 1 + 2 * 1514 * 8e9 / (end - begin) / direction["rate_bps"]


def test_states_are_weighted_by_time(flows: Flows) -> None:
    for trial, asked, row in flows:
        shares = (
            row.state_open_share,
            row.state_disorder_share,
            row.state_cwr_share,
            row.state_recovery_share,
            row.state_loss_share,
        )
        if row.srtt_mean_us is None or trial.job["collectors"]["tcp_probe"].get("record") == "cwnd_change":
            assert (*shares, row.recoveries, row.recovery_mean_s) == (None,) * 7
            continue
        begin, end, _ = trial.window(asked["name"])
        held: Counter[str] = Counter()
        state = ""
        rows = trial.acks(asked["name"])
        for before, one in itertools.pairwise(rows):
            # A timeout's row has the state after the timeout, and the one before it had that until then.
            state = before["ca_state"] if one["is_transmit"] == "timeout" else one["ca_state"]
            held[state] += max(0, min(one["t"], end) - max(before["t"], begin))
        total = sum(held.values())
        names = ("Open", "Disorder", "CWR", "Recovery", "Loss")
        assert shares == pytest.approx(tuple(held[name] / total for name in names), abs=1e-3)


def test_shares_of_groups(flows: Flows) -> None:
    for trial, asked, row in flows:
        here = trial.bottleneck(asked["name"])
        rates = {
            one["name"]: (one["group"], trial.goodput_bps(one["name"]))
            for one in trial.job["flows"]
            if trial.bottleneck(one["name"]) == here
        }
        known = [(group, rate) for group, rate in rates.values() if rate is not None]
        if row.measured_from_s is None or len({group for group, _rate in known}) < 2:
            assert row.group_share is None
            continue
        own = sum(rate for group, rate in known if group == asked["group"])
        assert row.group_share == pytest.approx(own / sum(rate for _group, rate in known))


def test_probes_have_rows_of_their_own(name: str, reports: Callable[[str], Report], raw: Raw) -> None:
    for result in reports(name).done:
        trial = raw(name)[result.trial.id]
        assert [probe.name for probe in result.probes] == [probe["name"] for probe in trial.job["probes"]]
        for found, asked in zip(result.probes, trial.job["probes"], strict=True):
            numbers = {row["probe"]: row for row in trial.rows("latency")}
            assert asked["name"] in numbers
            begin, end = asked["measured"]["start_ns"], asked["measured"]["end_ns"]
            is_whole = (begin, end) == (asked["start_ns"], asked["start_ns"] + asked["duration_ns"])
            sent = [
                row["rtt_ns"] / 1e3
                for row in trial.rows("latency")
                if row["probe"] == asked["name"] and (is_whole or begin <= row["t"] < end)
            ]
            times = [one for one in sent if one]
            assert found.requests == len(sent)
            assert found.unanswered_share == pytest.approx(1 - len(times) / len(sent))
            assert found.latency_mean_us == pytest.approx(sum(times) / len(times))
            quantiles = (found.latency_median_us, found.latency_p95_us, found.latency_p99_us)
            assert quantiles == tuple(rank(times, share) for share in (0.5, 0.95, 0.99))
            assert (found.latency_min_us, found.latency_max_us) == (min(times), max(times))


def test_drops_and_marks_of_a_flow_are_those_on_its_way(flows: Flows) -> None:
    for trial, asked, row in flows:
        begin, end = asked["measured"]["start_ns"], asked["measured"]["end_ns"]
        own = [one for one in trial.rows("losses") if one["flow"] == asked["name"] and begin <= one["t"] < end]
        assert row.dropped_packets == sum(
            one["packets"]
            for one in own
            if (one["way"], one["interface"] is None) == ("forward", False)
            # The receiving host's kernel frees what has arrived, if it is a duplicate or its socket is closed.
            and (one["node"] != asked["destination"] or one["location"] == "__dev_queue_xmit")
        )
        assert row.marked_packets == result_of(trial, asked)["accounts"]["sides"]["arrived"]["measured"]["ce_packets"]


def test_the_window_was_reduced_where_the_kernel_says_that_it_was_in_trouble(flows: Flows) -> None:
    for trial, asked, row in flows:
        if row.srtt_mean_us is None:
            continue
        if row.congestion_control == "bbr":
            assert row.window_reductions is None
            continue
        start, end, is_whole = trial.window(asked["name"])
        pairs = [
            (before, after)
            for before, after in itertools.pairwise(trial.sending(asked["name"]))
            if is_whole or start <= before["t"] < end
        ]
        entered = sum(
            before["ca_state"] == "Open"
            and after["ca_state"] in ("Recovery", "CWR")
            and before["ssthresh"] != after["ssthresh"] < before["snd_cwnd"]
            for before, after in pairs
        )
        # A recovery may follow another between two rows, and a threshold may rise again.
        changed = sum(before["ssthresh"] != after["ssthresh"] for before, after in pairs)
        assert row.window_reductions is not None
        assert entered <= row.window_reductions <= changed


def test_what_the_socket_waited_for(flows: Flows) -> None:
    for trial, asked, row in flows:
        info = result_of(trial, asked)["tcp_info"]
        if not info:
            assert (row.busy_s, row.rwnd_limited_share, row.sndbuf_limited_share) == (None, None, None)
            continue
        assert row.busy_s == pytest.approx(info["busy_time"] * 1e-6)
        assert row.rwnd_limited_share == pytest.approx(info["rwnd_limited"] / info["busy_time"])
        assert row.sndbuf_limited_share == pytest.approx(info["sndbuf_limited"] / info["busy_time"])


def test_fairness_is_over_the_long_tcp_flows_that_share_a_bottleneck(flows: Flows) -> None:
    for trial, asked, row in flows:
        long = [one["name"] for one in trial.job["flows"] if one["protocol"] == "tcp" and not one["arrivals"]]
        sharing = [one for one in long if trial.bottleneck(one) == trial.bottleneck(asked["name"])]
        if asked["name"] not in long or len(sharing) == 1:
            assert row.jain_index is None
            continue
        if row.measured_from_s is None:
            assert row.jain_index is None
            continue
        rates = [rate for one in sharing if (rate := trial.goodput_bps(one)) is not None]
        assert row.jain_index == pytest.approx(sum(rates) ** 2 / len(rates) / sum(rate**2 for rate in rates))


def test_completion_times(flows: Flows) -> None:
    for trial, asked, row in flows:
        if not asked["arrivals"]:
            assert (row.fct_median_us, row.fct_p95_us) == (None, None)
            continue
        times = [one["fct_ns"] for one in trial.short(asked["name"]) if one["fct_ns"] > 0]
        assert len(times) > 10
        assert row.fct_median_us == pytest.approx(rank(times, 0.5) / 1e3)
        assert row.fct_p95_us == pytest.approx(rank(times, 0.95) / 1e3)


def test_the_processor(flows: Flows) -> None:
    for trial, _asked, row in flows:
        cpu = trial.record["cpu"]
        assert row.cpu_busy_share == pytest.approx(cpu["busy_ns"] / cpu["total_ns"])


def test_curves_hold_what_the_rows_say(name: str, replayed: Callable[[str], Run], raw: Raw) -> None:
    for trial in replayed(name).trials():
        result = evaluate_trial(trial)
        for flow, curves in result.curves.items():
            rows = raw(name)[trial.id].sending(flow)
            windows = {(row["t"] / 1e9, row["snd_cwnd"]) for row in rows}
            assert {(x, y) for x, y in zip(*curves.cwnd, strict=True)} <= windows
            # What is left out is neither the first, the last, the highest nor the lowest.
            assert (curves.cwnd[0][0], curves.cwnd[0][-1]) == (rows[0]["t"] / 1e9, rows[-1]["t"] / 1e9)
            assert max(curves.cwnd[1]) == max(row["snd_cwnd"] for row in rows)
            assert min(curves.cwnd[1]) == min(row["snd_cwnd"] for row in rows)
            assert len(curves.cwnd[0]) >= min(len(rows), 500)
            times = {(row["t"] / 1e9, row["srtt_us"] / 1e3) for row in rows if row["srtt_us"]}
            assert {(x, y) for x, y in zip(*curves.srtt, strict=True)} <= times
            assert max(curves.srtt[1]) == max(value for _, value in times)
            # The bins hold what arrived in the declared time, and no bin more than the link carries.
            edges, rates = curves.goodput
            binned = sum(rates[:-1] * np.diff(edges)) / 8
            result = next(one for one in raw(name)[trial.id].record["flows"] if one["name"] == flow)
            arrived = result["accounts"]["sides"]["arrived"]["declared"]
            unique = arrived["bytes"] - arrived["again_bytes"]
            assert unique + 6000 >= binned >= unique - 6000
            assert curves.capacity is not None
            since, most = curves.capacity
            whole = [
                (at, rate) for at, rate in zip(edges[:-1], rates, strict=False) if round(at, 9) in np.round(since, 9)
            ]
            assert len(whole) >= len(edges) - 2
            for at, rate in whole:
                assert rate <= most[np.flatnonzero(np.abs(since - at) < 1e-9)[0]] * 1.0001
