# SPDX-License-Identifier: Apache-2.0
"""Compare the collectors with all other measurements: those of tc, iperf3 and sockets, and of other collectors."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lab.engine.selftest import self_test_job
from lab.job.kernels import netem_takes_seeds
from lab.job.protocol import Job, Record
from lab.store.rows import Context, read_rows, rows_to_table
from tests.conftest import FAST, FAST_AND_AT_NIGHT_VM, job_of, record_in

pytestmark = pytest.mark.vm

RunJob = Callable[[Job], Path]

COOKIE_BYTES = 37
"""Size of the cookie that iperf3 sends first on each connection and does not count."""

BLOCK_BYTES = 131072
"""Size of the blocks that iperf3 writes over TCP."""

MSS = 1448
"""Payload of a full-size segment in bytes."""

CLOSING = {
    "ESTABLISHED": {"FIN_WAIT1", "CLOSE_WAIT", "CLOSE"},
    "FIN_WAIT1": {"FIN_WAIT2", "CLOSING", "TIME_WAIT", "CLOSE"},
    "FIN_WAIT2": {"TIME_WAIT", "CLOSE"},
    "CLOSE_WAIT": {"LAST_ACK", "CLOSE"},
    "CLOSING": {"TIME_WAIT", "CLOSE"},
    "LAST_ACK": {"CLOSE"},
    "TIME_WAIT": {"CLOSE"},
}
"""The state changes with which a connection may end (RFC 9293, figure 5), including those of a reset."""

RST = 4
SYN = 2


@dataclass
class Trial:
    """A finished trial, with its rows in the form in which they are stored."""

    directory: Path
    job: Job
    record: Record

    def rows(self, collector: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.table(collector).to_pylist()
        return found

    def table(self, collector: str) -> pa.Table:
        described = self.record["collectors"][collector]
        # A segment that an interrupt sends while a process is sending another one may be lost by tcp_probe.
        # drops_latency is a histogram of samples, some of which may be missed.
        if collector != "drops_latency":
            assert described["lost"] <= (2 if collector == "tcp_probe" else 0)
        rows = read_rows(self.directory, collector, described)
        return rows_to_table(rows, Context.of(self.record), described["names"])

    def dropped_by_tc(self) -> Counter[tuple[str, str]]:
        """Return (node, interface) → packets that its outermost queueing discipline dropped while traffic ran."""
        found: Counter[tuple[str, str]] = Counter()
        for port in self.record["interfaces"]:
            before, after = (
                sum(qdisc["drops"] for qdisc in port[when] if "parent" not in qdisc)
                for when in ("qdiscs_before", "qdiscs_after")
            )
            if after > before:
                found[port["node"], port["interface"]] = after - before
        return found

    def iperf3(self, end: str, name: str = "bulk") -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.directory / "iperf3" / f"{name}.{end}.json").read_text())
        return found


@pytest.fixture(scope="module")
def run(run_job: RunJob) -> Callable[[Job], Trial]:
    def run_it(job: Job) -> Trial:
        directory = run_job(job)
        record = record_in(directory)
        assert record["status"] == "ok", record.get("error")
        return Trial(directory, job, record)

    return run_it


@pytest.fixture(scope="module", params=["debian-13", pytest.param("debian-12", marks=pytest.mark.nightly), FAST])
def everything(run: Callable[[Job], Trial], request: pytest.FixtureRequest) -> Trial:
    """A trial of CUBIC with 1 % random loss, a shallow queue and all collectors with all options, on each kernel."""
    job = job_of("duration=5s", "topology.bottleneck.queue.limit=0.25bdp", loss="1%", kernel=request.param)
    return run({**job, "collectors": self_test_job()["collectors"]})


def of_flow(rows: list[dict[str, Any]], end: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["flow"] == "bulk" and row["end"] == end]


def in_whole_blocks(total: int) -> int:
    return (total - COOKIE_BYTES) // BLOCK_BYTES * BLOCK_BYTES


def bytes_in(rows: list[dict[str, Any]], column: str) -> int:
    return sum(row[column] for row in rows)


def test_the_family_is_that_of_the_addresses(everything: Trial) -> None:
    seen = set()
    for collector in everything.record["collectors"]:
        table = everything.table(collector)
        if "family" in table.column_names:
            seen.add(collector)
            for row in table.select(["family", "saddr", "daddr"]).to_pylist():
                # Packets that are neither IPv4 nor IPv6 have no addresses.
                expected = 10 if ":" in row["saddr"] + row["daddr"] else 2
                assert row["family"] == expected or (row["family"] == 0 and row["saddr"] == "::"), (collector, row)
    assert seen >= {"tcp_probe", "flow", "life", "states", "retrans", "destroy", "packets", "drops"}


def test_flow_counts_the_bytes_that_iperf3_counts(everything: Trial) -> None:
    rows = everything.rows("flow")
    sent = everything.iperf3("client")["end"]["sum_sent"]["bytes"]
    received = everything.iperf3("server")["end"]["sum_received"]["bytes"]
    source, destination = of_flow(rows, "source"), of_flow(rows, "destination")
    assert sum(row["tx_bytes"] for row in source) == source[-1]["tx_total_bytes"]
    assert sum(row["rx_bytes"] for row in destination) == destination[-1]["rx_total_bytes"]
    # iperf3 does not count a block that was only partly written or read when the test ended.
    assert in_whole_blocks(source[-1]["tx_total_bytes"]) == sent
    assert in_whole_blocks(destination[-1]["rx_total_bytes"]) == received
    assert {row["comm"] for row in rows} == {"iperf3"}
    assert {row["node"] for row in source} == {"s1"}
    assert len({row["pid"] for row in source}) == 1


def test_every_retransmission_that_the_socket_counts(everything: Trial) -> None:
    (flow,) = everything.record["flows"]
    rows = everything.rows("retrans")
    at = flow["tcp_info_at_ns"]
    # A row may stand for several segments that were retransmitted together.
    segments = [
        -(-(row["end_seq"] - row["seq"]) // MSS) for row in rows if row["flow"] == "bulk" and row["time_ns"] <= at
    ]
    assert sum(segments) == flow["tcp_info"]["total_retrans"]
    fast = [row for row in rows if row["kind"] == "fast"]
    assert len(fast) > 10
    assert {row["ca_state"] for row in fast} == {"Recovery"}
    assert all(row["end_seq"] > row["seq"] for row in rows if row["kind"] != "synack")


@pytest.mark.parametrize("seed", [2, 3, 9])
def test_retransmissions_by_kind_are_those_that_the_kernel_counts(run: Callable[[Job], Trial], seed: int) -> None:
    """One packet in five is lost in both directions, including SYNs, SYN-ACKs, whole windows and tails."""
    job = job_of("duration=8s", f"seed={seed}", "collect={retrans: {}}", loss="20%")
    (bottleneck,) = (link for link in job["links"] if link["name"] == "bottleneck")
    assert bottleneck["ba"]["netem"]
    bottleneck["ba"]["netem"]["loss"] = {"model": "random", "values": [0.2]}
    trial = run(job)
    seen: dict[str, Counter[str]] = {"s1": Counter(), "d1": Counter()}
    for row in trial.rows("retrans"):
        is_syn = row["kind"] == "synack" or row["state"] == "SYN_SENT"
        segments = 1 if is_syn else -(-(row["end_seq"] - row["seq"]) // MSS)
        seen[row["node"]][row["kind"]] += segments
        seen[row["node"]]["syn"] += is_syn
        seen[row["node"]]["all"] += segments
    for node, kinds in seen.items():
        counted = trial.record["counters"][node]
        assert kinds["all"] == counted.get("TcpRetransSegs", 0)
        assert kinds["syn"] == counted.get("TcpExtTCPSynRetrans", 0)
        assert kinds["fast"] == counted.get("TcpExtTCPFastRetrans", 0)
        # A tail loss probe may also carry new data, which is no retransmission.
        assert kinds["tlp"] <= counted.get("TcpExtTCPLossProbes", 0)
    assert seen["s1"]["all"] > 0
    counted = trial.record["counters"]["s1"]
    # One segment is retransmitted at each timeout, and others while the connection recovers from it.
    assert seen["s1"]["timeout"] == counted["TcpExtTCPTimeouts"] + counted.get("TcpExtTCPSlowStartRetrans", 0)


def test_a_lost_tail_is_probed_for(run: Callable[[Job], Trial]) -> None:
    """Of 70 segments the last one is lost, so that nothing after it can tell the sender (RFC 8985, section 7)."""
    flow = ("flows.bulk.message=1448B", f"flows.bulk.amount={70 * 1448}B")
    trial = run(job_of("duration=2s", *flow, "collect={retrans: {}}", loss="{model: list, packets: [70]}"))
    (row,) = (row for row in trial.rows("retrans") if row["flow"] == "bulk")
    assert row["kind"] == "tlp"
    assert trial.record["counters"]["s1"]["TcpExtTCPLossProbes"] >= 1


def test_what_was_dropped_is_what_was_retransmitted(everything: Trial) -> None:
    """All dropped data segments are retransmitted."""
    data = [row for row in everything.rows("drops") if row["flow"] == "bulk" and row["length"] > 0]
    last_seen = everything.record["flows"][0]["tcp_info_at_ns"] / 1e9 * 1e9 - 500_000_000
    died = Counter(row["seq"] for row in data if row["time_ns"] < last_seen)
    again = Counter(
        seq
        for row in everything.rows("retrans")
        if row["flow"] == "bulk"
        for seq in range(row["seq"], row["end_seq"], MSS)
    )
    assert died
    assert not died - again


def test_drops_equal_tc_packet_for_packet(everything: Trial) -> None:
    rows = everything.rows("drops")
    at_queues = [row for row in rows if row["cause"] in ("random_loss", "queue_overflow", "aqm")]
    assert Counter((row["node"], row["interface"]) for row in at_queues) == everything.dropped_by_tc()
    causes = {(row["interface"], row["cause"]) for row in at_queues}
    # On the older kernel, random losses happen to end slow start before the queue is full.
    assert causes - {("r1-eth1", "queue_overflow")} == {("ifb0", "random_loss")}
    assert len(causes) == 2 or not netem_takes_seeds(everything.record["kernel"])


def test_how_long_packets_take_along_the_stack(everything: Trial) -> None:
    latency = everything.rows("drops_latency")
    packets = Counter[tuple[str, str]]()
    for row in latency:
        packets[row["from"], row["to"]] += row["packets"]
    # Each segment that TCP receives passes netif_receive_skb and, on its path, the delay of a netem.
    # The histogram also counts iperf3's control traffic, which takes another way.
    received = len(everything.rows("packets"))
    assert packets["netif_receive_skb", "tcp_v4_rcv"] == pytest.approx(received, rel=0.02)
    delayed = sum(row["packets"] for row in latency if row["to"] == "net_dev_xmit" and row["at_least_ns"] >= 16_777_216)
    assert delayed == pytest.approx(received, rel=0.02)


@pytest.fixture(scope="module")
def connections(everything: Trial) -> dict[int, list[dict[str, Any]]]:
    """Socket → its state changes."""
    found: dict[int, list[dict[str, Any]]] = {}
    for row in everything.rows("states"):
        found.setdefault(row["skaddr"], []).append(row)
    return found


def test_states_of_both_ends_of_the_data_connection(connections: dict[int, list[dict[str, Any]]]) -> None:
    whole = {}
    for changes in connections.values():
        assert all(before["newstate"] == after["oldstate"] for before, after in pairwise(changes))
        assert all(after["duration_ns"] == after["time_ns"] - before["time_ns"] for before, after in pairwise(changes))
        end = changes[-1]["end"] if changes[-1]["flow"] == "bulk" else None
        if end is not None:
            whole[end] = [changes[0]["oldstate"], *(change["newstate"] for change in changes)]
    assert whole["source"][:3] == ["CLOSE", "SYN_SENT", "ESTABLISHED"]
    assert whole["destination"][:3] == ["LISTEN", "SYN_RECV", "ESTABLISHED"]
    # Which end closes first, and whether data are still in flight then, depends on iperf3 and on chance.
    for states in whole.values():
        assert states[-1] == "CLOSE"
        assert all(after in CLOSING[before] for before, after in pairwise(states[2:]))


def test_life_has_one_row_per_connection_end(everything: Trial, connections: dict[int, list[dict[str, Any]]]) -> None:
    rows = everything.rows("life")
    # A listening socket that is closed is not a connection.
    ended = [changes for changes in connections.values() if changes[-1]["newstate"] == "CLOSE" and len(changes) > 1]
    times = sorted(row["time_ns"] for row in rows)
    assert times == pytest.approx(sorted(changes[-1]["time_ns"] for changes in ended), abs=100_000)
    assert len(times) == len(ended)
    (source,), (destination,) = of_flow(rows, "source"), of_flow(rows, "destination")
    read = of_flow(everything.rows("flow"), "destination")[-1]["rx_total_bytes"]
    assert destination["rx_bytes"] >= read
    assert 0 <= source["tx_bytes"] - destination["rx_bytes"] <= 1  # The FIN counts as an acknowledged byte.
    assert source["time_ns"] == pytest.approx(5_000_000_000, rel=0.1)  # Its FIN may be lost, which takes time.
    assert source["duration_ns"] >= source["time_ns"]  # It was opened before the flow's start.
    assert {source["comm"], destination["comm"]} == {"iperf3"}


def test_each_reset_sent_arrives(everything: Trial) -> None:
    resets = Counter((row["node"], row["is_sent"]) for row in everything.rows("resets"))
    arrived = Counter(row["node"] for row in everything.rows("packets") if row["flags"] & RST)
    # The reverse direction, in which the receiver sends, loses nothing.
    assert 0 < resets["d1", "sent"] <= arrived["s1"]
    if not everything.record["kernel"].startswith("6.1."):
        # Linux 6.1 calls the tracepoint only for resets that a socket sends.
        assert resets["d1", "sent"] == arrived["s1"]
    assert resets["s1", "received"] >= 1


def test_destroy_is_of_sockets_that_were_closed(
    everything: Trial, connections: dict[int, list[dict[str, Any]]]
) -> None:
    closed = {key for key, changes in connections.items() if changes[-1]["newstate"] == "CLOSE"}
    destroyed = {row["skaddr"] for row in everything.rows("destroy") if row["flow"] == "bulk"}
    # The socket that closes first may still be in TIME_WAIT when the trial ends.
    assert 1 <= len(destroyed) <= 2
    assert destroyed <= closed


def test_packets_are_those_sent_less_those_dropped(everything: Trial) -> None:
    packets = everything.rows("packets")
    end = everything.record["traffic_end_ns"]
    sent = [row for row in everything.rows("tcp_probe") if row["is_transmit"] == "transmit" and row["end"] == "source"]
    # What was sent less than the one-way delay before the end may or may not have arrived when the recording stopped.
    early = [row for row in sent if row["time_ns"] < end - 25_000_000]
    dropped = [row for row in everything.rows("drops") if row["flow"] == "bulk" and row["end"] == "source"]
    dropped = [row for row in dropped if row["cause"] in ("random_loss", "queue_overflow") and row["length"]]
    arrived = [row for row in packets if row["flow"] == "bulk" and row["node"] == "d1" and row["length"]]
    # The comparison is in bytes, because TCP may pass several segments to the device as one, which splits them.
    survived = bytes_in(arrived, "length") + bytes_in(dropped, "length")
    unseen = everything.record["collectors"]["tcp_probe"]["lost"] * 65535
    assert bytes_in(early, "data_len") <= survived <= bytes_in(sent, "data_len") + unseen
    handshake = [row for row in packets if row["flow"] == "bulk" and row["flags"] & SYN]
    assert [(row["node"], row["flags"]) for row in handshake] == [("d1", 0x02), ("s1", 0x12)]


def test_the_probe_sees_every_segment_that_an_established_socket_receives(
    everything: Trial, connections: dict[int, list[dict[str, Any]]]
) -> None:
    (changes,) = (
        changes for changes in connections.values() if (changes[-1]["flow"], changes[-1]["end"]) == ("bulk", "source")
    )
    established = next(row["time_ns"] for row in changes if row["newstate"] == "ESTABLISHED")
    left = next(row["time_ns"] for row in changes if row["oldstate"] == "ESTABLISHED")
    probe = [row for row in everything.rows("tcp_probe") if row["is_transmit"] == "receive" and row["end"] == "source"]
    # The FIN that ends the state ESTABLISHED is the last segment to be recorded.
    arrived = [
        row
        for row in everything.rows("packets")
        if row["flow"] == "bulk" and row["node"] == "s1" and established < row["time_ns"] <= left
    ]
    assert len([row for row in probe if row["time_ns"] <= left]) == len(arrived)
    assert [row["data_len"] for row in probe if row["time_ns"] <= left] == [row["length"] for row in arrived]


def test_the_queue_is_what_tc_says(everything: Trial) -> None:
    rows = [row for row in everything.rows("queue") if (row["node"], row["interface"]) == ("r1", "r1-eth1")]
    kinds = Counter(row["kind"] for row in rows)
    entered = [row for row in rows if row["kind"] == "enqueue"]
    left = [row for row in rows if row["kind"] == "dequeue"]
    assert len(entered) - len(left) == rows[-1]["backlog_packets"]
    dropped = everything.dropped_by_tc()["r1", "r1-eth1"]
    # The drop count is read when a packet enters or leaves, so a drop after the last such event is not recorded.
    assert dropped - 2 <= max(row["drops"] for row in rows) <= dropped
    assert 100 < kinds["interval"] <= 5 * 100 + 60
    # In this FIFO queue at 20 Mbit/s, a packet waits until the backlog that it saw, including itself, has been sent.
    waited = np.array([row["sojourn_ns"] for row in left], dtype=np.int64)
    ahead = np.array([row["backlog_bytes"] for row in entered[: len(left)]], dtype=np.int64) * 8 * 1000 // 20
    packet_ns = 1514 * 8 * 1000 // 20
    assert np.all(waited <= ahead + packet_ns + 200_000)
    busy = ahead > 3 * packet_ns
    assert busy.sum() > (100 if netem_takes_seeds(everything.record["kernel"]) else 10)
    assert np.all(waited[busy] >= ahead[busy] - 2 * packet_ns)


@pytest.mark.parametrize(
    ("discipline", "parameters"),
    [("codel", "{}"), ("fq_codel", "{}"), ("pie", "{}"), ("bfifo", "{}")],
)
def test_drops_by_an_aqm_are_told_from_a_full_queue(
    run: Callable[[Job], Trial], discipline: str, parameters: str
) -> None:
    queue = f"topology.bottleneck.queue={{discipline: {discipline}, parameters: {parameters}}}"
    trial = run(job_of("duration=5s", queue, "collect={drops: {}, queue: {}}"))
    rows = [row for row in trial.rows("drops") if row["cause"] in ("random_loss", "queue_overflow", "aqm")]
    assert Counter((row["node"], row["interface"]) for row in rows) == trial.dropped_by_tc()
    assert rows
    assert {row["cause"] for row in rows} == {"queue_overflow" if discipline == "bfifo" else "aqm"}
    # Drops of the packets that measured the bottleneck's rate before the traffic do not count.
    at_queue = [row for row in trial.rows("queue") if (row["node"], row["interface"]) == ("r1", "r1-eth1")]
    dropped = trial.dropped_by_tc()["r1", "r1-eth1"]
    assert dropped - 2 <= max(row["drops"] for row in at_queue) <= dropped


def test_marks_are_those_that_the_aqm_counts(run: Callable[[Job], Trial]) -> None:
    queue = "topology.bottleneck.queue={discipline: fq_codel, parameters: {ecn: true}}"
    trial = run(job_of("duration=5s", "ecn=on", queue, "collect={queue: {}}"))
    (fq_codel,) = (
        qdisc
        for port in trial.record["interfaces"]
        if port["interface"] == "r1-eth1"
        for qdisc in port["qdiscs_after"]
        if qdisc["kind"] == "fq_codel"
    )
    rows = [row for row in trial.rows("queue") if (row["node"], row["interface"]) == ("r1", "r1-eth1")]
    assert rows[-1]["marks"] == fq_codel["ecn_mark"] > 0


def test_drops_are_recorded_in_their_window_only(run: Callable[[Job], Trial]) -> None:
    trial = run(job_of("duration=4s", "collect={drops: {window: {from: 1s, to: 2500ms}}}", cc="bbr", loss="5%"))
    times = [row["time_ns"] for row in trial.rows("drops")]
    assert len(times) > 10
    assert min(times) >= 1_000_000_000
    assert max(times) <= 2_510_000_000
    log = (trial.directory / "log.txt").read_text()
    assert log.count("drops: on") == log.count("drops: off") == 1


@pytest.fixture(scope="module")
def bbr(run: Callable[[Job], Trial]) -> list[dict[str, Any]]:
    trial = run(job_of("duration=5s", "ip=ipv6", cc="bbr"))
    return [row for row in trial.rows("tcp_probe") if row["flow"] == "bulk"]


def test_what_bbr_knows(bbr: list[dict[str, Any]]) -> None:
    assert {row["ca_name"] for row in bbr} == {"bbr"}
    modes = [row["ca_mode"] for row in bbr]
    order = [mode for mode, after in pairwise([*modes, ""]) if mode != after]
    assert order[:3] == ["Startup", "Drain", "ProbeBW"]
    steady = [row for row in bbr if row["ca_mode"] == "ProbeBW"]
    # With IPv6 and TCP timestamps, 1428 of the 1514 bytes of a packet are payload.
    bandwidth = np.median([row["ca_bandwidth"] for row in steady]) * 8 * 1514 / 1428
    assert bandwidth == pytest.approx(20e6, rel=0.02)
    # The gains are those of bbr_pacing_gain[] and bbr_high_gain in net/ipv4/tcp_bbr.c.  The gain is 0 until BBR has
    # been initialised.
    assert {row["ca_gain"] for row in steady} == {320, 192, 256}
    assert {row["ca_gain"] for row in bbr if row["ca_mode"] == "Startup"} <= {739, 256, 0}
    assert np.median([row["ca_min_rtt_us"] for row in steady]) == pytest.approx(40_000, rel=0.02)
    assert {row["mss"] for row in bbr} == {1428}


def test_what_cubic_knows(everything: Trial) -> None:
    rows = [row for row in everything.rows("tcp_probe") if row["end"] == "source" and row["is_transmit"] == "receive"]
    with_max = [row for row in rows if row["ca_window_max"]]
    assert len(with_max) > 100
    # On a reduction, cwnd becomes 0.7 of W_max, the window before.  With fast convergence, W_max itself is reduced to
    # 0.85 of that window (RFC 9438, sections 4.6 and 4.7).
    ratios = [row["ssthresh"] / row["ca_window_max"] for row in with_max if row["ca_window_max"] > 10]
    assert 0.65 < np.median(ratios) < 0.9
    assert max(row["ca_k_ms"] for row in rows) < 60_000
    # It has no modes, and they must not be mistaken for BBR's first one.
    assert {row["ca_mode"] for row in rows} == {None}
    assert {row["ca_alpha"] for row in rows} == {0}


@pytest.mark.parametrize("kernel", FAST_AND_AT_NIGHT_VM)
def test_what_dctcp_knows(run: Callable[[Job], Trial], kernel: str) -> None:
    red = "{min: 15kB, max: 30kB, avpkt: 1000, burst: 20, probability: 0.1, ecn: true}"
    queue = f"topology.bottleneck.queue={{discipline: red, limit: 300kB, parameters: {red}}}"
    trial = run(job_of("duration=8s", "ecn=on", queue, cc="dctcp", kernel=kernel))
    rows = [row for row in of_flow(trial.rows("tcp_probe"), "source") if row["is_transmit"] == "receive"]
    alphas = np.array([row["ca_alpha"] for row in rows]) / 1024
    # RFC 8257, section 3.3: alpha is initialised to 1, and then estimates the fraction of bytes that are marked.
    assert alphas[0] == alphas.max() == 1
    (flow,) = trial.record["flows"]
    arrived = flow["accounts"]["sides"]["arrived"]["all"]
    marked = arrived["ce_packets"] / arrived["packets"]
    later = alphas[[row["time_ns"] > 2e9 for row in rows]]
    assert 0 < marked < 0.9
    assert np.mean(later) == pytest.approx(marked, rel=0.5)


def test_filters_take_nodes_and_addresses(run: Callable[[Job], Trial]) -> None:
    job = job_of(
        "duration=1s",
        "collect={packets: {source: s1}, states: {host: 10.0.3.2}, life: {host: 192.0.2.1}, retrans: {port: 9}}",
        loss="5%",
    )
    trial = run(job)
    assert {row["node"] for row in trial.rows("packets")} == {"d1"}
    assert {row["node"] for row in trial.rows("states")} == {"s1", "d1"}
    assert trial.rows("life") == []
    assert trial.rows("retrans") == []


def test_all_collectors_together_are_exact(run: Callable[[Job], Trial], everything: Trial) -> None:
    again = run(everything.job)
    for file in sorted((everything.directory / "collect").iterdir()):
        assert file.read_bytes() == (again.directory / "collect" / file.name).read_bytes(), file.name
