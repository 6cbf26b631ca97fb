# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501
"""Topologies, links, flows and hosts: the jobs that are made from them, and the messages for invalid ones."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from lab.errors import SpecError
from lab.experiment.read.load import load_experiment
from lab.job.network import mean_burst, mean_loss, route
from lab.job.over_time import mean, rate_over_time
from lab.job.protocol import Direction, Job, Loss, Netem
from lab.plan.plan import make_plan

FILE = """\
name: test
topology:
  kind: dumbbell
  pairs: 3
  bottleneck: {rate: 20mbit, delay: 10ms}
flows:
  bulk: {from: s1, to: d1}
duration: 20s
"""


def job(tmp_path: Path, *overrides: str) -> Job:
    path = tmp_path / "experiment.yaml"
    path.write_text(FILE)
    (trial,) = make_plan(load_experiment(path, overrides).checked).trials
    return trial.job


NODES = "topology={kind: custom, nodes: {s1: host, w1: switch, w2: switch, r1: router, d1: host}, links: {"
PATH = "a: {from: s1, to: w1}, b: {from: w1, to: w2}, c: {from: w2, to: r1}, d: {from: r1, to: d1}"

REFUSED = {
    "topology.kind=ring": "topology.kind: found 'ring'; expected one of dumbbell, parking-lot, star, linear, tree",
    "topology={kind: tree, depth: 3, fanout: 6}": "topology.fanout: found 6, which makes 216 hosts; expected at most 200",
    "topology.access.delay=[1ms, 2ms]": "topology.access.delay: found 2 values; expected a single value, or one value for each pair",
    NODES + PATH.replace("to: w2", "to: w3") + "}}": "topology.links.b.to: found 'w3'; expected one of topology.nodes",
    NODES + PATH + ", e: {from: d1, to: d1}}}": "topology.links.e.to: found 'd1'; expected a node other than 'from'",
    NODES + PATH + ", e: {from: w2, to: w1}}}": "topology.links.e: found a loop of switches through w2 and w1",
    NODES
    + "a: {from: s1, to: w1}, b: {from: w2, to: d1}, c: {from: w1, to: r1}}}": "found nodes that are not connected to s1: w2, d1",
    NODES + "a: {from: s1, to: w1}, b: {from: w1, to: w2}, c: {from: w2, to: d1}}}": "topology.nodes.r1: found a node "
    "without a link",
    "topology={kind: custom, nodes: {s1: host, h: host, d1: host}, links: {a: {from: s1, to: h}, b: {from: h, to: d1}}}": (
        "flows.bulk.to: found no path from s1 to d1; expected one (hosts do not forward packets)"
    ),
    "topology={kind: custom, nodes: {abcdefghij: host, d1: host}, links: {a: {from: d1, to: d1}}}": (
        "'abcdefghij' is not a usable name; expected up to 9 letters"
    ),
    "topology.bottleneck.queue={discipline: cake, parameters: {memlimit: 1mb}}": "expected the queue's own field 'limit' instead",
    "topology.bottleneck.reorder=1%": "",
    "topology.bottleneck.loss={model: state, p13: 60%, p31: 10%, p14: 60%}": "loss.p13: found p13 + p14 = 1.2; expected",
    "topology.bottleneck.loss={model: gemodel, p: 0%, r: 10%}": "bottleneck.loss.p: found '0%'; expected more than 0",
    "topology.bottleneck.loss=101%": "topology.bottleneck.loss: found '101%'; expected a probability",
    "topology.bottleneck.jitter=5": "topology.bottleneck.jitter: found 5; expected a duration",
    "topology.bottleneck.jitter={spread: 1ms, distribution: gauss}": "jitter.distribution: found 'gauss'; expected",
    "topology.bottleneck.schedule=[{at: 30s, rate: 1mbit}]": "schedule[0].at: found a change that ends at 30 s",
    "topology.bottleneck.schedule=[{at: 5s, rate: 1mbit}, {at: 4s, rate: 2mbit}]": "schedule[1].at: found 4 s; expected "
    "at least 5 s",
    "topology.bottleneck.schedule=[{at: 5s}]": "schedule[0]: found a step that changes nothing",
    "topology.bottleneck.schedule=[{at: 5s, rate: 1mbit, every: 1s}]": "schedule[0].every: found 'every' without 'over'",
    "topology.bottleneck.schedule=[{at: 5s, corrupt: 1%, over: 1s}]": "schedule[0].over: found a ramp without a value that it could change",
    "topology.bottleneck.schedule=[{at: 5s, queue: {discipline: codel}}]": "queue.discipline: found codel; expected bfifo",
    "topology.bottleneck.schedule=[{at: 0s, rate: 1mbit, over: 10s, every: 1ms}]": "found 10000 changes; expected at most",
    "flows.bulk.count=4": "",
    "flows.bulk={from: 's{i}', to: 'd{i}', count: 4}": "flows.bulk.from: found 's4'; expected a host (s1, s2, s3",
    "flows.bulk.every=1s": "flows.bulk.every: found 'every' for a single flow; expected 'count' as well",
    "flows.bulk={from: s1, to: d1, count: 3, every: 10s}": "flows.bulk.every: found a flow that would start at 20 s",
    "flows.bulk.on=500ms": "flows.bulk.on: found 500 ms; expected whole seconds",
    "flows.bulk.off=1s": "flows.bulk.off: found 'off' without 'on'",
    "flows.bulk={from: s1, to: d1, on: 1s, amount: 1MB}": "flows.bulk.amount: found 'amount' together with 'on'",
    "flows.bulk.message=2MB": "flows.bulk.message: found 2 MB; expected a size from 16 B to 1 MiB",
    "flows.bulk.mss=1480": "flows.bulk.mss: found 1480; expected at most 1460",
    "flows={a: {from: s1, to: d1, count: 2}, a-1: {from: s2, to: d2}}": "its flow 'a-1' has the same name as a flow of 'a'",
    "flows={a: {from: s1, to: d1, count: 200}, b: {from: s2, to: d2, count: 100}}": "flows: found 300 flows in total",
    "hosts={x1: {}}": "hosts.x1: found 'x1', which matches no node",
    "hosts={s1: {sysctl: {kernel.panic: 1}}}": "'kernel.panic' is not a usable name; expected a sysctl of the network",
    "hosts={s1: {sysctl: {net.ipv4.tcp_sack: [1]}}}": "expected a number, a text of words, or true or false",
    "modules={cubic: {HyStart: 0}}": "'HyStart' is not a usable name",
}


@pytest.mark.parametrize("override", REFUSED)
def test_what_cannot_be_is_refused_in_a_line(tmp_path: Path, override: str) -> None:
    expected = REFUSED[override]
    if not expected:
        job(tmp_path, override)
        return
    with pytest.raises(SpecError) as error:
        job(tmp_path, override)
    assert expected in str(error.value)
    assert len(str(error.value).splitlines()) <= 2


def test_unequal_round_trips_from_access_delays(tmp_path: Path) -> None:
    flows = "flows={bulk: {from: 's{i}', to: 'd{i}', count: 3}}"
    found = job(tmp_path, "topology.access.delay=[0ms, 10ms, 40ms]", flows)
    rtts = []
    for flow in found["flows"]:
        hops = (
            *route(found, flow["source"], flow["destination"]),
            *route(found, flow["destination"], flow["source"]),
        )
        rtts.append(sum(hop.direction["netem"]["delay_ns"] for hop in hops if hop.direction["netem"]) / 1e6)
    assert rtts == [20, 60, 180]
    # The queue holds one BDP of the path with the longest RTT.
    queue = next(link["ab"]["queue"] for link in found["links"] if link["name"] == "bottleneck")
    assert queue is not None
    assert queue["limit_bytes"] == 20_000_000 * 180 // 8000


def test_the_long_path_of_a_parking_lot_crosses_every_bottleneck(tmp_path: Path) -> None:
    topology = "topology={kind: parking-lot, hops: 3, bottleneck: {rate: 10mbit, delay: 5ms}}"
    found = job(tmp_path, topology, "flows={long: {from: s0, to: d0}, cross: {from: 's{i}', to: 'd{i}', count: 3}}")
    ways = {
        flow["name"]: [hop.link for hop in route(found, flow["source"], flow["destination"])] for flow in found["flows"]
    }
    assert ways["long"] == ["access-s0", "bottleneck1", "bottleneck2", "bottleneck3", "access-d0"]
    for number in (1, 2, 3):
        assert ways[f"cross-{number}"] == [f"access-s{number}", f"bottleneck{number}", f"access-d{number}"]


def test_flows_in_numbers_either_way_and_on_and_off(tmp_path: Path) -> None:
    flows = {
        "many": "{from: 's{i}', to: 'd{i}', count: 3, every: 2s}",
        "both": "{from: s1, to: d1, direction: both}",
        "back": "{from: s1, to: d1, direction: reverse, amount: 1MB}",
        "bursts": "{from: s2, to: d2, start: 1s, on: 2s, off: 3s, duration: 12s}",
    }
    found = job(tmp_path, f"flows={{{', '.join(f'{name}: {flow}' for name, flow in flows.items())}}}")
    rows = [
        (one["name"], one["group"], one["source"], one["initiator"], one["start_ns"] // 10**9) for one in found["flows"]
    ]
    assert rows == [
        ("many-1", "many", "s1", "source", 0),
        ("many-2", "many", "s2", "source", 2),
        ("many-3", "many", "s3", "source", 4),
        ("both-there", "both", "s1", "source", 0),
        ("both-back", "both", "d1", "destination", 0),
        ("back", "back", "d1", "destination", 0),
        ("bursts-on1", "bursts", "s2", "source", 1),
        ("bursts-on2", "bursts", "s2", "source", 6),
        ("bursts-on3", "bursts", "s2", "source", 11),
    ]
    lengths = [one["duration_ns"] // 10**9 for one in found["flows"]]
    assert lengths == [20, 18, 16, 20, 20, 20, 2, 2, 2]
    assert len({one["port"] for one in found["flows"]}) == 9
    assert found["flows"][5]["limit_bytes"] == 1_000_000


def test_settings_of_hosts_by_pattern(tmp_path: Path) -> None:
    hosts = "hosts={'s*': {initial_window: 4, queue: {discipline: fq}}, s2: {initial_window: 20, sysctl: {net.ipv4.tcp_sack: false}}}"
    settings = {node["name"]: node.get("settings") for node in job(tmp_path, hosts)["nodes"]}
    assert settings["d1"] is None
    first, second = settings["s1"], settings["s2"]
    assert first
    assert second
    assert (first["initial_window"], second["initial_window"]) == (4, 20)
    assert second["queue"] == first["queue"]
    assert second["sysctls"] == {"net.ipv4.tcp_sack": "0"}


def ab(job: Job) -> Direction:
    return next(link["ab"] for link in job["links"] if link["name"] == "bottleneck")


def test_a_step_and_a_ramp_are_laid_out(tmp_path: Path) -> None:
    steps = "[{at: 5s, rate: 10mbit}, {at: 10s, rate: 20mbit, delay: 20ms, over: 4s, every: 1s}]"
    way = ab(job(tmp_path, f"topology.bottleneck.schedule={steps}"))
    assert [(change["at_ns"] // 10**9, change["rate_bps"]) for change in way["changes"]] == [
        (5, 10_000_000),
        (11, 12_500_000),
        (12, 15_000_000),
        (13, 17_500_000),
        (14, 20_000_000),
    ]
    assert [change["netem"] and change["netem"]["delay_ns"] // 1000 for change in way["changes"]] == [
        None, 12_500, 15_000, 17_500, 20_000,
    ]  # fmt: skip
    # The limit of a queue that is given in BDPs changes with the rate.
    before, after = way["queue"], way["changes"][0]["queue"]
    assert before is not None
    assert after is not None
    assert after["limit_bytes"] is not None
    assert after["limit_bytes"] * 2 == before["limit_bytes"]
    # Each change has its own seed, so that no two of them draw the same random numbers.
    assert way["netem"] is not None
    seeds = [change["netem"]["seed"] for change in way["changes"] if change["netem"]] + [way["netem"]["seed"]]
    assert len(set(seeds)) == len(seeds)
    # 5 s at 20 Mbit/s, 6 s at 10 Mbit/s, one second each at 12.5, 15 and 17.5 Mbit/s, and 6 s at 20 Mbit/s.
    rates = rate_over_time(way, 20 * 10**9)
    assert rates is not None
    assert mean(rates, 0, 20 * 10**9) == pytest.approx((100 + 60 + 12.5 + 15 + 17.5 + 120) / 20 * 1e6)
    assert mean(rates, 6 * 10**9, 10 * 10**9) == 10_000_000


@pytest.mark.parametrize(
    ("loss", "share", "burst"),
    [
        ("{model: random, probability: 2%}", 0.02, 1 / 0.98),
        ("{model: gemodel, p: 1%, r: 19%}", 0.05, 1 / 0.19),
        ("{model: gemodel, p: 10%, r: 10%, bad_loss: 40%, good_loss: 20%}", 0.3, 10),
        # Without the other two states, the four-state model is the same as Gilbert's model.
        ("{model: state, p13: 1%, p31: 19%}", 0.05, 1 / 0.19),
        # Every second packet is an isolated loss.
        ("{model: state, p13: 0.0001%, p31: 100%, p14: 99.99%}", 0.5, 1),
    ],
)
def test_the_mean_loss_and_burst_of_a_model(tmp_path: Path, loss: str, share: float, burst: float) -> None:
    netem = ab(job(tmp_path, f"topology.bottleneck.loss={loss}"))["netem"]
    assert netem is not None
    assert netem["loss"] is not None
    assert mean_loss(netem) == pytest.approx(share, rel=1e-3)
    assert mean_burst(netem["loss"]) == pytest.approx(burst, rel=1e-3)


def test_the_four_states_against_a_simulation_of_the_kernel_code() -> None:
    """The simulation follows loss_4state() in net/sched/sch_netem.c line by line."""
    import random

    p13, p31, p32, p23, p14 = 0.02, 0.2, 0.1, 0.6, 0.01
    draw = random.Random(1)
    state, losses = 1, []
    for _ in range(400_000):
        number, lost = draw.random(), False
        if state == 1:
            if number < p14:
                state, lost = 4, True
            elif number < p13 + p14:
                state, lost = 3, True
        elif state == 2:
            if number < p23:
                state, lost = 3, True
        elif state == 3:
            if number < p32:
                state = 2
            elif number < p31 + p32:
                state = 1
            else:
                lost = True
        else:
            state = 1
        losses.append(lost)
    bursts = [len(list(run)) for lost, run in itertools.groupby(losses) if lost]
    values = [p13, p31, p32, p23, p14]
    loss: Loss = {"model": "state", "values": values}
    netem: Netem = {
        "delay_ns": 0, "jitter": None, "loss": loss, "duplicate": 0.0, "corrupt": 0.0, "reorder": None,
        "limit_packets": 1000, "seed": 1,
    }  # fmt: skip
    assert mean_loss(netem) == pytest.approx(sum(losses) / len(losses), rel=0.03)
    assert mean_burst(loss) == pytest.approx(sum(bursts) / len(bursts), rel=0.03)
