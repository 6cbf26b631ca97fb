# SPDX-License-Identifier: Apache-2.0
"""Experiments that people really run, against values that are known without running them.

The experiments in ``experiments/`` follow public bug reports, courses and papers.  Each shows a kind of mistake that a
harness can make; each also has a sibling here, the same kind with other numbers.  What is right follows from closed
forms, from ``tc`` and from the sockets.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest

from benchmarks.measure import SilentObserver
from lab.analysis.events import held_at, occupancy
from lab.analysis.metrics import FlowMetrics
from lab.engine.uml.engine import UmlEngine
from lab.evaluation.collected import marked_arrivals
from lab.evaluation.on_the_way import marked_by_tc
from lab.evaluation.trial import EvaluatedTrial, arrivals_of, evaluate_trial
from lab.experiment.read.load import load_experiment
from lab.plan.description import notes
from lab.plan.plan import make_plan
from lab.run.runner import Runner
from lab.store.run import create_run
from lab.store.trial_cache import TrialCache
from tests.conftest import FAST

pytestmark = pytest.mark.vm

HERE = Path(__file__).parent / "experiments"


@dataclass(frozen=True)
class Case:
    """The evaluated trials of an experiment."""

    trials: list[EvaluatedTrial]

    @property
    def only(self) -> EvaluatedTrial:
        (trial,) = self.trials
        return trial


Run = Callable[..., Case]


def at_night(*values: Any, id: str = "sibling") -> Any:
    """Return a case that is tried at night only: another one of the same kind, with other numbers, is tried by day."""
    return pytest.param(*values, id=id, marks=pytest.mark.nightly)


class KeptEngine(UmlEngine):
    """Is still prepared when the next run begins."""

    def close(self) -> None: ...


@pytest.fixture(scope="module")
def engine(lab_cache: Path) -> Iterator[UmlEngine]:
    engine = KeptEngine([FAST])
    engine.locate(print)
    yield engine
    UmlEngine.close(engine)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, lab_cache: Path, engine: UmlEngine) -> Run:
    """Run an experiment of ``experiments/``, changed by ``PATH=VALUE`` overrides, and evaluate its trials."""

    def finished(name: str, *overrides: str) -> Case:
        folder = tmp_path_factory.mktemp(name)
        loaded = load_experiment(HERE / f"{name}.yaml", ["engine=uml", f"kernel={FAST}", *overrides])
        plan = make_plan(loaded.checked)
        stored = create_run(folder, plan.name, loaded.text, json.loads(plan.to_json()), loaded.files)
        jobs = len(os.sched_getaffinity(0))
        runner = Runner(engine, SilentObserver(), plan, stored, jobs=jobs, cache=TrialCache(lab_cache / "trials"))
        outcome = asyncio.run(runner.run({}))
        assert not outcome.failures, outcome.failures
        return Case([evaluate_trial(trial) for trial in stored.trials()])

    return finished


def flow(trial: EvaluatedTrial, name: str) -> FlowMetrics:
    return next(found for found in trial.metrics if found.flow == name)


def verdicts(trial: EvaluatedTrial) -> dict[str, str]:
    return {check.id: check.verdict for check in trial.checks}


@pytest.mark.parametrize(
    ("loss", "duplicate", "rate"),
    [pytest.param(0.02, 0.10, "2mbit", id="case"), at_night(0.10, 0.30, "1mbit")],
)
def test_duplicates_are_neither_goodput_nor_a_cure_for_loss(run: Run, loss: float, duplicate: float, rate: str) -> None:
    link = (f"topology.link.loss={loss:.0%}", f"topology.link.duplicate={duplicate:.0%}", f"flows.u.rate={rate}")
    for trial in run("udp_duplicate", *link).trials:
        found = flow(trial, "u")
        sent = trial.trial.record["flows"][0]["accounts"]["sides"]["sent"]["all"]
        # netem loses only what it does not duplicate.
        right = loss * (1 - duplicate)
        noise = 3.5 * (right * (1 - right) / sent["packets"]) ** 0.5
        assert found.datagrams_lost_share == pytest.approx(right, abs=noise)
        offered_bps = float(rate.removesuffix("mbit")) * 1e6
        assert found.goodput_bps == pytest.approx(
            offered_bps * (1 - right), abs=offered_bps * noise + 0.001 * offered_bps
        )


@pytest.mark.parametrize(
    "overrides", [pytest.param([], id="case"), at_night(["topology.bottleneck.delay=1s", "duration=20s"])]
)
def test_a_long_rtt_takes_nothing_away(run: Run, overrides: list[str]) -> None:
    forward, reverse = (flow(trial, "u") for trial in run("udp_long_rtt", *overrides).trials)
    for found in (forward, reverse):
        assert found.goodput_bps == pytest.approx(2e6, rel=0.001)
        assert found.datagrams_lost_share == 0
    assert forward.goodput_bytes == reverse.goodput_bytes


@pytest.mark.parametrize(
    "overrides", [pytest.param([], id="case"), at_night(["topology.link.rate=512kbit", "flows.up.count=2"])]
)
def test_slow_flows_are_counted_to_the_packet(run: Run, overrides: list[str]) -> None:
    trial = run("slow_uplink", *overrides).only
    for found in trial.metrics:
        result = next(one for one in trial.trial.record["flows"] if one["name"] == found.flow)
        socket_bps = result["tcp_info"]["bytes_acked"] * 8 / found.duration_s
        # At the end, a window of data has arrived whose acknowledgements have not.
        in_flight_bps = result["tcp_info"]["unacked"] * 1448 * 8 / found.duration_s
        assert found.goodput_bps is not None
        assert socket_bps * 0.98 <= found.goodput_bps <= (socket_bps + in_flight_bps) * 1.02
    for direction in ("up", "down"):
        rates = [found.goodput_bps or 0.0 for found in trial.metrics if found.group == direction]
        jain = sum(rates) ** 2 / len(rates) / sum(rate**2 for rate in rates)
        indices = {found.jain_index for found in trial.metrics if found.group == direction}
        assert list(indices) == [pytest.approx(jain)]
        assert jain > 0.8


@pytest.mark.parametrize("overrides", [pytest.param([], id="case"), at_night(["topology.bottleneck.delay=500ms"])])
def test_flows_follow_the_clock_of_the_schedule(run: Run, overrides: list[str]) -> None:
    trial = run("rate_step_long_rtt", *overrides).only
    for result in trial.trial.record["flows"]:
        sent = result["accounts"]["sides"]["sent"]["all"]
        assert sent["first_ns"] is not None
        assert 0 <= sent["first_ns"] < 5_000_000
        last_ns = result["accounts"]["sides"]["sent"]["declared"]["last_ns"]
        assert last_ns is not None
        assert last_ns <= 20e9
    # The schedule's step is where the rate of the link changes.
    arrived = arrivals_of(trial.trial)["t"]
    rates = {}
    for name, since, until in (("before", 2.5, 5.0), ("after", 12.0, 19.0)):
        inside = (arrived.start_ns >= since * 1e9) & (arrived.start_ns < until * 1e9)
        rates[name] = arrived.bytes[inside].sum() * 8 / (until - since)
    assert rates["after"] < 5e6 * 1448 / 1514 * 1.01
    rows = trial.trial.collected("retrans").to_pylist()
    at_socket = trial.trial.record["flows"][1]["tcp_info_at_ns"]
    # A row may stand for several segments that were sent together.
    traced = sum(
        -(-(row["end_seq"] - row["seq"]) // 1448)
        for row in rows
        if row["flow"] == "t" and row["kind"] != "synack" and row["time_ns"] <= at_socket
    )
    assert flow(trial, "t").retransmits == traced


@pytest.mark.parametrize(
    "overrides", [pytest.param([], id="case"), at_night(["topology.bottleneck.rate=10mbit", "flows.f.cc=reno"])]
)
def test_marks_are_those_of_tc(run: Run, overrides: list[str]) -> None:
    for trial in run("marks", *overrides).trials:
        (port,) = (
            port
            for port in trial.trial.record["interfaces"]
            if (port["node"], port["link"], port["role"]) == ("r1", "bottleneck", "egress")
        )
        qdisc = next(found for found in port["qdiscs_after"] if found["kind"] in ("red", "pie", "fq_codel"))
        marked = qdisc.get("ecn_mark", qdisc.get("marked", 0))
        counted = trial.trial.record["flows"][0]["accounts"]["sides"]["arrived"]["all"]["ce_packets"]
        assert counted == marked, qdisc
        if qdisc["kind"] == "pie" and qdisc["prob"] > 0.1:
            # Above this probability, PIE drops packets that it could mark (pie_qdisc_enqueue, net/sched/sch_pie.c).
            assert qdisc["dropped"] > 0
            continue
        assert marked > 0, qdisc
        assert marked_by_tc(trial.trial, ("r1", port["interface"])) == marked
        times = marked_arrivals(trial.trial, "f")
        assert len(times) == counted
        assert 0 < times[0] <= times[-1] < 11
        assert flow(trial, "f").start_s == 0
        assert verdicts(trial)["flow-duration"] == "ok"


STEP_DOWN_AND_UP = "[{at: 4s, delay: 10ms}, {at: 12s, delay: 90ms}]"


@pytest.mark.parametrize(
    ("first_ms", "steps", "overrides"),
    [
        pytest.param(20, [(5, 60)], [], id="case"),
        at_night(
            50,
            [(4, 10), (12, 90)],
            [
                "topology.bottleneck.delay=50ms",
                f"topology.bottleneck.schedule={STEP_DOWN_AND_UP}",
                f"topology.bottleneck.reverse.schedule={STEP_DOWN_AND_UP}",
            ],
        ),
    ],
)
def test_a_longer_way_is_no_queue(run: Run, first_ms: int, steps: list[tuple[int, int]], overrides: list[str]) -> None:
    trial = run("delay_step", *overrides).only
    found = flow(trial, "f")
    # The queue itself is empty but for short bursts: on average, it holds less than a tenth of a packet.
    table = trial.trial.collected("queue").filter(pc.field("interface") == "r1-eth1")
    seconds, packets = table["time_ns"].to_numpy() / 1e9, table["backlog_packets"].to_numpy()
    occupied = occupancy(seconds, packets, 0, 20)
    assert occupied is not None
    assert occupied.mean < 0.1
    # There and back, each of the delays is in force from its time on; the traffic takes 20 s.
    times, delays = [0, *(at for at, _ in steps)], [first_ms, *(ms for _, ms in steps)]
    held_s = np.diff([*times, 20])
    mean_ms = 2 * float(held_s @ np.array(delays)) / 20
    assert found.base_rtt_us == pytest.approx(mean_ms * 1e3, rel=0.002)
    assert trial.curves["f"].base_rtt is not None
    since, base_ms = trial.curves["f"].base_rtt
    assert since.tolist() == [*times, 20]
    assert base_ms[:-1].tolist() == pytest.approx([2 * ms for ms in delays], rel=0.01)
    # srtt comes nearer to a new RTT by an eighth with each ACK; if ACKs are delayed, 86 come each second.  It is within
    # 1 % of a change after half a second, and until then off by less than the change.
    lag_us = sum(abs(after - before) for before, after in itertools.pairwise(delays)) * 2e3 * 0.5 / 20
    assert found.srtt_inflation_mean_us is not None
    assert found.srtt_inflation_p95_us is not None
    assert abs(found.srtt_inflation_mean_us) <= lag_us + 1500
    assert 0 <= found.srtt_inflation_p95_us <= 2000
    assert verdicts(trial)["base-rtt"] == "ok"


@pytest.mark.parametrize(
    ("rate_mbit", "down_s", "up_s", "overrides"),
    [
        pytest.param(10, 5, 8, [], id="case"),
        at_night(
            4,
            3,
            9,
            [
                "topology.bottleneck.rate=4mbit",
                "flows.t.cc=bbr",
                "topology.bottleneck.schedule=[{at: 3s, loss: 100%}, {at: 9s, loss: 0%}]",
                "topology.bottleneck.reverse.schedule=[{at: 3s, loss: 100%}, {at: 9s, loss: 0%}]",
            ],
        ),
    ],
)
def test_a_link_that_is_down_carries_nothing(
    run: Run, rate_mbit: int, down_s: int, up_s: int, overrides: list[str]
) -> None:
    trial = run("outage", *overrides).only
    found = flow(trial, "t")
    # What is on the wire arrives 20 ms after the link went down; nothing more arrives until it is up again.
    arrived = arrivals_of(trial.trial)["t"].start_ns
    assert not ((arrived > (down_s + 0.02) * 1e9) & (arrived < up_s * 1e9)).any()
    assert (arrived > up_s * 1e9).any()
    assert found.bottleneck_bps == round(rate_mbit * 1e6 * (15 - (up_s - down_s)) / 15)
    # Nothing is drawn above the capacity, which is 0 while the link is down.
    times, rates = trial.curves["t"].goodput
    assert trial.curves["t"].capacity is not None
    since, capacity = trial.curves["t"].capacity
    limit = held_at(since, capacity, times[:-1] + 1e-6)
    assert set(np.round(np.unique(capacity))) == {0, round(rate_mbit * 1e6 * 1448 / 1514)}
    assert (rates[:-1] <= limit + 1e-3 * rate_mbit * 1e6).all()
    # The first timeout sets the window to 1 (RFC 5681), and no ACK comes that could raise it while the link is down.
    retransmitted = trial.trial.collected("retrans").to_pylist()
    timeouts = [row["time_ns"] / 1e9 for row in retransmitted if row["kind"] == "timeout"]
    first = next(at for at in timeouts if at > down_s)
    assert first < down_s + 1
    seconds, window = trial.curves["t"].cwnd
    in_force = window[np.searchsorted(seconds, np.linspace(first + 0.001, up_s, 50))]
    assert in_force.tolist() == [1] * 50
    # Until the timeout it is what it was when the last ACK came.
    assert window[np.searchsorted(seconds, first - 0.001)] > 10
    # The timer doubles each time (RFC 6298).  The kernel's wheel of timers rounds up by an eighth at most.
    gaps = np.diff([at for at in timeouts if down_s < at < up_s])
    assert gaps[1:] == pytest.approx(2 * gaps[:-1], rel=1 / 8)
    # The rows of timeouts are those of the collector that records retransmissions.
    rows = trial.trial.collected("tcp_probe").to_pylist()
    traced = [row["time_ns"] for row in rows if row["is_transmit"] == "timeout"]
    assert traced[0] == pytest.approx(first * 1e9, abs=1e5)
    assert all(row["snd_cwnd"] == 1 for row in rows if row["is_transmit"] == "timeout" and row["time_ns"] < up_s * 1e9)
    # tc counts as lost what the collector of drops has seen.
    lost = sum(
        qdisc["drops"]
        for port in trial.trial.record["interfaces"]
        for qdisc in port["qdiscs_after"]
        if qdisc["kind"] == "netem"
    )
    assert lost == sum(cause == "random_loss" for cause in trial.trial.collected("drops")["cause"].to_pylist()) > 0


def test_copies_do_not_pass_a_link_that_is_down(run: Run) -> None:
    trial = run("outage", "topology.bottleneck.duplicate=50%").only
    arrived = arrivals_of(trial.trial)["t"].start_ns
    assert not ((arrived > 5.02e9) & (arrived < 8e9)).any()
    sides = trial.trial.record["flows"][0]["accounts"]["sides"]
    assert sides["arrived"]["all"]["again_packets"] > 0.3 * sides["arrived"]["all"]["packets"] / 1.5


@pytest.mark.parametrize("overrides", [pytest.param([], id="case"), at_night(["topology.access.rate=100mbit"])])
def test_a_fast_access_link_is_no_bottleneck(run: Run, overrides: list[str]) -> None:
    assert verdicts(run("fast_access", *overrides).only)["sender-qdisc"] == "ok"


@pytest.mark.parametrize(
    ("loss", "count", "overrides"),
    [
        at_night(0.05, 20, [], id="case"),
        at_night(0.3, 8, ["topology.bottleneck.loss=30%", "topology.bottleneck.reverse.loss=30%"]),
        at_night(0.5, 8, ["topology.bottleneck.loss=50%", "topology.bottleneck.reverse.loss=50%"], id="worse"),
        # The hardest of these three is tried by day, a few times.
        pytest.param(0.5, 2, ["topology.bottleneck.loss=50%", "topology.bottleneck.reverse.loss=50%"], id="few"),
    ],
)
def test_every_trial_over_a_lossy_path_works(run: Run, loss: float, count: int, overrides: list[str]) -> None:
    trials = run("udp_lossy", f"repeat={count}", *overrides).trials
    assert len(trials) == count
    lost = [flow(trial, "u").datagrams_lost_share or 0.0 for trial in trials]
    assert sum(lost) / count == pytest.approx(loss, abs=4 * (loss * (1 - loss) / (count * 515)) ** 0.5)
    assert all(verdicts(trial)["flow-duration"] == "ok" for trial in trials)


@pytest.mark.parametrize("count", [40, at_night(64, id="64"), at_night(100, id="100")])
def test_many_flows(run: Run, count: int) -> None:
    trial = run("forty_flows", f"flows.f.count={count}", "start_jitter=1s").only
    assert len(trial.metrics) == count
    assert all(result["tcp_info"] for result in trial.trial.record["flows"])
    together = sum(found.goodput_bytes or 0 for found in trial.metrics) * 8 / 6
    assert together < 20e6 * 1448 / 1514


@pytest.mark.parametrize("hosts", [5, 9])
def test_a_shared_link_is_counted_once(hosts: int) -> None:
    overrides = [f"topology.hosts={hosts}", f"flows.incast.to=h{hosts}", f"flows.incast.count={hosts - 1}"]
    found = notes(make_plan(load_experiment(HERE / "star_load.yaml", overrides).checked))
    assert not any("busy" in note for note in found)
    assert sum("own rate limit" in note for note in found) == 1


@pytest.mark.parametrize(("rate", "delay"), [pytest.param("42mbit", "400ms", id="case"), at_night("100mbit", "300ms")])
@pytest.mark.parametrize("cc", ["bbr", "cubic"])
def test_a_large_bdp_fits_into_the_memory_of_the_guest(run: Run, rate: str, delay: str, cc: str) -> None:
    trial = run(
        "large_bdp", f"topology.bottleneck.rate={rate}", f"topology.bottleneck.delay={delay}", f"flows.f.cc={cc}"
    ).only
    assert verdicts(trial)["socket-memory"] == "ok"
    assert verdicts(trial)["receive-window"] == verdicts(trial)["send-buffer"] == "ok"
    ceiling_bps = float(rate.removesuffix("mbit")) * 1e6 * 1448 / 1514
    arrived = arrivals_of(trial.trial)["f"]
    # Slow start is over after 10 s: an initial window of 10 packets has doubled at least 11 times.
    seconds = [(arrived.start_ns >= second * 1e9) & (arrived.start_ns < (second + 1) * 1e9) for second in range(10, 40)]
    rates = [float(arrived.bytes[inside].sum()) * 8 for inside in seconds]
    full = [found for found in rates if found > 0.97 * ceiling_bps]
    # CUBIC keeps the queue from emptying.  BBR empties it every 10 s for its ProbeRTT, which takes it about 2 RTTs.
    assert len(full) >= (30 if cc == "cubic" else 18)
    assert max(rates) < 1.001 * ceiling_bps


def test_a_socket_buffer_that_is_too_small_is_named_as_the_cause(run: Run) -> None:
    trial = run("large_bdp", "flows.f.cc=cubic", "socket_buffer=1MB").only
    assert verdicts(trial)["socket-buffers"] == verdicts(trial)["receive-window"] == "invalid"
    assert verdicts(trial)["socket-memory"] == "ok"
