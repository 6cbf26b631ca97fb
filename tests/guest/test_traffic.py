# SPDX-License-Identifier: Apache-2.0
"""Check that flows and hosts behave as declared, with the measurements that the kernel makes of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lab.experiment.check.validate import validate
from lab.job.protocol import FlowResult, Job
from lab.plan.plan import make_plan
from lab.store.rows import Context, read_rows, rows_to_table
from tests.conftest import record_in

pytestmark = pytest.mark.vm

ALGORITHMS = (
    "reno cubic bbr vegas westwood htcp hstcp hybla illinois scalable veno yeah bic lp nv cdg dctcp".split()  # noqa: SIM905
)

INFINITE = 2**31 - 1
"""The initial ssthresh (TCP_INFINITE_SSTHRESH, include/net/tcp.h)."""

RunJob = Callable[[Job], Path]


def job(flows: dict[str, Any], duration: str = "6s", pairs: int = 4, **fields: Any) -> Job:
    link = {"rate": "20mbit", "delay": "10ms", **fields.pop("link", {})}
    document = {
        "name": "test",
        "topology": {"kind": "dumbbell", "pairs": pairs, "bottleneck": link},
        "flows": flows,
        "duration": duration,
        "engine": "uml",
        **fields,
    }
    (trial,) = make_plan(validate(document)).trials
    return trial.job


class Trial:
    """A finished trial."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.record = record_in(directory)

    def flow(self, name: str) -> FlowResult:
        assert self.record["status"] == "ok", self.record.get("error")
        return next(flow for flow in self.record["flows"] if flow["name"] == name)

    def received(self, name: str) -> dict[str, Any]:
        printed = json.loads((self.directory / self.flow(name)["server_json"]).read_text())
        found: dict[str, Any] = printed["end"]["sum_received"]
        return found

    def table(self, collector: str) -> pa.Table:
        described = self.record["collectors"][collector]
        rows = read_rows(self.directory, collector, described)
        return rows_to_table(rows, Context.of(self.record), described["names"])

    def of_sender(self, name: str) -> list[dict[str, Any]]:
        return [row for row in self.table("tcp_probe").to_pylist() if (row["flow"], row["end"]) == (name, "source")]


@pytest.fixture(scope="module")
def several(run_job: RunJob) -> Trial:
    """A trial with one flow of each kind, each between its own pair of hosts."""
    flows = {
        "back": {"from": "s1", "to": "d1", "direction": "reverse"},
        "amount": {"from": "s2", "to": "d2", "amount": "1MB"},
        "slow": {"from": "s3", "to": "d3", "rate": "2mbit", "message": "10kB", "mss": 1000},
        "bursts": {"from": "s4", "to": "d4", "on": "1s", "off": "2s", "message": "8kB"},
    }
    return Trial(run_job(job(flows, collect={"tcp_probe": {}, "flow": {}}, link={"reverse": {"rate": "5mbit"}})))


def test_in_reverse_the_server_sends(several: Trial) -> None:
    flow = several.flow("back")
    # The flow shares this direction with the ACKs of other flows.
    assert several.received("back")["bits_per_second"] == pytest.approx(5e6 * 1448 / 1514, rel=0.2)
    assert flow["source_port"] == 5201
    assert flow["tcp_info"]["bytes_acked"] > 1_000_000
    rows = several.of_sender("back")
    assert {row["sport"] for row in rows} == {5201}
    assert len(rows) > 500


def test_an_amount_is_sent_and_no_more(several: Trial) -> None:
    assert several.received("amount")["bytes"] == 8 * 131072  # iperf3 sends whole blocks.
    seen = several.of_sender("amount")
    assert max(row["time_ns"] for row in seen) < 3_000_000_000


def test_the_application_limits_itself(several: Trial) -> None:
    assert several.received("slow")["bits_per_second"] == pytest.approx(2e6, rel=0.03)
    # TCP timestamps take 12 of the 1000 bytes.
    assert {row["mss"] for row in several.of_sender("slow")[5:]} == {988}


def test_bursts_are_sent_when_they_are_on(several: Trial) -> None:
    for number, start in ((1, 0.0), (2, 3.0)):
        sent = several.flow(f"bursts-on{number}")["accounts"]["sides"]["sent"]["all"]
        assert sent["first_ns"] == pytest.approx(start * 1e9, abs=1e6)
        times = np.array([row["time_ns"] for row in several.of_sender(f"bursts-on{number}")]) / 1e9
        assert start + 0.8 < times.max() < start + 1.6
    assert [flow["name"] for flow in several.record["flows"]][-2:] == ["bursts-on1", "bursts-on2"]


def test_flows_start_one_after_the_other(run_job: RunJob) -> None:
    flows = {"late": {"from": "s{i}", "to": "d{i}", "count": 4, "every": "1s", "rate": "2mbit"}}
    trial = Trial(run_job(job(flows, collect={"states": {}})))
    opened: dict[str, float] = {}
    for row in trial.table("states").to_pylist():
        if row["newstate"] == "ESTABLISHED" and row["end"] == "source":
            opened.setdefault(row["flow"], row["time_ns"] / 1e9)
    for number in range(1, 5):
        # The connection is there before the flow's start, and its data begin with it.
        assert opened[f"late-{number}"] < number - 1
        sent = trial.flow(f"late-{number}")["accounts"]["sides"]["sent"]["all"]
        assert sent["first_ns"] == pytest.approx((number - 1) * 1e9, abs=1e6)


@pytest.mark.nightly
def test_64_flows_at_a_time(run_job: RunJob) -> None:
    flows = {"many": {"from": "s{i}", "to": "d{i}", "count": 64}}
    trial = Trial(run_job(job(flows, "3s", pairs=64, collect={"retrans": {}}, link={"rate": "50mbit"})))
    found = [trial.flow(f"many-{number}") for number in range(1, 65)]
    assert all(not flow["was_given_up"] and flow["tcp_info"]["bytes_acked"] > 0 for flow in found)
    # Until the sockets were read, the link cannot have carried more than its capacity.  It is idle only while the 64
    # iperf3 clients exchange their parameters.
    capacity = 50e6 / 8 * 1448 / 1514 * max(flow["tcp_info_at_ns"] for flow in found) / 1e9
    assert 0.75 * capacity < sum(flow["tcp_info"]["bytes_acked"] for flow in found) <= capacity


def test_every_algorithm_that_the_kernel_has(run_job: RunJob) -> None:
    flows = {name: {"from": f"s{number}", "to": f"d{number}", "cc": name} for number, name in enumerate(ALGORITHMS, 1)}
    # ECN is on because, without it, DCTCP falls back to Reno and reports another name.
    trial = Trial(run_job(job(flows, "3s", pairs=len(ALGORITHMS), collect={}, ecn="on")))
    found = {name: trial.flow(name)["congestion_control"] for name in ALGORITHMS}
    # The kernel calls HighSpeed TCP (RFC 3649) "highspeed".
    assert found == {name: "highspeed" if name == "hstcp" else name for name in ALGORITHMS}


def test_hosts_have_their_own_window_sysctls_and_queue(run_job: RunJob) -> None:
    hosts = {
        "s1": {"initial_window": 40, "queue": {"discipline": "fq"}},
        "d1": {"sysctl": {"net.ipv4.tcp_timestamps": False}, "offloads": True},
    }
    flows = {"wide": {"from": "s1", "to": "d1"}, "plain": {"from": "s2", "to": "d2"}}
    trial = Trial(run_job(job(flows, "3s", hosts=hosts)))
    first = {name: next(row for row in trial.of_sender(name) if row["packets_out"] > 2) for name in flows}
    assert first["wide"]["snd_cwnd"] == 40
    assert first["plain"]["snd_cwnd"] == 10
    # TCP timestamps, which are off on d1, take 12 bytes.
    assert first["wide"]["mss"] == 1460
    assert first["plain"]["mss"] == 1448
    qdiscs = {
        (port["interface"], qdisc["kind"]) for port in trial.record["interfaces"] for qdisc in port["qdiscs_after"]
    }
    assert ("s1-eth0", "fq") in qdiscs
    assert ("s2-eth0", "fq") not in qdiscs
    offloads = {port["interface"]: port["offloads"].get("gro") for port in trial.record["interfaces"]}
    assert (offloads["d1-eth0"], offloads["d2-eth0"]) == (True, False)


def test_a_module_s_parameter_changes_what_it_does(run_job: RunJob) -> None:
    flows = {"bulk": {"from": "s1", "to": "d1"}}
    peaks = []
    for hystart in (1, 0):
        trial = Trial(run_job(job(flows, "3s", modules={"cubic": {"hystart": hystart}}, link={"delay": "40ms"})))
        slow_start = [row["snd_cwnd"] for row in trial.of_sender("bulk") if row["ssthresh"] == INFINITE]
        peaks.append(max(slow_start))
    # Without HyStart, slow start ends when the queue is full.  BDP and queue are 132 packets each.
    assert peaks[0] < 200 < 264 <= peaks[1]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"hosts": {"s1": {"sysctl": {"net.ipv4.tcp_turbo": 1}}}}, "sysctl net.ipv4.tcp_turbo=1: No such file"),
        ({"hosts": {"s1": {"sysctl": {"net.ipv4.tcp_sack": "maybe"}}}}, "sysctl net.ipv4.tcp_sack=maybe: Invalid"),
        ({"modules": {"cubic": {"turbo": 1}}}, "tcp_cubic has no parameter turbo; its parameters are: beta, bic_scale"),
        ({"modules": {"cubic": {"beta": "much"}}}, "tcp_cubic does not accept beta=much: Invalid argument"),
    ],
)
def test_what_the_guest_does_not_have_is_said(run_job: RunJob, fields: dict[str, Any], expected: str) -> None:
    trial = Trial(run_job(job({"bulk": {"from": "s1", "to": "d1"}}, **fields)))
    assert trial.record["status"] == "failed"
    assert expected in trial.record["error"]


def test_probes_measure_what_a_queue_adds(run_job: RunJob) -> None:
    """Probes run next to a flow that fills a queue of 80 ms, and before it starts; with IPv4 and IPv6."""
    probes = {
        "echo": {"from": "s2", "to": "d2"},
        "rpc": {"kind": "tcp", "from": "s2", "to": "d2", "request": "100B", "response": "2kB", "interval": "200ms"},
        "voice": {"kind": "udp", "from": "s2", "to": "d2", "interval": "20ms", "request": "160B"},
        "early": {"from": "s3", "to": "d3", "duration": "1s", "interval": "10ms"},
    }
    flows = {"bulk": {"from": "s1", "to": "d1", "start": "2s"}}
    for ip in ("ipv4", "ipv6"):
        link = {"queue": {"limit": "80ms"}}
        trial = Trial(run_job(job(flows, probes=probes, collect={}, link=link, ip=ip)))
        rows = trial.table("latency").to_pylist()
        by_probe = {
            name: [(row["time_ns"] / 1e9, row["rtt_ns"] / 1e6) for row in rows if row["probe"] == name]
            for name in probes
        }
        assert [len(by_probe[name]) for name in probes] == [60, 30, 300, 100]
        for name in probes:
            times = [at for at, _rtt in by_probe[name]]
            assert np.allclose(np.diff(times), times[1] - times[0], atol=0.002)
            before = [rtt for at, rtt in by_probe[name] if at < 1.9]
            # The base RTT is 20 ms, to which the transmission of a few hundred bytes is added; nothing is lost.  When
            # the process of one probe ends, the others wait for the processor.
            assert 20.0 < min(before) <= float(np.median(before)) < 20.5
            assert max(before) < 26.0
        loaded = [rtt for name in ("echo", "rpc", "voice") for at, rtt in by_probe[name] if at > 3.5 and rtt]
        assert 60 < np.median(loaded) < 101
        assert max(loaded) < 20 + 80 + 3


def test_what_is_not_answered_is_counted(run_job: RunJob) -> None:
    probes = {
        "echo": {"from": "s2", "to": "d2", "interval": "5ms"},
        "voice": {"kind": "udp", "from": "s2", "to": "d2", "interval": "5ms"},
    }
    flows = {"bulk": {"from": "s1", "to": "d1"}}
    trial = Trial(run_job(job(flows, probes=probes, collect={}, link={"loss": "20%"})))
    for name in probes:
        rtts = [row["rtt_ns"] for row in trial.table("latency").to_pylist() if row["probe"] == name]
        assert len(rtts) == 1200
        # Only requests are lost, because the reverse direction has no loss.
        assert abs(rtts.count(0) - 240) < 5 * np.sqrt(1200 * 0.2 * 0.8)


@pytest.mark.parametrize("version", ["ipv4", "ipv6"])
def test_an_answered_ping_is_not_a_drop(run_job: RunJob, version: str) -> None:
    probes = {name: {"from": "s2", "to": "d2", "interval": "5ms"} for name in ("one", "other")}
    flows = {"bulk": {"from": "s1", "to": "d1", "duration": "1s"}}
    trial = Trial(run_job(job(flows, "2s", probes=probes, collect={"drops": {}}, ip=version)))
    rows = trial.table("drops").to_pylist()
    # Of the kernel's own ICMPv6, hosts may drop what is for other hosts (ip6_mc_input()).
    assert not [row for row in rows if row["location"].startswith(("ping_", "icmp"))]
    rtts = [row["rtt_ns"] for row in trial.table("latency").to_pylist()]
    assert len(rtts) == 800
    assert min(rtts) >= 20_000_000


@pytest.fixture(scope="module")
def datagrams(run_job: RunJob) -> Trial:
    """A trial with UDP flows: two that are slower than the link, and a flood that exceeds its rate."""
    flows = {
        "voice": {"from": "s1", "to": "d1", "protocol": "udp", "rate": "1mbit", "message": "200B"},
        "back": {"from": "s2", "to": "d2", "protocol": "udp", "rate": "1mbit", "direction": "reverse", "start": "1s"},
        "flood": {"from": "s3", "to": "d3", "protocol": "udp", "rate": "4mbit", "message": "1000B", "start": "3s"},
    }
    return Trial(run_job(job(flows, link={"rate": "2500kbit", "reverse": {"rate": "5mbit"}}, collect={"drops": {}})))


def test_datagrams_are_sent_at_their_rate(datagrams: Trial) -> None:
    sent = json.loads((datagrams.directory / datagrams.flow("voice")["client_json"]).read_text())["end"]["sum_sent"]
    assert sent["bits_per_second"] == pytest.approx(1e6, rel=0.01)
    assert sent["packets"] == sent["bytes"] / 200
    assert datagrams.received("back")["bits_per_second"] == pytest.approx(1e6, rel=0.02)
    assert {datagrams.flow(name)["congestion_control"] for name in ("voice", "back", "flood")} == {"udp"}


def test_lost_datagrams_are_those_that_the_queue_dropped(datagrams: Trial) -> None:
    lost = {}
    for name in ("voice", "back", "flood"):
        sides = datagrams.flow(name)["accounts"]["sides"]
        lost[name] = sides["sent"]["all"]["packets"] - sides["arrived"]["all"]["packets"]
    # For 3 s, the offered load is about twice the rate of the link.
    assert lost["flood"] > 300
    assert lost["back"] == 0
    dropped = Counter(row["flow"] for row in datagrams.table("drops").to_pylist() if row["cause"] == "queue_overflow")
    assert {name: dropped[name] for name in lost} == lost


def test_a_drop_says_which_datagram_it_was(datagrams: Trial) -> None:
    rows = datagrams.table("drops").to_pylist()
    flood = datagrams.flow("flood")
    end = json.loads((datagrams.directory / flood["server_json"]).read_text())["end"]["sum"]
    # The kernel may free the packets that a queue refuses at the same time in reverse order.
    numbers = sorted(row["datagram"] for row in rows if row["flow"] == "flood")
    assert len(set(numbers)) == len(numbers)
    assert 1 <= numbers[0] < numbers[-1] <= flood["accounts"]["sides"]["sent"]["all"]["packets"]
    # iperf3's receiver notices a loss from the number of the next datagram that arrives.
    noticed = [number for number in numbers if number < end["packets"]]
    assert len(noticed) == end["lost_packets"]
    assert {row["datagram"] for row in rows if row["flow"] is None} <= {None}


def test_segments_are_paced(run_job: RunJob) -> None:
    trial = Trial(run_job(job({"paced": {"from": "s1", "to": "d1", "pacing": "4mbit"}}, collect={"packets": {}})))
    assert trial.received("paced")["bits_per_second"] == pytest.approx(4e6, rel=0.05)  # iperf3 counts whole blocks.
    data = [row for row in trial.table("packets").to_pylist() if row["end"] == "source" and row["length"] == 1448]
    times = np.array([row["time_ns"] for row in data][100:]) / 1e6
    # The kernel sends at least two segments at a time (tcp_min_tso_segs) and paces by the payload of the segments.
    pairs = times[2:] - times[:-2]
    assert np.median(pairs) == pytest.approx(2 * 1448 * 8 / 4000, rel=0.002)
    assert np.percentile(pairs, 2) > 5


def short_job() -> Job:
    """Return a job with short flows over a link that is nearly idle at first and fully loaded from 8 s on."""
    flows = {
        "tiny": {"from": "s1", "to": "d1", "arrivals": {"per_second": 5, "process": "constant"}, "amount": "1kB"},
        "pages": {
            "from": "s2", "to": "d2", "cc": "reno", "arrivals": {"per_second": 5},
            "amount": {"distribution": "pareto", "mean": "30kB", "largest": "300kB"},
        },
        "dense": {"from": "s3", "to": "d3", "start": "8s", "arrivals": {"per_second": 40}, "amount": "60kB"},
    }  # fmt: skip
    return job(flows, "10s", collect={"life": {}, "retrans": {}, "drops": {}})


@pytest.fixture(scope="module")
def short(run_job: RunJob) -> Trial:
    return Trial(run_job(short_job()))


def completions(trial: Trial, group: str) -> list[dict[str, Any]]:
    return [row for row in trial.table("completions").to_pylist() if row["group"] == group]


def test_a_tiny_flow_takes_the_handshake_and_one_way(short: Trial) -> None:
    rows = completions(short, "tiny")
    assert len(rows) == 50
    alone = [row for row in rows if row["time_ns"] < 7.9e9]
    for number, row in enumerate(alone):
        # Each flow begins exactly at its time, except for the time that the process needs to wake up.
        assert 0 <= row["time_ns"] - number * 200_000_000 < 1_500_000
    # SYN and SYN-ACK take 20 ms and the data 10 ms; an idle token bucket lets 1066 bytes pass at once.
    assert np.median([row["connect_ns"] for row in alone]) / 1e6 == pytest.approx(20, abs=0.01)
    assert np.median([row["fct_ns"] for row in alone]) / 1e6 == pytest.approx(30, abs=0.01)


def test_short_flows_send_what_they_were_to_send_when_they_were_to(short: Trial) -> None:
    for flow in ("tiny", "pages", "dense"):
        rows = completions(short, flow)
        planned = next(
            declared["arrivals"]
            for declared in short_job()["flows"]
            if declared["name"] == flow and declared["arrivals"] is not None
        )
        assert [row["number"] for row in rows] == list(range(len(planned["at_ns"])))
        assert [row["bytes"] for row in rows] == planned["bytes"]
        late_ns = np.array([row["time_ns"] for row in rows]) - np.array(planned["at_ns"])
        assert (late_ns >= 0).all()
        # Flows may be late because they wait for the processor, especially the many dense ones.
        assert np.median(late_ns) < 2e6
        assert all(row["fct_ns"] > row["connect_ns"] > 0 for row in rows)


def test_the_kernel_saw_the_same_short_flows(short: Trial) -> None:
    assert {short.flow(name)["congestion_control"] for name in ("tiny", "dense")} == {"cubic"}
    assert short.flow("pages")["congestion_control"] == "reno"
    lives = [row for row in short.table("life").to_pylist() if row["end"] == "source"]
    resent = [row for row in short.table("retrans").to_pylist() if row["end"] == "source"]
    for flow in ("tiny", "pages", "dense"):
        rows = completions(short, flow)
        own = {row["sport"]: row for row in lives if row["flow"] == flow}
        assert sorted(own) == sorted(row["sport"] for row in rows)
        # The kernel counts SYN and FIN as acknowledged bytes, too.
        assert {row["sport"]: row["bytes"] + 2 for row in rows} == {port: row["tx_bytes"] for port, row in own.items()}
        segments = [-(-(row["end_seq"] - row["seq"]) // 1448) for row in resent if row["flow"] == flow]
        assert sum(row["retransmissions"] for row in rows) == sum(segments)
    # 40 flows of 60 kB per second are about the capacity of the link, so some packets must have been lost.
    assert sum(row["retransmissions"] for row in completions(short, "dense")) > 0


def test_a_short_flow_that_cannot_end_has_no_completion_time(run_job: RunJob) -> None:
    """The forward direction is cut after 2 s, so data that have not arrived by then never arrive."""
    flows = {"cut": {"from": "s1", "to": "d1", "arrivals": {"per_second": 2, "process": "constant"}, "amount": "20kB"}}
    cut = {"rate": "20mbit", "schedule": [{"at": "2s", "loss": "99.9999%"}]}
    rows = completions(Trial(run_job(job(flows, "4s", link=cut, collect={}))), "cut")
    assert [row["fct_ns"] > 0 for row in rows] == [True] * 4 + [False] * 4
    # The SYN of the flow that begins at the moment of the cut may still arrive.
    assert all(row["connect_ns"] == 0 for row in rows[5:])
    assert all(row["bytes"] == 0 for row in rows[4:])
