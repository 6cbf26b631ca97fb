# SPDX-License-Identifier: Apache-2.0
"""Paths, queueing disciplines, iperf3's output and short flows, against values worked out by hand."""

from __future__ import annotations

import base64
import copy
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lab.analysis import iperf
from lab.analysis.base_rtt import base_rtt_us
from lab.analysis.capacity import path_capacity
from lab.analysis.checks import qdisc
from lab.analysis.checks.judge import judge
from lab.analysis.completions import Completions
from lab.analysis.measured import measured_flow
from lab.analysis.metrics import trial_metrics
from lab.analysis.path import flow_path, goodput_ceiling, mss_bytes
from lab.job.network import mean_loss
from lab.job.over_time import HIGHEST_JITTER, LOWEST_JITTER, longest_wait_ns
from lab.job.protocol import Netem
from tests.jobs import job_with
from tests.unit.analysis.planting import Parts, Replayed, complaints, planted, trial_of

NETEM: Netem = {
    "delay_ns": 10_000_000, "jitter": None, "loss": None, "duplicate": 0.0, "corrupt": 0.0, "reorder": None,
    "limit_packets": 1000, "seed": 1,
}  # fmt: skip


def netem(**changes: Any) -> Netem:
    return {**NETEM, **changes}  # type: ignore[typeddict-item]


# --- paths ---------------------------------------------------------------------------------------------------


@pytest.fixture
def job() -> Any:
    """h1 – r1 – h2: 10 Mbit/s and 5 ms there, then 8 Mbit/s, 15 ms and 10 % loss; nothing on the way back but 2 ms."""
    found: Any = job_with(["h1", "r1", "h2"], [("h1", "r1"), ("r1", "h2")])
    first, second = found["links"]
    queue = {"discipline": "bfifo", "limit_bytes": 30_000, "limit_packets": None, "parameters": {}}
    first["ab"] |= {"rate_bps": 10_000_000, "queue": queue, "netem": netem(delay_ns=5_000_000)}
    loss = {"model": "random", "values": [0.1]}
    second["ab"] |= {"rate_bps": 8_000_000, "queue": {**queue}, "netem": netem(delay_ns=15_000_000, loss=loss)}
    second["ba"] |= {"netem": netem(delay_ns=2_000_000, loss={"model": "random", "values": [0.2]})}
    return found


def test_a_path_is_as_slow_as_its_slowest_hop(job: Any) -> None:
    path = flow_path(job, job["flows"][0])
    hop = path.bottleneck.at(0)
    assert hop is not None
    assert path.rate_bps is not None
    assert (hop.link, path.rate_bps.at(0), path.rtt_ns.at(0)) == ("r1-h2", 8_000_000, 22_000_000)
    assert path.loss == pytest.approx(0.1)
    assert path.round_trip_loss == pytest.approx(1 - 0.9 * 0.8)
    assert path.bdp_bytes is not None
    assert path.bdp_bytes.changes == ((0, 22_000),)
    assert path.queue_bytes(1500) == 30_000
    queue = job["links"][1]["ab"]["queue"]
    queue |= {"limit_bytes": None, "limit_packets": 10}
    assert flow_path(job, job["flows"][0]).queue_bytes(1500) == 15_140
    queue |= {"limit_packets": None}
    assert flow_path(job, job["flows"][0]).queue_bytes(1500) is None
    for link in job["links"]:
        link["ab"]["rate_bps"] = None
    unlimited = flow_path(job, job["flows"][0])
    assert unlimited.bottleneck.changes == ((0, None),)
    assert (unlimited.rate_bps, unlimited.queue_bytes(1500), unlimited.bdp_bytes) == (None,) * 3
    assert (unlimited.calibrated, unlimited.main_bottleneck(0, 10**9)) == (None, None)
    assert unlimited.mean_rate_bps(0, 10**9) is None


def change(at_ns: int, **changes: Any) -> Any:
    return {"at_ns": at_ns, "rate_bps": None, "queue": None, "netem": None, **changes}


def test_the_bottleneck_is_where_the_rate_is_lowest_at_the_time(job: Any) -> None:
    first, second = (link["ab"] for link in job["links"])
    queue = {"discipline": "bfifo", "limit_bytes": 3000, "limit_packets": None, "parameters": {}}
    first["changes"] = [change(500_000_000, rate_bps=1_000_000, queue=queue)]
    # The first link falls from 10 to 1 Mbit/s; the second one has 8 all the time.
    path = flow_path(job, job["flows"][0])
    assert [hop.link for _at, hop in path.bottleneck.changes if hop] == ["r1-h2", "h1-r1"]
    assert path.mean_rate_bps(0, 1_000_000_000) == 4_500_000
    assert path.mean_rate_bps(0, 500_000_000) == 8_000_000
    assert path.mean_rate_bps(600_000_000, 700_000_000) == 1_000_000
    assert (path.queue_bytes(1500), path.queue_bytes(1500, 600_000_000)) == (30_000, 3000)
    (longer, held_ns), (shorter, less_ns) = path.bottlenecks(0, 1_200_000_000)
    assert (longer.link, held_ns, shorter.link, less_ns) == ("h1-r1", 700_000_000, "r1-h2", 500_000_000)
    assert path.calibrated is not None
    assert path.calibrated.link == "r1-h2"
    # A link that is down carries nothing.
    down = netem(delay_ns=15_000_000, loss={"model": "random", "values": [1.0]})
    second["changes"] = [change(700_000_000, netem=down), change(800_000_000, netem=second["netem"])]
    path = flow_path(job, job["flows"][0])
    assert [(at, hop.link) for at, hop in path.bottleneck.changes if hop] == [
        (0, "r1-h2"), (500_000_000, "h1-r1"), (700_000_000, "r1-h2"), (800_000_000, "h1-r1"),
    ]  # fmt: skip
    assert path.mean_rate_bps(500_000_000, 1_000_000_000) == 800_000


def packed(counts: list[int], period_ms: int) -> Any:
    return {
        "counts": base64.b64encode(zlib.compress(bytes(counts))).decode(), "period_ms": period_ms, "packet_bytes": 1000,
    }  # fmt: skip


def test_a_capacity_file_has_the_rate_of_its_opportunities(job: Any) -> None:
    # Ten packets in the first 100 ms of 300, none in the next, and one at 250 ms.
    counts = [0] * 301
    for ms in (*range(5, 100, 10), 250):
        counts[ms] = 1
    job["duration_ns"] = job["flows"][0]["duration_ns"] = 10**9
    job["links"][1]["ab"] |= {"capacity": packed(counts, 300), "rate_bps": 293_328}
    path = flow_path(job, job["flows"][0])
    assert path.rate_bps is not None
    assert [path.rate_bps.at(ms * 1_000_000) for ms in (50, 150, 250, 350)] == [800_000, 0, 80_000, 800_000]
    assert longest_wait_ns(job["links"][1]["ab"]["capacity"]) == 155_000_000
    # With the first link at 0.5 Mbit/s, the bottleneck moves to it while the file allows more.
    job["links"][0]["ab"]["rate_bps"] = 500_000
    path = flow_path(job, job["flows"][0])
    assert [hop.link for _at, hop in path.bottleneck.changes if hop][:4] == ["h1-r1", "r1-h2", "h1-r1", "r1-h2"]
    # What leaves arrives 15 ms later, so eight packets arrive by 100 ms.  The first link sends 6250 bytes in 100 ms.
    edges = np.array([0, 100, 200, 300]) * 1_000_000
    carried_bytes = path_capacity(path).bytes_in(edges)
    assert carried_bytes is not None
    assert carried_bytes.tolist() == pytest.approx([6250, 2000, 1000])


def test_the_base_rtt_is_the_lowest_that_jitter_allows(job: Any) -> None:
    netems = {
        distribution: {"spread_ns": 1_000_000, "distribution": distribution, "correlation": 0.0, "keep_order": False}
        for distribution in ("uniform", "normal", "pareto", "paretonormal")
    }
    calibration: Any = {"min_rtt_ns": 22_070_000, "max_rtt_ns": 22_500_000}
    plain = base_rtt_us(flow_path(job, job["flows"][0]), calibration)
    assert plain is not None
    assert plain.changes == ((0, 22_070.0),)
    uncalibrated = base_rtt_us(flow_path(job, job["flows"][0]), None)
    assert uncalibrated is not None
    assert uncalibrated.at(0) == 22_000
    way = job["links"][1]["ab"]
    for distribution, least_us in (
        ("uniform", 21_000),
        ("normal", 18_000),
        ("pareto", 21_333),
        ("paretonormal", 20_498),
    ):
        way["netem"] = netem(delay_ns=15_000_000, jitter=netems[distribution])
        found = base_rtt_us(flow_path(job, job["flows"][0]), calibration)
        assert found is not None
        assert found.at(0) == pytest.approx(least_us, abs=1)
    # A delay is never negative; a change of the schedule counts from its time on, and so does what was calibrated.
    way["netem"] = netem(delay_ns=15_000_000)
    way["changes"] = [
        change(10**9, netem=netem(delay_ns=40_000_000)),
        change(2 * 10**9, netem=netem(delay_ns=2_000_000, jitter={**netems["normal"], "spread_ns": 9_000_000})),
    ]
    found = base_rtt_us(flow_path(job, job["flows"][0]), calibration)
    assert found is not None
    assert [at for at, _ in found.changes] == [0, 10**9, 2 * 10**9]
    assert [value for _, value in found.changes] == pytest.approx([22_070, 47_070, 7070])
    # A change at the start of traffic comes after the calibration.
    way["changes"] = [change(0, netem=netem(delay_ns=40_000_000))]
    found = base_rtt_us(flow_path(job, job["flows"][0]), calibration)
    assert found is not None
    assert found.changes == ((0, 47_070.0),)


TABLES = Path("/usr/lib/x86_64-linux-gnu/tc")


@pytest.mark.parametrize("distribution", ["normal", "pareto", "paretonormal"])
@pytest.mark.skipif(not TABLES.is_dir(), reason="iproute2's tables of distributions are not installed here")
def test_jitter_s_limits_are_those_of_iproute2_s_tables(distribution: str) -> None:
    lines = (TABLES / f"{distribution}.dist").read_text().splitlines()
    values = [int(word) for line in lines if not line.startswith("#") for word in line.split()]
    assert (LOWEST_JITTER[distribution], HIGHEST_JITTER[distribution]) == (min(values) / 8192, max(values) / 8192)


@pytest.mark.parametrize(("ip", "mss"), [("ipv4", 1448), ("ipv6", 1428)])
def test_segments_and_frames(ip: str, mss: int, job: Any) -> None:
    job["ip"] = ip
    assert mss_bytes(job) == mss
    assert goodput_ceiling(job) == mss / 1514


def test_a_flow_that_is_missing(job: Any) -> None:
    with pytest.raises(ValueError, match="'other' is missing from the job"):
        measured_flow(job, {"flows": []}, "other", {}, {}, None)  # type: ignore[typeddict-item]
    with pytest.raises(ValueError, match="'f0' is missing from the record"):
        measured_flow(job, {"flows": []}, "f0", {}, {}, None)  # type: ignore[typeddict-item]


# --- queueing disciplines ------------------------------------------------------------------------------------

SHOWN: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"delay": {"delay": 0.01, "jitter": 0, "correlation": 0}}),
    (
        {"jitter": {"spread_ns": 2_000_000, "distribution": "normal", "correlation": 0.25, "keep_order": True}},
        {"delay": {"delay": 0.01, "jitter": 0.002, "correlation": 0.25}},
    ),
    (
        {"loss": {"model": "gemodel", "values": [0.01, 0.2, 1.0, 0.0]}},
        {"delay": {"delay": 0.01}, "loss-gemodel": {"p": 0.01, "r": 0.2, "1-h": 1.0, "1-k": 0}},
    ),
    (
        {"loss": {"model": "state", "values": [0.01, 0.3, 0.0, 1.0, 0.0]}},
        {"delay": {"delay": 0.01}, "loss-state": {"p13": 0.01, "p31": 0.3, "p32": 0, "p23": 1.0, "p14": 0}},
    ),
    (
        {"duplicate": 0.02, "corrupt": 0.001},
        {"delay": {"delay": 0.01}, "duplicate": {"duplicate": 0.02}, "corrupt": {"corrupt": 0.001, "correlation": 0}},
    ),
    (
        {"reorder": {"probability": 0.1, "correlation": 0.5, "gap": 5}},
        {"delay": {"delay": 0.01}, "reorder": {"reorder": 0.1, "correlation": 0.5}, "gap": 5},
    ),
]


@pytest.mark.parametrize(("asked", "shown"), SHOWN)
def test_what_tc_shows_of_netem_is_what_was_asked(asked: dict[str, Any], shown: dict[str, Any]) -> None:
    wanted, found = qdisc.netem_asked(netem(**asked)), qdisc.netem_values({"kind": "netem", "options": shown})
    assert wanted.keys() == found.keys()
    assert list(wanted.values()) == pytest.approx([found[name] for name in wanted])
    assert qdisc.is_random(netem(**asked)) == bool(asked)
    # Another value is another netem.
    for other_asked, other_shown in SHOWN:
        if other_asked != asked:
            assert qdisc.netem_values({"options": other_shown}) != found


def test_a_gap_without_reordering_means_nothing() -> None:
    assert qdisc.netem_values({"options": {"gap": 5}}) == {}
    assert qdisc.netem_values({}) == {}
    assert qdisc.root_kind([{"kind": "tbf"}, {"kind": "fq", "root": True}]) == "fq"
    assert qdisc.root_kind([]) is None


def loses(model: str, values: list[float], drops: int, duplicate: float = 0.0) -> Any:
    """Make the bottleneck lose by a model, of 10 000 packets so many."""

    def plant(parts: Parts) -> None:
        direction = parts.bottleneck()["netem"]
        direction |= {"loss": {"model": model, "values": values}, "duplicate": duplicate}
        shown = parts.qdisc("r2", "ingress", "netem")
        before = next(one for one in parts.port("r2", "ingress")["qdiscs_before"] if one["kind"] == "netem")
        names = {"gemodel": ("p", "r", "1-h", "1-k"), "state": ("p13", "p31", "p32", "p23", "p14"), "random": ("loss",)}
        shown["options"].pop("loss-random")
        shown["options"][f"loss-{model}"] = dict(zip(names[model], values, strict=True))
        if duplicate:
            shown["options"]["duplicate"] = {"duplicate": duplicate}
        shown["drops"] = before["drops"] + drops
        # Copies leave, too.
        shown["packets"] = before["packets"] + round((10_000 - drops) * (1 + duplicate))

    return plant


@pytest.mark.parametrize(
    ("model", "values", "share", "clumping"),
    [
        ("random", [0.05], 0.05, 1.0),
        # In the bad state for 5 of 105 packets, 5 in a row; draws k apart are correlated as 0.79 to the k.
        ("gemodel", [0.01, 0.2, 1.0, 0.0], 1 / 21, 1.79 / 0.21),
        # One in a hundred begins a burst; 1/0.4 in a row.
        ("state", [0.01, 0.4, 0.0, 1.0, 0.0], 0.01 / 0.41, 5.0),
    ],
)
def test_random_losses_lie_within_five_standard_deviations(
    model: str, values: list[float], share: float, clumping: float, replayed: Replayed
) -> None:
    trial = trial_of(replayed, "everything", "cubic-r1")
    assert mean_loss(netem(loss={"model": model, "values": values})) == pytest.approx(share, rel=1e-6)
    middle = 10_000 * share
    band = 5 * (10_000 * share * (1 - share) * clumping) ** 0.5 + 1
    for drops, expected in ((middle, {}), (middle + 0.97 * band, {}), (middle - 0.97 * band, {})):
        assert complaints(trial, loses(model, values, max(0, round(drops)))) == expected
    assert complaints(trial, loses(model, values, round(middle + 1.05 * band))) == {"netem-drops": "invalid"}


def test_copies_were_never_offered(replayed: Replayed) -> None:
    trial = trial_of(replayed, "everything", "cubic-r1")
    for duplicate in (0.1, 0.5):
        (found,) = (
            check
            for check in judge(planted(trial, loses("random", [0.05], 500, duplicate)))
            if check.id == "netem-drops"
        )
        assert found.verdict == "ok"
    assert complaints(trial, loses("random", [0.05], 700, 0.5))["netem-drops"] == "invalid"


def test_where_packets_are_delayed_unequally_the_least_round_trip_may_be_off(replayed: Replayed) -> None:
    trial = trial_of(replayed, "everything", "cubic-r1")

    def measured(rtt_ms: float, **changes: Any) -> Any:
        def plant(parts: Parts) -> None:
            parts.bottleneck()["netem"] |= changes
            parts.record["calibration"][0]["min_rtt_ns"] = round(rtt_ms * 1e6)

        return plant

    jitter = {"spread_ns": 1_000_000, "distribution": "normal", "correlation": 0.0, "keep_order": False}
    reorder = {"probability": 0.1, "correlation": 0.0, "gap": 0}
    # 0.4 ms are allowed below, and 0.79 above; 4 and 3.5 ms more with this jitter; 10 below where packets go at once.
    for rtt, changes, expected in (
        (19.0, {}, "invalid"),
        (15.7, {"jitter": jitter}, "ok"),
        (15.5, {"jitter": jitter}, "invalid"),
        (24.2, {"jitter": jitter}, "ok"),
        (24.5, {"jitter": jitter}, "invalid"),
        (10.0, {"reorder": reorder}, "ok"),
        (9.0, {"reorder": reorder}, "invalid"),
    ):
        checks = judge(planted(trial, measured(rtt, **changes)))
        assert {check.id: check.verdict for check in checks}["base-rtt"] == expected, rtt


def test_a_slow_capacity_file_may_make_the_echoes_wait(replayed: Replayed) -> None:
    trial = trial_of(replayed, "everything", "cubic-r1")

    def measured(rtts_ms: list[float], *counts: int) -> Any:
        def plant(parts: Parts) -> None:
            parts.bottleneck()["capacity"] = packed([*counts], len(counts) - 1)
            parts.record["calibration"][0] |= {
                "sent": 3,
                "answered": len(rtts_ms),
                "min_rtt_ns": round(min(rtts_ms) * 1e6),
            }

        return plant

    # One opportunity in 700 ms: an echo waits for up to 700 ms more than the 20 ms of the delays.
    slow = [0] * 701
    slow[500] = 1
    # ping waits no longer than two round trips for the others, so that some answers may be missing.
    for rtts, expected in (([650.0, 660.0], "ok"), ([20.1], "ok"), ([730.0] * 3, "invalid"), ([19.0] * 3, "invalid")):
        checks = {check.id: check for check in judge(planted(trial, measured(rtts, *slow)))}
        assert checks["base-rtt"].verdict == expected, rtts
    assert checks["base-rtt"].asked == "20 to 720.2 ms"


def test_a_bottleneck_that_moves_decides_who_shares(replayed: Replayed) -> None:
    trial = trial_of(replayed, "fairness", "cubic-r1")
    together = [row.jain_index for row in trial_metrics(trial)]
    assert None not in together

    def slow_access(at_s: float) -> Any:
        def plant(parts: Parts) -> None:
            name = next(link["name"] for link in parts.job["links"] if trial.flows[0].asked["source"] in link["a"])
            way = next(link["ab"] for link in parts.job["links"] if link["name"] == name)
            queue = {"discipline": "bfifo", "limit_bytes": 30_000, "limit_packets": None, "parameters": {}}
            way |= {"rate_bps": 10**9, "queue": queue}
            way["changes"] = [change(round(at_s * 1e9), rate_bps=1_000_000, queue=queue)]

        return plant

    seconds = trial.job["duration_ns"] / 1e9
    # For most of the time, the three flows of one host have their bottleneck there; or for less than half of it.
    alone = [row.jain_index for row in trial_metrics(planted(trial, slow_access(0.1 * seconds)))]
    assert [index is None for index in alone] == [False, False, False, True]
    assert len({*alone, *together}) == 3
    late = [row.jain_index for row in trial_metrics(planted(trial, slow_access(0.9 * seconds)))]
    assert late == together


def test_a_step_of_the_rate_is_felt_after_the_delay(replayed: Replayed) -> None:
    """What arrives in the last seconds of a trial left earlier, when the rate was higher."""
    trial = trial_of(replayed, "everything", "cubic-r1")

    def plant(parts: Parts) -> None:
        way, duration = parts.bottleneck(), parts.job["duration_ns"]
        way["netem"]["delay_ns"] = duration // 2
        way["changes"] = [change(duration // 2, rate_bps=8_000, queue=way["queue"])]

    found = {check.id: check for check in judge(planted(trial, plant))}["achieved-rate"]
    # All of it left before the step.
    assert found.verdict == "ok", found


# --- iperf3 and short flows ----------------------------------------------------------------------------------


def test_what_iperf3_does_not_say() -> None:
    assert iperf.intervals({}) == []
    one = {"sum": {"start": 0, "end": 0.5003, "bytes": 9}, "streams": [{"rtt": 7}]}
    omitted = {"sum": {"start": 0, "end": 1, "bytes": 9, "omitted": True}}
    assert iperf.intervals({"intervals": [omitted, one]}) == [iperf.Interval(0, 0.5003, 9, 7)]
    assert iperf.block_bytes({}) == 131072
    assert iperf.block_bytes({"start": {"test_start": {"blksize": 1460}}}) == 1460
    assert iperf.read_bytes({}) is None
    assert iperf.read_bytes({"end": {"sum_received": {"bytes": 5}}}) == 5


# --- what the kernel counted ---------------------------------------------------------------------------------


def completions(*flows: tuple[int, int, int]) -> Completions:
    """(began, took, bytes) of each; times in ms."""
    columns = np.array(flows, dtype=np.int64).reshape(-1, 3).T
    return Completions(columns[0] * 10**6, columns[1] * 10**6, columns[2], np.zeros(len(flows), np.int64))


def test_short_flows_are_measured_from_the_first_to_the_last_that_completed() -> None:
    flows = completions((100, 50, 1000), (200, 900, 2000), (300, 0, 500), (400, 20, 1000))
    transfer = flows.received()
    assert transfer.bytes == 4500
    assert transfer.seconds == pytest.approx(1.0)
    assert flows.quantile_us(0.5) == 50_000
    assert flows.quantile_us(0.95) == 900_000
    assert flows.is_complete.tolist() == [True, True, False, True]


def test_short_flows_of_which_none_completes() -> None:
    flows = completions((100, 0, 10), (200, 0, 20))
    assert (flows.received().bytes, flows.received().bps, flows.quantile_us(0.5)) == (30, 0.0, None)


def test_offloads_that_are_wanted(replayed: Replayed) -> None:
    trial = trial_of(replayed, "everything", "cubic-r1")
    changed = copy.deepcopy(trial.record)
    assert changed == trial.record

    def plant(parts: Parts) -> None:
        parts.job["offloads"] = True
        parts.port("r1", "egress")["offloads"]["tso"] = True

    assert complaints(trial, plant) == {}
