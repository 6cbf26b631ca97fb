# SPDX-License-Identifier: Apache-2.0
"""Test links by sending numbered datagrams through networks that the agent has built."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lab.engine.uml.engine import UmlEngine
from lab.engine.vm.engine import VmEngine
from lab.experiment.check.validate import validate
from lab.experiment.schema.capacity import parse_capacity
from lab.job.network import mean_burst, mean_loss
from lab.job.protocol import Job
from lab.plan.plan import make_plan
from tests.conftest import FAST_AND_AT_NIGHT_VM
from tests.guest.dumbbell import job_on
from tests.guest.own_guest import run_script

pytestmark = pytest.mark.vm

MS, US = 1_000_000, 1_000
MANY = 20_000
FRAME = 1514
FULL = 1472
"""Payload of a datagram that fills a packet of 1500 bytes."""

IMPAIRED: dict[str, dict[str, Any]] = {
    "plain": {"delay": "20ms"},
    "uniform": {"delay": "20ms", "jitter": "5ms"},
    "normal": {"delay": "20ms", "jitter": {"spread": "2ms", "distribution": "normal", "keep_order": True}},
    "pareto": {"delay": "20ms", "jitter": {"spread": "2ms", "distribution": "pareto"}},
    "paretonormal": {"delay": "20ms", "jitter": {"spread": "2ms", "distribution": "paretonormal"}},
    "correlated": {"delay": "20ms", "jitter": {"spread": "2ms", "distribution": "normal", "correlation": "75%"}},
    "correlated uniform": {"delay": "20ms", "jitter": {"spread": "5ms", "correlation": "75%"}},
    "random loss": {"loss": "1%"},
    "heavy loss": {"loss": "30%"},
    "gemodel": {"loss": {"model": "gemodel", "p": "1%", "r": "20%"}},
    "gemodel of four": {"loss": {"model": "gemodel", "p": "2%", "r": "10%", "bad_loss": "50%", "good_loss": "0.5%"}},
    "state": {"loss": {"model": "state", "p13": "1%", "p31": "20%", "p32": "10%", "p23": "60%", "p14": "0.5%"}},
    "duplicate": {"duplicate": "2%"},
    "corrupt": {"corrupt": "2%"},
    "reorder": {"delay": "5ms", "reorder": "5%"},
    "gap": {"delay": "5ms", "reorder": {"probability": "100%", "gap": 10}},
}

AT_NIGHT = {"uniform", "pareto", "paretonormal", "correlated", "correlated uniform", "heavy loss", "gemodel of four"}
"""Impairments whose trains are sent only at night; others that are sent by day are made in the same way."""

DISCIPLINES: dict[str, dict[str, Any]] = {
    "bfifo": {"discipline": "bfifo", "limit": "30280B"},
    "pfifo": {"discipline": "pfifo", "limit": "20p"},
    "sfq": {"discipline": "sfq", "limit": "20p"},
    "fq": {"discipline": "fq", "limit": "20p"},
    "cake": {"discipline": "cake", "limit": "100kB"},
}
"""Queues that are flooded with packets; packets that find no room are dropped."""

MARKING: dict[str, dict[str, Any]] = {
    "codel": {"discipline": "codel", "parameters": {"ecn": True}},
    "fq_codel": {"discipline": "fq_codel", "parameters": {"ecn": True}},
    "pie": {"discipline": "pie", "parameters": {"ecn": True}},
    "fq_pie": {"discipline": "fq_pie", "parameters": {"ecn": True}},
    "red": {"discipline": "red", "limit": "150kB", "parameters": {"ecn": True}},
    "cake": {"discipline": "cake"},
}


def link(**fields: Any) -> Job:
    return job_on({"kind": "single-link", "link": fields})


def bottleneck(**fields: Any) -> Job:
    return job_on({"kind": "dumbbell", "bottleneck": {"rate": "10mbit", "delay": "1ms", **fields}})


LOST = [1, 5, 10, 11, 300]
TRACE_MS = [2, 2, 2, 5, 30, 31, 31, 60, 100]
"""A capacity file with nine opportunities in 100 ms, which is repeated."""


def traced(limit: str) -> Job:
    """Return a job whose bottleneck follows the capacity file :data:`TRACE_MS`."""
    document = {
        "name": "test",
        "topology": {
            "kind": "dumbbell",
            "bottleneck": {"capacity": "t", "delay": "1ms", "queue": {"limit": limit}, "reverse": {"rate": "10mbit"}},
        },
        "flows": {"bulk": {"from": "s1", "to": "d1"}},
        "duration": "10s",
    }
    parsed = parse_capacity("\n".join(map(str, TRACE_MS)))
    (trial,) = make_plan(validate(document, {("capacity", "t"): parsed})).trials
    return trial.job


def by_time(*names: str) -> list[Any]:
    """Return the names as parameters of a test, which leaves out those of :data:`AT_NIGHT` by day."""
    return [pytest.param(name, marks=[pytest.mark.nightly] if name in AT_NIGHT else []) for name in names]


def _asked(nightly: bool) -> dict[str, tuple[Any, ...]]:
    asked: dict[str, tuple[Any, ...]] = {
        name: ("train", link(**fields), MANY, 50 * US, 100)
        for name, fields in IMPAIRED.items()
        if nightly or name not in AT_NIGHT
    }
    for rate in ("1mbit", "10mbit", "100mbit"):
        asked[f"rate {rate}"] = (
            "train",
            bottleneck(rate=rate, queue={"discipline": "pfifo", "limit": "500p"}),
            200,
            0,
            FULL,
        )
    for name, queue in DISCIPLINES.items():
        asked[f"flood {name}"] = ("train", bottleneck(queue=queue), 100, 0, FULL)
    for name, queue in MARKING.items():
        # The packets are ECT(0) and are sent at 1.5 times the rate of the link for one second.
        asked[f"marks {name}"] = ("train", bottleneck(queue=queue), 1240, 807 * US, FULL, 2)
    steps = [{"at": "500ms", "rate": "5mbit"}, {"at": "1s", "delay": "10ms"}, {"at": "1500ms", "loss": "50%"}]
    asked["steps"] = (
        "train",
        bottleneck(schedule=steps, queue={"limit": "20p", "discipline": "pfifo"}),
        2500,
        MS,
        1000,
    )
    ramp = [{"at": "500ms", "rate": "10mbit", "over": "1s", "every": "50ms"}]
    asked["ramp"] = (
        "train",
        bottleneck(rate="2mbit", schedule=ramp, queue={"discipline": "pfifo", "limit": "5p"}),
        2000,
        MS,
        FULL,
    )
    asked["queue"] = ("train", bottleneck(rate="1mbit", schedule=[{"at": "500ms", "queue": {"limit": "5p"}}],
                                          queue={"discipline": "pfifo", "limit": "50p"}), 2000, MS, FULL)  # fmt: skip
    listed = {"model": "list", "packets": LOST}
    asked["listed"] = ("train", link(loss=listed, delay="5ms"), 400, 200 * US, 1000)
    asked["listed alone"] = ("train", link(loss=listed), 400, 200 * US, 1000)
    asked["listed, small packets"] = ("train", link(loss=listed), 400, 200 * US, 200)
    asked["capacity"] = ("train", traced("1MB"), 100, 0, FULL)
    asked["capacity, now and then"] = ("train", traced("1MB"), 40, 41 * MS, FULL)
    asked["capacity, half packets"] = ("train", traced("1MB"), 100, 0, FRAME // 2 - 42)
    asked["capacity, short queue"] = ("train", traced("20p"), 100, 0, FULL)
    return asked


Answers = dict[str, dict[str, Any]]


@pytest.fixture(scope="module", params=FAST_AND_AT_NIGHT_VM)
def answers(
    engines: Callable[[str], VmEngine | UmlEngine],
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
    pytestconfig: pytest.Config,
) -> Answers:
    script = Path(__file__).parent / "scripts" / "links.py"
    asked = _asked(pytestconfig.getoption("nightly"))
    found: Answers = run_script(engines(request.param), script, tmp_path_factory.mktemp("links"), asked)
    return found


class Train:
    """The datagrams of a train: which arrived, when, and with which ECN field."""

    def __init__(self, answer: dict[str, Any], sent: int) -> None:
        table = np.array(answer["packets"], dtype=np.int64).reshape(-1, 5)
        self.number, self.sent_ns, self.received_ns, _ttl, self.ecn = table.T
        self.delays_ms = (self.received_ns - self.sent_ns) / 1e6
        self.first_ns = answer["first_ns"]
        self.lost = sorted(set(range(sent)) - set(self.number.tolist()))
        self.qdiscs = answer["qdiscs"]

    def qdisc(self, kind: str) -> dict[str, Any]:
        found: dict[str, Any] = next(
            qdisc for qdisc in self.qdiscs if qdisc["kind"] == kind and (qdisc["packets"] > 99)
        )
        return found

    def bursts(self) -> list[int]:
        """Return the lengths of all runs of consecutive lost packets."""
        return [len(list(run)) for _key, run in groupby(enumerate(self.lost), key=lambda item: item[1] - item[0])]


@pytest.fixture
def train(answers: Answers) -> Callable[..., Train]:
    return lambda name, sent=MANY: Train(answers[name], sent)


def test_delay_is_exact_to_a_tenth_of_a_millisecond(train: Callable[..., Train]) -> None:
    found = train("plain")
    assert not found.lost
    assert found.delays_ms.min() >= 20.0
    # Occasionally, a timer interrupt comes between reading the clock and sending.
    assert np.quantile(found.delays_ms, 0.999) < 20.1
    assert found.delays_ms.max() < 20.4


@pytest.mark.nightly
def test_uniform_jitter_and_that_it_reorders(train: Callable[..., Train]) -> None:
    found = train("uniform")
    assert 15.0 <= found.delays_ms.min() < 15.1
    assert 24.9 < found.delays_ms.max() < 25.1
    assert found.delays_ms.std() == pytest.approx(10 / math.sqrt(12), rel=0.02)
    assert sum(after < before for before, after in pairwise(found.number.tolist())) > MANY / 10


def test_normal_jitter_in_order(train: Callable[..., Train]) -> None:
    found = train("normal")
    assert found.number.tolist() == list(range(MANY))
    # No packet overtakes another: each waits for the previous one, so delays are at least those that netem draws.
    assert found.delays_ms.mean() > 20
    assert found.delays_ms.max() < 20 + 5 * 2 + 0.1


@pytest.mark.parametrize("name", by_time("pareto", "paretonormal", "correlated"))
def test_other_distributions_have_the_spread_declared(train: Callable[..., Train], name: str) -> None:
    found = train(name)
    # iproute2 normalises its tables to a mean of 0 and a standard deviation of 1, the Pareto tables only approximately.
    assert found.delays_ms.mean() == pytest.approx(20, abs=0.5)
    assert 1.0 < found.delays_ms.std() < 3.0


@pytest.mark.parametrize("name", by_time("correlated", "correlated uniform"))
def test_the_kernel_does_not_correlate_jitter(train: Callable[..., Train], name: str) -> None:
    """The kernel ignores the correlation of jitter, as ``lab check`` warns.

    tabledist() takes the correlated random number modulo a small number, which destroys the correlation.
    """
    found = train(name)
    delays = found.delays_ms[np.argsort(found.number)]
    assert abs(np.corrcoef(delays[:-1], delays[1:])[0, 1]) < 0.05


@pytest.mark.parametrize("name", by_time("random loss", "heavy loss"))
def test_independent_loss_is_within_its_binomial_band(train: Callable[..., Train], name: str) -> None:
    found = train(name)
    share = {"random loss": 0.01, "heavy loss": 0.3}[name]
    band = 4 * math.sqrt(MANY * share * (1 - share))
    assert abs(len(found.lost) - MANY * share) < band
    assert np.mean(found.bursts()) == pytest.approx(1 / (1 - share), rel=0.1)


@pytest.mark.parametrize("name", by_time("gemodel", "gemodel of four", "state"))
def test_loss_in_bursts_is_as_theory_has_it(train: Callable[..., Train], name: str) -> None:
    found = train(name)
    netem = link(**IMPAIRED[name])["links"][0]["ab"]["netem"]
    assert netem
    assert netem["loss"]
    assert len(found.lost) / MANY == pytest.approx(mean_loss(netem), rel=0.15)
    if name != "gemodel of four":  # In its bad state, half of the packets pass, so the bursts are shorter.
        assert np.mean(found.bursts()) == pytest.approx(mean_burst(netem["loss"]), rel=0.15)


def test_the_lengths_of_bursts_are_geometric(train: Callable[..., Train]) -> None:
    bursts = train("gemodel").bursts()
    counted = Counter(bursts)
    for length in (1, 2, 3, 4):
        expected = len(bursts) * 0.2 * 0.8 ** (length - 1)
        assert counted[length] == pytest.approx(expected, abs=5 * math.sqrt(expected))


def test_duplicates_arrive_twice(train: Callable[..., Train]) -> None:
    found = train("duplicate")
    copies = len(found.number) - MANY
    assert not found.lost
    assert abs(copies - 0.02 * MANY) < 4 * math.sqrt(MANY * 0.02 * 0.98)


def test_corrupted_packets_are_refused(train: Callable[..., Train]) -> None:
    """Corrupted packets fail a checksum, or do not arrive because the flipped bit is in a header."""
    lost = len(train("corrupt").lost)
    assert abs(lost - 0.02 * MANY) < 5 * math.sqrt(MANY * 0.02 * 0.98)


def test_reordered_packets_are_not_delayed(train: Callable[..., Train]) -> None:
    found = train("reorder")
    at_once = found.delays_ms < 0.1
    assert abs(at_once.sum() - 0.05 * MANY) < 4 * math.sqrt(MANY * 0.05 * 0.95)
    assert np.all(found.delays_ms[~at_once] >= 5.0)


def test_every_tenth_packet_overtakes(train: Callable[..., Train]) -> None:
    found = train("gap")
    overtaking = np.sort(found.number[found.delays_ms < 0.1])
    assert len(overtaking) == MANY // 10
    assert set(np.diff(overtaking)) == {10}


@pytest.mark.parametrize(("rate", "bps"), [("1mbit", 1e6), ("10mbit", 1e7), ("100mbit", 1e8)])
def test_the_rate_is_exact_to_half_a_percent(train: Callable[..., Train], rate: str, bps: float) -> None:
    found = train(f"rate {rate}", 200)
    assert not found.lost
    # The first two packets are left out, because they may leave at once with the tokens in the bucket.
    seconds = (found.received_ns[-1] - found.received_ns[2]) / 1e9
    assert (len(found.received_ns) - 3) * FRAME * 8 / seconds == pytest.approx(bps, rel=0.005)


@pytest.mark.parametrize("name", DISCIPLINES)
def test_a_full_queue_drops_what_it_has_no_room_for(train: Callable[..., Train], name: str) -> None:
    found = train(f"flood {name}", 100)
    dropped = max(qdisc["drops"] for qdisc in found.qdiscs if qdisc["kind"] == name)
    assert len(found.lost) == dropped > 0
    assert max(qdisc["drops"] for qdisc in found.qdiscs if qdisc["kind"] == "tbf") == dropped
    if name != "cake":  # The limit of cake is in bytes of memory.
        # Twenty packets wait, one is in tbf, and one has left.  fq has an additional queue of 8 packets
        # (fq_fastpath_check()).
        assert 20 <= 100 - dropped <= (30 if name == "fq" else 22)


@pytest.mark.parametrize("name", MARKING)
def test_marks_are_counted_by_the_discipline_and_carried_by_packets(train: Callable[..., Train], name: str) -> None:
    found = train(f"marks {name}", 1240)
    (qdisc,) = (qdisc for qdisc in found.qdiscs if qdisc["kind"] == name and qdisc["packets"] > 500)
    counted = qdisc.get("ecn_mark", qdisc.get("marked"))
    if counted is None:
        counted = sum(tin["ecn_mark"] for tin in qdisc["tins"])
    # red may mark a packet and then drop it because there is no room.
    counted -= qdisc.get("pdrop", 0)
    marked = int((found.ecn == 3).sum())
    assert marked == counted > 0


def test_steps_of_rate_delay_and_loss(train: Callable[..., Train]) -> None:
    found = train("steps", 2500)
    frame = (1000 + 42) * 8
    at_ms = (found.sent_ns - found.first_ns) / 1e6
    # The offered load is 8.3 Mbit/s.  At 10 Mbit/s, all packets pass; then the rate is reduced to 5 Mbit/s.
    before = at_ms < 480
    assert before.sum() == pytest.approx(480, abs=2)
    assert found.delays_ms[before].max() < 1 + 2 * frame / 10e3 / 1000 + 0.1
    slow = (found.received_ns - found.first_ns) / 1e6
    in_second = (slow > 600) & (slow < 950)
    assert in_second.sum() * frame / 0.35 == pytest.approx(5e6, rel=0.01)
    # The longer delay adds 9 ms to the queueing delay of the full queue of twenty packets.
    full = found.delays_ms[(at_ms > 800) & (at_ms < 950)].mean()
    later = found.delays_ms[(at_ms > 1100) & (at_ms < 1450)].mean()
    assert later - full == pytest.approx(9, abs=0.3)
    # Finally, half of the packets that the link carries are lost.
    lossy = (slow > 1600) & (slow < 2400)
    carried = 0.8 * 5e6 / frame
    assert abs(lossy.sum() - carried / 2) < 4 * math.sqrt(carried / 4)


def test_a_ramp_goes_from_one_rate_to_the_other(train: Callable[..., Train]) -> None:
    found = train("ramp", 2000)
    at_ms = (found.received_ns - found.first_ns) / 1e6
    for start, end, rate in ((200, 450, 2e6), (950, 1050, 6e6), (1600, 1900, 10e6)):
        carried = ((at_ms >= start) & (at_ms < end)).sum() * FRAME * 8 / ((end - start) / 1e3)
        assert carried == pytest.approx(rate, rel=0.1)
    # The rates are 2, 2.4, … 9.6 Mbit/s.  Each of the twenty changes fills tbf's bucket, which lets at most one more
    # packet pass.
    total = ((at_ms >= 500) & (at_ms < 1500)).sum() * FRAME * 8
    assert 5.8e6 * 0.99 <= total <= 5.8e6 + 21 * FRAME * 8


def test_a_queue_that_becomes_shorter(train: Callable[..., Train]) -> None:
    found = train("queue", 2000)
    packet_ms = FRAME * 8 / 1e3
    at_ms = (found.sent_ns - found.first_ns) / 1e6
    long = found.delays_ms[(at_ms > 200) & (at_ms < 480)]
    short = found.delays_ms[at_ms > 1300]
    # The change also fills the bucket of tbf, so that one packet leaves the queue without waiting.
    assert 50 - 1 < long.max() / packet_ms < 51
    assert 5 - 1 < short.max() / packet_ms < 6


@pytest.mark.parametrize("name", ["listed", "listed alone"])
def test_listed_packets_are_lost_and_no_others(train: Callable[..., Train], name: str) -> None:
    assert train(name, 400).lost == [number - 1 for number in LOST]


def test_small_packets_are_not_counted(train: Callable[..., Train]) -> None:
    assert train("listed, small packets", 400).lost == []


def opportunity_ms(number: int) -> int:
    """Return the time of the opportunity with this number (from 0), in ms."""
    return number // len(TRACE_MS) * TRACE_MS[-1] + TRACE_MS[number % len(TRACE_MS)]


def test_packets_leave_at_the_opportunities_of_the_capacity_file(train: Callable[..., Train]) -> None:
    found = train("capacity", 100)
    assert not found.lost
    arrived_ms = (found.received_ns - found.first_ns) / 1e6
    # All packets are sent at once, so each uses the next opportunity.  The link's delay of 1 ms is added.
    expected = np.array([opportunity_ms(number) for number in range(100)]) + 1
    assert np.all(np.abs(arrived_ms - expected) < 0.35)
    assert found.number.tolist() == list(range(100))


def test_opportunities_that_nobody_takes_are_gone(train: Callable[..., Train]) -> None:
    found = train("capacity, now and then", 40)
    sent_ms = (found.sent_ns - found.first_ns) / 1e6
    arrived_ms = (found.received_ns - found.first_ns) / 1e6
    every = np.array([opportunity_ms(number) for number in range(400)])
    for sent, arrived in zip(sent_ms, arrived_ms, strict=True):
        # A packet uses the first opportunity after it is sent, or the next one if it is sent just before the first.
        possible = [every[every > sent - 0.1].min(), every[every > sent + 0.3].min()]
        assert min(abs(arrived - 1 - opportunity) for opportunity in possible) < 0.35


def test_two_half_packets_share_an_opportunity(train: Callable[..., Train]) -> None:
    found = train("capacity, half packets", 100)
    arrived_ms = (found.received_ns - found.first_ns) / 1e6
    expected = np.array([opportunity_ms(number // 2) for number in range(100)]) + 1
    assert np.all(np.abs(arrived_ms - expected) < 0.35)


def test_a_short_queue_of_a_link_with_a_capacity_file_drops_what_comes_last(train: Callable[..., Train]) -> None:
    found = train("capacity, short queue", 100)
    # Twenty packets wait, and one leaves with the next opportunity; three more leave while the flood arrives.
    assert found.number.tolist()[:21] == list(range(21))
    assert 21 <= 100 - len(found.lost) <= 25
    clsact = max(qdisc["drops"] for qdisc in found.qdiscs if qdisc["kind"] == "clsact")
    assert clsact == len(found.lost)
