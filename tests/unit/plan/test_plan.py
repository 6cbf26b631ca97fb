# SPDX-License-Identifier: Apache-2.0
"""Cells, trials, seeds, ids and jobs of plans; the same experiment always gives the same plan, byte by byte."""

import json
import re
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.errors import InputError
from lab.experiment.check.validate import validate
from lab.experiment.read.load import load_experiment
from lab.experiment.resolve.job import trial_seed
from lab.experiment.resolve.wires import derive, netem_limit_packets
from lab.job.machines import MEMORY_MIB
from lab.job.network import mean_loss
from lab.job.protocol import Direction, Job, Link
from lab.plan.description import describe
from lab.plan.plan import Plan, canonical_json, digest_of, make_plan

SHIPPED = Path(__file__).parents[3] / "experiments" / "cubic_vs_bbr.yaml"

# The digest of the first trial of experiments/cubic_vs_bbr.yaml.  It may only change together with the file or with the
# meaning of a job; cached results under the old digest are then no longer used.
FIRST_DIGEST = "71a5ae380d43d93737a92ed9d326ea87f55eb2cc7e0206aa07e226b0e166dc86"


def _document(**changes: Any) -> dict[str, Any]:
    return {
        "name": "x",
        "topology": {"kind": "dumbbell", "bottleneck": {"rate": "20mbit", "delay": "20ms"}},
        "flows": {"bulk": {"from": "s1", "to": "d1"}},
        "duration": "10s",
        **changes,
    }


def _bottleneck(**fields: Any) -> dict[str, Any]:
    return {"kind": "dumbbell", "bottleneck": {"rate": "20mbit", "delay": "20ms", **fields}}


def _job(**changes: Any) -> Job:
    return make_plan(validate(_document(**changes))).trials[0].job


def _link(job: Job, name: str) -> Link:
    return next(link for link in job["links"] if link["name"] == name)


def _queue(direction: Direction) -> tuple[str, int | None, int | None]:
    queue = direction["queue"]
    assert queue is not None
    return queue["discipline"], queue["limit_bytes"], queue["limit_packets"]


@pytest.fixture(scope="module")
def shipped() -> Plan:
    return make_plan(load_experiment(SHIPPED).checked)


# --- cells and trials


def test_the_shipped_experiment_is_every_combination_times_its_repetitions(shipped: Plan) -> None:
    assert [cell.id for cell in shipped.cells] == [
        "cubic-loss-0pct",
        "cubic-loss-0.1pct",
        "cubic-loss-1pct",
        "bbr-loss-0pct",
        "bbr-loss-0.1pct",
        "bbr-loss-1pct",
    ]
    assert [trial.id for trial in shipped.trials[:4]] == [
        "cubic-loss-0pct-r1",
        "cubic-loss-0pct-r2",
        "cubic-loss-0pct-r3",
        "cubic-loss-0.1pct-r1",
    ]
    assert len(shipped.trials) == 18
    assert [axis.label for axis in shipped.axes] == ["cc", "loss"]
    assert shipped.cells[1].values == {"flows.bulk.cc": "cubic", "topology.bottleneck.loss": "0.1%"}
    assert shipped.cell("bbr-loss-1pct").experiment["flows"]["bulk"]["cc"] == "bbr"
    assert "matrix" not in shipped.cells[0].experiment


def test_what_varies_reaches_the_job(shipped: Plan) -> None:
    jobs = {trial.id: trial.job for trial in shipped.trials}
    job = jobs["bbr-loss-0.1pct-r2"]
    assert job["flows"][0]["congestion_control"] == "bbr"
    netem = _link(job, "bottleneck")["ab"]["netem"]
    back = _link(job, "bottleneck")["ba"]["netem"]
    assert netem is not None
    assert back is not None
    assert (netem["loss"], back["loss"]) == ({"model": "random", "values": [0.001]}, None)


def test_a_plan_without_matrix_has_one_cell() -> None:
    plan = make_plan(validate(_document()))
    assert [(trial.id, trial.repetition) for trial in plan.trials] == [("single-r1", 1)]
    assert plan.axes == ()


def test_an_axis_may_set_what_the_file_leaves_out() -> None:
    plan = make_plan(validate(_document(matrix={"topology.bottleneck.queue.parameters.target": ["5ms", "20ms"]})))
    parameters = [_link(trial.job, "bottleneck")["ab"]["queue"] for trial in plan.trials]
    assert [queue["parameters"] for queue in parameters if queue] == [{"target": "5ms"}, {"target": "20ms"}]


def test_axes_of_mappings() -> None:
    queues = [{"limit": "1bdp"}, {"discipline": "fq_codel", "parameters": {"ecn": True}}]
    plan = make_plan(validate(_document(matrix={"topology.bottleneck.queue": queues})))
    assert [cell.id for cell in plan.cells] == ["queue-1bdp", "queue-fq_codel-true"]


# --- ids


@pytest.mark.parametrize(
    ("matrix", "ids"),
    [
        ({"flows.bulk.cc": ["bbr"]}, ["bbr"]),
        ({"offloads": [True, False]}, ["offloads-true", "offloads-false"]),
        ({"mtu": [1500, 9000]}, ["mtu-1500", "mtu-9000"]),
        ({"topology.bottleneck.rate": ["1.5 Mbit/s"]}, ["rate-1.5-mbit-s"]),
        (
            {"topology.bottleneck.delay": ["20ms"], "topology.access.delay": ["1ms"]},
            ["bottleneck-delay-20ms-access-delay-1ms"],
        ),
        ({"topology.bottleneck.loss": [0.25, 0.5]}, ["loss-0.25", "loss-0.5"]),
        ({"topology.access.rate": ["1mbit", None]}, ["rate-1mbit", "rate-none"]),
    ],
)
def test_ids_of_cells(matrix: dict[str, list[Any]], ids: list[str]) -> None:
    assert [cell.id for cell in make_plan(validate(_document(matrix=matrix))).cells] == ids


def test_a_plan_of_an_invalid_document_is_refused() -> None:
    with pytest.raises(InputError, match=r"^matrix\.title: 'title' cannot be varied"):
        make_plan(validate(_document(matrix={"title": ["x"]})))


def test_two_flows_tell_their_axes_apart() -> None:
    flows = {"a": {"from": "s1", "to": "d1"}, "b": {"from": "s1", "to": "d1"}}
    plan = make_plan(validate(_document(flows=flows, matrix={"flows.a.cc": ["bbr"], "flows.b.cc": ["cubic"]})))
    assert [axis.label for axis in plan.axes] == ["a.cc", "b.cc"]
    assert plan.cells[0].id == "a-cc-bbr-b-cc-cubic"


def test_values_that_look_alike_get_ids_that_differ() -> None:
    values = ["a_b", "a.b", "A.B", "a%b", "apctb"]
    plan = make_plan(validate(_document(matrix={"topology.bottleneck.queue.parameters.flags": values})))
    ids = [cell.id for cell in plan.cells]
    assert ids == ["flags-a_b", "flags-a.b", "flags-a.b-2", "flags-apctb", "flags-apctb-2"]


def test_long_ids_are_cut_and_stay_apart() -> None:
    matrix = {f"topology.bottleneck.queue.parameters.parameter_{i}": ["x" * 30, "y" * 30] for i in range(5)}
    plan = make_plan(validate(_document(matrix=matrix)))
    ids = [cell.id for cell in plan.cells]
    assert len(set(ids)) == 32
    assert max(map(len, ids)) <= 100


_WORDS = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._%]{0,6}\Z")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        _WORDS | st.integers(0) | st.just(True), min_size=1, max_size=6, unique_by=lambda value: (type(value), value)
    )
)
def test_ids_are_unique_and_safe_whatever_the_values(values: list[Any]) -> None:
    plan = make_plan(validate(_document(matrix={"topology.bottleneck.queue.parameters.x": values}, repeat=2)))
    ids = [cell.id for cell in plan.cells] + [trial.id for trial in plan.trials]
    assert len(ids) == 3 * len(values)
    assert len({name.lower() for name in ids}) == len(ids)
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name) for name in ids)


# --- seeds


def test_all_cells_meet_the_same_seed_in_the_same_repetition(shipped: Plan) -> None:
    for repetition in (1, 2, 3):
        trials = [trial for trial in shipped.trials if trial.repetition == repetition]
        assert len(trials) == 6
        assert {trial.seed for trial in trials} == {trial_seed(1, repetition)}
        assert {trial.job["flows"][0]["start_ns"] for trial in trials} == {trials[0].job["flows"][0]["start_ns"]}
        assert {_seeds(trial.job) for trial in trials} == {_seeds(trials[0].job)}
    assert len({trial.seed for trial in shipped.trials}) == 3


def _seeds(job: Job) -> tuple[int, ...]:
    netems = [way["netem"] for link in job["links"] for way in (link["ab"], link["ba"])]
    return tuple(netem["seed"] for netem in netems if netem is not None)


def test_seeds_of_links_and_directions_differ() -> None:
    topology = {**_bottleneck(), "access": {"delay": "1ms"}, "pairs": 3}
    seeds = _seeds(_job(topology=topology))
    assert len(set(seeds)) == len(seeds) == 14
    assert all(0 < seed < 2**32 for seed in seeds)


def test_pinned_seeds() -> None:
    assert trial_seed(1, 1) == 5156615006581898655
    assert trial_seed(1, 2) != trial_seed(2, 1)
    assert derive(8, "ab", "c") != derive(8, "a", "bc")


@given(st.integers(0, 2**63 - 1), st.integers(1, 10_000))
def test_seeds_fit_in_63_bits(seed: int, repetition: int) -> None:
    assert 0 <= trial_seed(seed, repetition) < 2**63


def test_jitter_is_drawn_within_its_bound_and_for_each_flow() -> None:
    flows = {f"f{number}": {"from": "s1", "to": "d1", "start": "1s"} for number in range(20)}
    starts = [flow["start_ns"] for flow in _job(flows=flows, start_jitter="100ms")["flows"]]
    assert len(set(starts)) == 20
    assert all(10**9 <= start < 1_100_000_000 for start in starts)
    assert max(starts) - min(starts) > 50_000_000
    assert {flow["start_ns"] for flow in _job(flows=flows)["flows"]} == {10**9}


# --- digests


def test_the_digest_is_stable(shipped: Plan) -> None:
    assert shipped.trials[0].digest == FIRST_DIGEST
    assert make_plan(load_experiment(SHIPPED).checked) == shipped


def test_every_trial_of_the_shipped_experiment_has_a_digest_of_its_own(shipped: Plan) -> None:
    assert len({trial.digest for trial in shipped.trials}) == 18


def test_a_job_knows_nothing_of_experiment_cell_and_repetition(shipped: Plan) -> None:
    changed = {**load_experiment(SHIPPED).raw, "name": "other", "title": "Other", "description": "", "repeat": 1}
    changed["matrix"] = {"topology.bottleneck.loss": ["1%"], "flows.bulk.cc": ["bbr"]}
    (trial,) = make_plan(validate(changed)).trials
    assert trial.digest == {trial.id: trial.digest for trial in shipped.trials}["bbr-loss-1pct-r1"]
    # The digest does not depend on how a value is written in the file.
    changed["matrix"] = {
        "topology.bottleneck.loss": [0.01],
        "topology.bottleneck.rate": ["0.02 Gbit/s"],
        "flows.bulk.cc": ["bbr"],
    }
    assert make_plan(validate(changed)).trials[0].digest == trial.digest


def test_the_digest_is_of_canonical_json() -> None:
    job = _job()
    shuffled = cast(Job, dict(reversed(job.items())))
    assert digest_of(job) == digest_of(shuffled)
    assert canonical_json({"b": 1, "a": [1.5, "é"]}) == '{"a":[1.5,"\\u00e9"],"b":1}'
    assert len(digest_of(job)) == 64


# --- the job


def test_nodes_links_and_their_order() -> None:
    job = _job(topology={**_bottleneck(), "pairs": 2})
    assert [node["name"] for node in job["nodes"]] == ["s1", "s2", "d1", "d2", "r1", "r2"]
    assert [(link["name"], link["a"], link["b"]) for link in job["links"]] == [
        ("access-s1", "s1", "r1"),
        ("access-s2", "s2", "r1"),
        ("bottleneck", "r1", "r2"),
        ("access-d1", "r2", "d1"),
        ("access-d2", "r2", "d2"),
    ]
    assert _link(job, "access-s1")["ab"] == {
        "rate_bps": None,
        "queue": None,
        "netem": None,
        "changes": [],
        "capacity": None,
        "lost_packets": [],
    }


def test_the_bdp_counts_the_delays_of_the_whole_path() -> None:
    topology = {**_bottleneck(reverse={"delay": "4ms", "rate": "5mbit"}), "access": {"delay": "1ms", "rate": "100mbit"}}
    job = _job(topology=topology)
    # 4 × 1 ms + 20 ms + 4 ms = 28 ms.
    assert _queue(_link(job, "bottleneck")["ab"]) == ("bfifo", 70_000, None)
    assert _queue(_link(job, "bottleneck")["ba"]) == ("bfifo", 17_500, None)
    assert _queue(_link(job, "access-d1")["ba"]) == ("bfifo", 350_000, None)


@pytest.mark.parametrize(
    ("queue", "expected"),
    [
        ({}, ("bfifo", 100_000, None)),
        ({"limit": "0.33333bdp"}, ("bfifo", 33_333, None)),
        ({"limit": "100p"}, ("bfifo", 151_400, None)),
        ({"limit": "50ms"}, ("bfifo", 125_000, None)),
        ({"limit": "64KiB"}, ("bfifo", 65_536, None)),
        ({"discipline": "pfifo"}, ("pfifo", None, 66)),
        ({"discipline": "pfifo", "limit": "100p"}, ("pfifo", None, 100)),
        ({"discipline": "pfifo", "limit": "1514B"}, ("pfifo", None, 1)),
        ({"discipline": "fq_codel"}, ("fq_codel", None, 10240)),
        ({"discipline": "fq_codel", "limit": "2bdp"}, ("fq_codel", None, 132)),
        ({"discipline": "codel"}, ("codel", None, 1000)),
        ({"discipline": "pie"}, ("pie", None, 1000)),
        ({"discipline": "fq"}, ("fq", None, 10000)),
    ],
)
def test_queue_limits(queue: dict[str, str], expected: tuple[str, int | None, int | None]) -> None:
    assert _queue(_link(_job(topology=_bottleneck(queue=queue)), "bottleneck")["ab"]) == expected


def test_reverse_is_as_forward_but_without_loss() -> None:
    link = _link(_job(topology=_bottleneck(loss="1%", queue={"limit": "3bdp"})), "bottleneck")
    assert link["ba"]["rate_bps"] == link["ab"]["rate_bps"]
    assert link["ba"]["queue"] == link["ab"]["queue"]
    assert [mean_loss(way["netem"]) for way in (link["ab"], link["ba"])] == [0.01, 0.0]
    other = _link(_job(topology=_bottleneck(reverse={"loss": "2%", "queue": {"discipline": "pie"}})), "bottleneck")
    assert [mean_loss(way["netem"]) for way in (other["ab"], other["ba"])] == [0.0, 0.02]
    assert _queue(other["ba"]) == ("pie", None, 1000)


def test_a_link_without_delay_and_loss_has_no_netem() -> None:
    link = _link(_job(topology=_bottleneck(delay="0ms", queue={"limit": "64kB"})), "bottleneck")
    assert link["ab"]["netem"] is None


def test_flows_get_ports_in_order_and_last_to_the_end() -> None:
    flows = {"a": {"from": "s1", "to": "d1", "start": "1s"}, "b": {"from": "d1", "to": "s1", "duration": "2s"}}
    a, b = _job(flows=flows)["flows"]
    assert (a["port"], b["port"]) == (5201, 5202)
    assert (a["start_ns"], a["duration_ns"]) == (10**9, 9 * 10**9)
    assert (b["start_ns"], b["duration_ns"]) == (0, 2 * 10**9)
    assert (b["source"], b["destination"], b["group"]) == ("d1", "s1", "b")


def test_settings_reach_the_job() -> None:
    job = _job(
        ip="ipv6", mtu=9000, ecn="passive", offloads=True, socket_buffer="4MB", calibration={"pings": 7}, collect={}
    )
    assert (job["ip"], job["mtu"], job["ecn"], job["offloads"]) == ("ipv6", 9000, "passive", True)
    assert job["socket_buffer_bytes"] == 4_000_000
    assert job["calibration"] == {"ping_count": 7}
    assert job["collectors"] == {}
    assert _job()["collectors"] == {"tcp_probe": {"record": "every_ack", "ends": "senders", "transmit": False}}


def test_the_automatic_socket_buffer_holds_the_path() -> None:
    assert _job()["socket_buffer_bytes"] == 16 * 2**20
    # 6 × (a BDP of 10 MB + a queue of the same size).
    assert _job(topology=_bottleneck(rate="2gbit"))["socket_buffer_bytes"] == 6 * (10_000_000 + 10_000_000)
    assert _job(topology=_bottleneck(rate="1tbit"), engine="native")["socket_buffer_bytes"] == 2**31 - 1


def test_a_queue_counts_only_as_far_as_a_flow_can_fill_it() -> None:
    topology = _bottleneck(rate="50mbit", queue={"discipline": "bfifo", "limit": "100GB"})
    # What 50 Mbit/s carry in 10 s.
    assert _job(topology=topology, duration="10s")["socket_buffer_bytes"] == 6 * 62_500_000


def test_each_bottleneck_counts_while_it_is_one() -> None:
    queue = {"discipline": "bfifo", "limit": "1MB"}
    topology = _bottleneck(
        rate="100mbit", delay="500ms", queue=queue, schedule=[{"at": "2s", "rate": "10gbit"}], reverse={"rate": "1gbit"}
    )
    topology["access"] = {"rate": "400mbit", "queue": queue}
    # From 2 s on, the access link of the sender limits the flow: 400 Mbit/s × 1 s, and its queue.
    assert _job(topology=topology)["socket_buffer_bytes"] == 6 * (50_000_000 + 1_000_000)


def test_all_buffers_together_fit_into_the_guest() -> None:
    # A BDP of 50 MB and a queue of the same size; the sockets of both ends share half of the guest's memory.
    half = {engine: mib * 2**20 // 2 for engine, mib in MEMORY_MIB.items()}
    fast = _bottleneck(rate="10gbit")
    assert _job(topology=fast)["socket_buffer_bytes"] == half["vm"] // 2
    assert _job(topology=fast, engine="uml")["socket_buffer_bytes"] == 600_000_000 < half["uml"] // 2


def test_the_delay_line_never_binds() -> None:
    assert netem_limit_packets(None, 10**9) == 1_000_000
    assert netem_limit_packets(20_000_000, 20_000_000) == 1_000_000
    # Four times the number of 64-byte frames in 100 Gbit/s × 100 ms.
    assert netem_limit_packets(10**11, 10**8) == 4 * 19_531_250
    assert netem_limit_packets(10**12, 10**12) == 2**32 - 1


# --- JSON


def test_json_round_trip(shipped: Plan) -> None:
    text = shipped.to_json()
    assert Plan.from_json(text) == shipped
    assert Plan.from_json(text.encode()).to_json() == text
    assert json.loads(text)["trials"][0]["digest"] == FIRST_DIGEST


def test_a_plan_of_another_format_or_a_damaged_one_is_refused(shipped: Plan) -> None:
    text = shipped.to_json()
    with pytest.raises(InputError, match="has format 7; this version reads format 2"):
        Plan.from_json(text.replace('"format": 2,', '"format": 7,', 1))
    with pytest.raises(InputError, match="trial cubic-loss-0pct-r1 does not match its digest"):
        Plan.from_json(text.replace('"mtu": 1500', '"mtu": 1501', 1))
    for damaged in (text[:-10], "[]", "{}", '{"format": 2}', b"\xff", text.replace('"id"', '"di"')):
        with pytest.raises(InputError, match="the plan is damaged"):
            Plan.from_json(damaged)


# --- describe


def test_describe_the_shipped_experiment(shipped: Plan) -> None:
    assert (
        describe(shipped)
        == """\
cubic_vs_bbr: CUBIC and BBR on a lossy path
  varied   cc: cubic, bbr
           loss: 0%, 0.1%, 1%
  trials   6 cells × 3 repetitions = 18
  time     540.3 s of traffic in total, in virtual time
  path     base RTT 40 ms, IPv4, MTU 1500
           r1 ↔ r2: 20 Mbit/s, delay 20 ms, bfifo of 100 kB (1 BDP)"""
    )


def test_describe_says_what_the_schedule_makes_of_the_path() -> None:
    steps = [{"at": "2s", "loss": "100%"}, {"at": "3s", "loss": "0%", "delay": "50ms"}, {"at": "8s", "loss": "100%"}]
    text = describe(make_plan(validate(_document(topology=_bottleneck(schedule=steps)))))
    assert "base RTT 40 ms (by its schedule 70 ms), IPv4" in text
    assert "3 scheduled changes (down from 2 s to 3 s, down from 8 s on)" in text
    assert "down" not in describe(make_plan(validate(_document())))


def test_a_link_that_is_down_loses_copies_too() -> None:
    steps = [{"at": "2s", "loss": "100%"}, {"at": "3s", "loss": "0%"}, {"at": "4s", "over": "1s", "loss": "100%"}]
    way = _link(_job(topology=_bottleneck(duplicate="30%", schedule=steps)), "bottleneck")["ab"]
    states = [change["netem"] for change in way["changes"]]
    lost = [mean_loss(netem) for netem in states]
    assert lost[:2] == [1, 0]
    assert lost[2:] == pytest.approx([number / 20 for number in range(1, 21)])
    assert [netem["duplicate"] for netem in states if netem] == [0, 0.3, *[0.3] * 19, 0]


def test_describe_says_where_queues_differ() -> None:
    topology = {**_bottleneck(loss="1%", reverse={"rate": "5mbit"}), "access": {"delay": "1ms"}}
    matrix = {
        "topology.bottleneck.queue": [{"limit": "1bdp"}, {"discipline": "codel"}],
        "flows.bulk.cc": ["bbr", "cubic"],
    }
    text = describe(make_plan(validate(_document(topology=topology, matrix=matrix, repeat=3))))
    assert text.splitlines()[5:] == [
        "  path     where queue is 1bdp:",
        "           base RTT 44 ms, IPv4, MTU 1500",
        "           s1 ↔ r1 and 1 more link: delay 1 ms",
        "           r1 → r2: 20 Mbit/s, delay 20 ms, loss 1%, bfifo of 110 kB (1 BDP)",
        "           r2 → r1: 5 Mbit/s, delay 20 ms, bfifo of 27.5 kB (1 BDP)",
        "           where queue is codel:",
        "           base RTT 44 ms, IPv4, MTU 1500",
        "           s1 ↔ r1 and 1 more link: delay 1 ms",
        "           r1 → r2: 20 Mbit/s, delay 20 ms, loss 1%, codel of 1000 packets (13.8 BDP)",
        "           r2 → r1: 5 Mbit/s, delay 20 ms, codel of 1000 packets (55.1 BDP)",
    ]


def test_describe_stops_when_paths_are_too_many() -> None:
    delays = [f"{number}ms" for number in range(10, 30)]
    text = describe(make_plan(validate(_document(matrix={"topology.bottleneck.delay": delays}))))
    assert text.count("where delay is") == 8
    assert "and 12 more paths" in text


def test_what_a_report_shows_changes_no_trial() -> None:
    matrix = {"flows.bulk.cc": ["cubic", "bbr"]}
    asked = {"figures": [{"kind": "against", "x": "cc"}], "defaults": False}
    plain, other = (make_plan(validate(_document(matrix=matrix, **more))) for more in ({}, {"report": asked}))
    assert [trial.digest for trial in plain.trials] == [trial.digest for trial in other.trials]
    assert [trial.job for trial in plain.trials] == [trial.job for trial in other.trials]
    assert plain.cells == other.cells
    assert other.report == asked
    assert Plan.from_json(other.to_json()) == other
    # Plans without it are as they were.
    assert "report" not in plain.document()
    assert Plan.from_json(plain.to_json()) == plain
