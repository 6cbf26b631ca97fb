# SPDX-License-Identifier: Apache-2.0
"""Check what the kernel counts of each flow, against the counters of ``tc`` and of the sockets."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.job import kernels
from lab.job.protocol import Job, Record
from lab.store.rows import Context, read_rows, rows_to_table
from tests.conftest import FAST, FAST_AND_AT_NIGHT_VM, record_in
from tests.guest.dumbbell import flow, job

pytestmark = pytest.mark.vm

RunJob = Callable[[Job], Path]
COOKIE = 37
"""What iperf3's client sends first on each TCP connection, in bytes."""


@pytest.fixture(scope="module", params=FAST_AND_AT_NIGHT_VM)
def kernel(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


MIXED = {
    "forward": {"from": "s1", "to": "d1"},
    "reverse": {"from": "s2", "to": "d2", "direction": "reverse", "cc": "bbr"},
    "datagrams": {"from": "s1", "to": "d1", "protocol": "udp", "rate": "2mbit"},
}


@pytest.fixture(scope="module", params=FAST_AND_AT_NIGHT_VM)
def mixed(run_job: RunJob, request: pytest.FixtureRequest) -> Path:
    """Three flows on a link that loses 2 % and duplicates 5 % of the packets in one direction."""
    return run_job(job(request.param, MIXED, {"loss": "2%", "duplicate": "5%"}))


def counted(record: Record, name: str, side: str) -> dict[str, Any]:
    return dict(flow(record, name)["accounts"]["sides"][side]["all"])


def grown(record: Record, node: str, link: str, role: str, kind: str, field: str) -> int:
    """By how much a counter of ``tc`` has grown while traffic ran."""
    (port,) = (
        port for port in record["interfaces"] if (port["node"], port["link"], port["role"]) == (node, link, role)
    )
    before, after = (
        next(qdisc for qdisc in port[when] if qdisc["kind"] == kind) for when in ("qdiscs_before", "qdiscs_after")
    )
    return int(after[field]) - int(before[field])


def towards_d(record: Record, end: str) -> int:
    """The packets of all flows that travel from the hosts s to the hosts d."""
    sides = (("forward", end), ("datagrams", end), ("reverse", f"{end}_backward"))
    return sum(counted(record, name, side)["packets"] for name, side in sides)


def test_what_is_sent_is_what_the_first_queue_counts(mixed: Path) -> None:
    record = record_in(mixed)
    passed = grown(record, "r1", "bottleneck", "egress", "tbf", "packets")
    dropped = grown(record, "r1", "bottleneck", "egress", "tbf", "drops")
    assert towards_d(record, "sent") == passed + dropped


def test_what_arrives_is_what_left_the_last_delay(mixed: Path) -> None:
    record = record_in(mixed)
    # netem counts a packet that it duplicates twice, and one that it loses not at all.
    assert towards_d(record, "arrived") == grown(record, "r2", "bottleneck", "ingress", "netem", "packets")


def test_frames_are_as_long_as_for_tc(run_job: RunJob, kernel: str) -> None:
    record = record_in(
        run_job(job(kernel, {"one": {"from": "s1", "to": "d1", "rate": "5mbit"}}, {"queue": {"limit": "1000p"}}))
    )
    frame_bytes = flow(record, "one")["accounts"]["sides"]["sent"]["frame_bytes"]
    assert frame_bytes == grown(record, "r1", "bottleneck", "egress", "tbf", "bytes")


def test_the_sender_counts_as_its_socket_does(mixed: Path) -> None:
    record = record_in(mixed)
    for name, cookie in (("forward", COOKIE), ("reverse", 0)):
        (last,) = (end for end in flow(record, name)["accounts"]["sockets"] if end["is_sender"] and end["is_last"])
        sent = counted(record, name, "sent")
        assert sent["bytes"] + cookie == last["tcp_info"]["bytes_sent"]
        assert sent["again_bytes"] == last["tcp_info"]["bytes_retrans"] > 0
        assert sent["again_packets"] == last["tcp_info"]["total_retrans"]


def test_the_receiver_counts_as_its_socket_does(mixed: Path) -> None:
    record = record_in(mixed)
    for name, cookie in (("forward", COOKIE), ("reverse", 0)):
        ends = flow(record, name)["accounts"]["sockets"]
        (last,) = (end for end in ends if not end["is_sender"] and end["is_last"])
        delivered, arrived = counted(record, name, "delivered"), counted(record, name, "arrived")
        assert delivered["bytes"] + cookie == last["tcp_info"]["bytes_received"]
        # First copies are what TCP has delivered, and what it had not yet when the connection ended.
        assert 0 <= arrived["bytes"] - arrived["again_bytes"] - delivered["bytes"] < 0.05 * delivered["bytes"]


def test_the_socket_is_read_when_the_declared_time_is_over(mixed: Path) -> None:
    record = record_in(mixed)
    for name in ("forward", "reverse"):
        found = flow(record, name)
        assert 0 <= found["tcp_info_at_ns"] - 4e9 < 0.05e9
        assert found["congestion_control"] == MIXED[name].get("cc", "cubic")
        assert 3.9e6 < found["tcp_info"]["busy_time"] < 4.1e6


def test_duplicates_and_losses_of_datagrams_are_told_apart(mixed: Path) -> None:
    record = record_in(mixed)
    sent, arrived = counted(record, "datagrams", "sent"), counted(record, "datagrams", "arrived")
    # netem loses 2 % of the packets that it does not duplicate, and never both copies.
    first_copies = arrived["packets"] - arrived["again_packets"]
    share = 1 - first_copies / sent["packets"]
    assert share == pytest.approx(0.02 * 0.95, abs=4 * (0.019 / sent["packets"]) ** 0.5)
    assert arrived["again_packets"] / sent["packets"] == pytest.approx(0.05, abs=4 * (0.05 / sent["packets"]) ** 0.5)


def test_bins_add_up_to_the_totals(mixed: Path) -> None:
    record = record_in(mixed)
    about = record["collectors"]["accounts"]
    assert about["lost"] == 0
    rows = rows_to_table(read_rows(mixed, "accounts", about), Context.of(record), about["names"]).to_pylist()
    for name in MIXED:
        for side in ("sent", "arrived", "sent_backward", "arrived_backward", "delivered"):
            own = [row for row in rows if (row["flow"], row["side"]) == (name, side)]
            total = counted(record, name, side)
            for field in ("packets", "bytes", "again_packets", "again_bytes", "ce_packets"):
                assert sum(row[field] for row in own) == total[field], (name, side, field)
            starts = [row["time_ns"] for row in own]
            assert starts == sorted(set(starts))
            assert all(start % 10_000_000 == 0 for start in starts)


def test_bins_may_be_narrower(run_job: RunJob, kernel: str) -> None:
    folder = run_job(job(kernel, {"one": {"from": "s1", "to": "d1"}}, {"loss": "1%"}, bin_width="2ms"))
    record = record_in(folder)
    for name in ("accounts", "backlog", "losses"):
        starts = [row["time_ns"] for row in rows_of(folder, name)]
        assert starts
        assert all(start % 2_000_000 == 0 for start in starts)
        assert any(start % 10_000_000 for start in starts)
    arrived = [row["packets"] for row in rows_of(folder, "accounts") if row["side"] == "arrived"]
    assert sum(arrived) == counted(record, "one", "arrived")["packets"]


def rows_of(folder: Path, name: str) -> list[dict[str, Any]]:
    record = record_in(folder)
    about = record["collectors"][name]
    assert about["lost"] == 0
    found: list[dict[str, Any]] = rows_to_table(
        read_rows(folder, name, about), Context.of(record), about["names"]
    ).to_pylist()
    return found


def test_drops_are_those_of_tc(mixed: Path) -> None:
    record = record_in(mixed)
    interfaces: dict[tuple[str, str], str] = {
        (port["node"], port["role"]): port["interface"] for port in record["interfaces"] if port["link"] == "bottleneck"
    }
    rows = rows_of(mixed, "losses")
    for node, role, kind, cause in (
        ("r1", "egress", "tbf", "queue_overflow"),
        ("r2", "ingress", "netem", "random_loss"),
    ):
        here = [row for row in rows if (row["node"], row["interface"]) == (node, interfaces[node, role])]
        assert {row["cause"] for row in here} <= {cause}
        dropped = sum(row["packets"] for row in here)
        assert dropped == grown(record, node, "bottleneck", role, kind, "drops")
        assert dropped > 0 or kind == "tbf"
        # The data of "reverse" travel in the other direction, so what is lost of it here are acknowledgements.
        assert {row["way"] for row in here if row["flow"] == "reverse"} <= {"backward"}
        assert {row["way"] for row in here if row["flow"] != "reverse"} <= {"forward"}


@pytest.mark.parametrize("discipline", ["red", "codel"])
def test_what_an_aqm_drops_is_counted(run_job: RunJob, kernel: str, discipline: str) -> None:
    parameters = {"min": 15000, "max": 45000, "avpkt": 1000, "burst": 25, "bandwidth": "20mbit", "probability": 0.1}
    queue: dict[str, Any] = {"discipline": discipline, "limit": "300kB" if discipline == "red" else "200p"}
    queue |= {"parameters": parameters} if discipline == "red" else {}
    folder = run_job(job(kernel, {"one": {"from": "s1", "to": "d1"}}, {"queue": queue}))
    rows = [row for row in rows_of(folder, "losses") if row["node"] == "r1"]
    assert {row["cause"] for row in rows} == {"aqm"}
    counted_by_tc = grown(record_in(folder), "r1", "bottleneck", "egress", discipline, "drops")
    assert sum(row["packets"] for row in rows) == counted_by_tc > 0


def test_the_queue_is_as_long_as_its_packets_wait(run_job: RunJob, kernel: str) -> None:
    folder = run_job(job(kernel, {"one": {"from": "s1", "to": "d1"}}, {}, collect={"queue": {"every_packet": True}}))
    at_bottleneck = [row for row in rows_of(folder, "backlog") if (row["node"], row["interface"]) == ("r1", "r1-eth2")]
    waits = [
        row["sojourn_ns"]
        for row in rows_of(folder, "queue")
        if (row["node"], row["interface"], row["kind"]) == ("r1", "r1-eth2", "dequeue") and row["time_ns"] >= 0
    ]
    left = sum(row["left_packets"] for row in at_bottleneck if row["time_ns"] >= 0)
    assert left == len(waits) > 4000
    mean_ns = sum(row["packet_ns"] for row in at_bottleneck) / left
    # In a virtual machine, the packets' own clocks start a few instructions earlier.
    assert mean_ns == pytest.approx(sum(waits) / len(waits), abs=100 if kernel in kernels.UML else 20_000)
    for row in at_bottleneck:
        assert row["byte_ns"] <= row["most_bytes"] * row["length_ns"]
        assert row["packet_ns"] <= row["most_packets"] * row["length_ns"]
    for before, after in itertools.pairwise(at_bottleneck):
        assert before["time_ns"] + before["length_ns"] <= after["time_ns"]


def test_marks_are_those_of_the_queue(run_job: RunJob, kernel: str) -> None:
    queue = {"discipline": "fq_codel", "parameters": {"ecn": True}}
    record = record_in(run_job(job(kernel, {"one": {"from": "s1", "to": "d1"}}, {"queue": queue}, ecn="on")))
    marked = grown(record, "r1", "bottleneck", "egress", "fq_codel", "ecn_mark")
    assert counted(record, "one", "arrived")["ce_packets"] == marked > 0


@pytest.mark.parametrize("version", ["ipv4", "ipv6"])
@pytest.mark.parametrize("delay", ["1us", pytest.param("20ms", marks=pytest.mark.nightly), "1s"])
def test_data_begin_at_the_declared_time(run_job: RunJob, kernel: str, version: str, delay: str) -> None:
    flows = {name: {**asked, "start": "1s", "duration": "8s"} for name, asked in MIXED.items()}
    link = {"delay": delay, "queue": {"limit": "500p"}}
    record = record_in(run_job(job(kernel, flows, link, "9s", ip=version)))
    # In a virtual machine, three clients and three servers share a processor.
    tolerance_ns = 100_000 if kernel in kernels.UML else 5_000_000
    for name in flows:
        sent = flow(record, name)["accounts"]["sides"]["sent"]["all"]
        assert sent["first_ns"] is not None
        assert 0 <= sent["first_ns"] - 1e9 < tolerance_ns, name


@pytest.mark.parametrize("delay", ["1.003ms", "25.01ms", "150.013ms"])
def test_round_trips_before_the_traffic_are_measured_to_the_microsecond(
    run_job: RunJob, kernel: str, delay: str
) -> None:
    record = record_in(run_job(job(kernel, {"one": {"from": "s1", "to": "d1"}}, {"delay": delay}, "2s")))
    (path,) = record["calibration"]
    assert path["answered"] == path["sent"]
    declared_ns = round(2 * float(delay.removesuffix("ms")) * 1e6)
    assert path["min_rtt_ns"] is not None
    assert path["max_rtt_ns"] is not None
    # A virtual machine's processor also takes time.
    own_ns = 0 if kernel in kernels.UML else 90_000
    assert declared_ns <= path["min_rtt_ns"] <= path["max_rtt_ns"] <= declared_ns + own_ns


def test_iperf3s_control_traffic_is_not_on_the_path(run_job: RunJob, kernel: str) -> None:
    flows = {"datagrams": {**MIXED["datagrams"], "duration": "2s"}}
    record = record_in(run_job(job(kernel, flows, {}, "2s")))
    sent = counted(record, "datagrams", "sent")["packets"]
    assert grown(record, "r1", "bottleneck", "egress", "tbf", "packets") == sent
    # Nothing comes back but ICMP, if a last datagram arrives after iperf3's server has ended.
    answers = record["counters"]["d1"].get("IcmpOutMsgs", 0)
    assert grown(record, "r2", "bottleneck", "egress", "tbf", "packets") == answers <= 3


def test_no_trial_fails_however_much_is_lost(run_job: RunJob, kernel: str) -> None:
    link = {"loss": "50%", "reverse": {"loss": "50%"}}
    record = record_in(run_job(job(kernel, MIXED, link)))
    assert record["status"] == "ok", record.get("error")
    sent, arrived = counted(record, "datagrams", "sent"), counted(record, "datagrams", "arrived")
    assert arrived["packets"] / sent["packets"] == pytest.approx(0.5, abs=0.07)


@pytest.mark.parametrize("count", [1, 40, pytest.param(200, marks=pytest.mark.nightly)])
def test_any_number_of_flows(run_job: RunJob, count: int) -> None:
    flows = {"f": {"from": "s1", "to": "d1", "count": count}}
    record = record_in(
        run_job(job(FAST, flows, {"rate": "100mbit", "queue": {"limit": "1000p"}}, start_jitter="500ms"))
    )
    assert record["status"] == "ok", record.get("error")
    assert len(record["flows"]) == count
    for found in record["flows"]:
        assert found["tcp_info"]["bytes_acked"] > 0
        (last,) = (end for end in found["accounts"]["sockets"] if end["is_sender"] and end["is_last"])
        assert found["accounts"]["sides"]["sent"]["all"]["bytes"] + COOKIE == last["tcp_info"]["bytes_sent"]
