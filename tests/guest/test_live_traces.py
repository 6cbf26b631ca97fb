# SPDX-License-Identifier: Apache-2.0
"""Test ``lab trace`` on the guest's kernel, which supports all collectors.

Events are caused on purpose, and the tests check that exactly these events are printed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from lab.engine.uml.engine import UmlEngine
from lab.engine.vm.engine import VmEngine
from lab.job import kernels
from tests.conftest import FAST
from tests.guest.own_guest import run_script
from tests.guest.scripts.live_traces import SESSIONS

pytestmark = pytest.mark.vm

BYTES = 1_000_003
FIN, SYN, PSH, ACK = 1, 2, 8, 16

Printed = dict[str, Any]


NEEDS_THE_WHOLE_KERNEL = ("latency", "causes")
"""Sessions for which User-mode Linux lacks something: fentry, kprobes, or an action of tc; they run at night."""


@pytest.fixture(scope="module")
def printed(
    engines: Callable[[str], VmEngine | UmlEngine],
    tmp_path_factory: pytest.TempPathFactory,
    pytestconfig: pytest.Config,
) -> Printed:
    """Name of a session → what it printed and what was done while it ran."""
    script = Path(__file__).parent / "scripts" / "live_traces.py"
    # Compiling programs takes minutes in a virtual machine.
    kernel, names = FAST, tuple(name for name in SESSIONS if name not in NEEDS_THE_WHOLE_KERNEL)
    if pytestconfig.getoption("nightly"):
        kernel, names = kernels.DEFAULT, tuple(SESSIONS)
    found: Printed = run_script(engines(kernel), script, tmp_path_factory.mktemp("live"), names)
    sessions = [session for name, session in found.items() if name != "list"]
    assert {session["status"] for session in sessions} == {0}
    assert all(session["errors"].strip().endswith("events, 0 lost") for session in sessions)
    return found


def rows(printed: Printed, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in printed[name]["output"].splitlines()]


def test_every_collector_works_on_this_kernel(printed: Printed) -> None:
    states = [line.split()[:2] for line in printed["list"].splitlines()]
    assert len(states) == 10
    assert {state for _collector, state in states} == {"ok"}


def test_flow_counts_every_byte_of_both_families(printed: Printed) -> None:
    found = rows(printed, "flow")
    for done, address in zip(printed["flow"]["done"], ("127.0.0.1", "::1"), strict=True):
        own = [row for row in found if row["saddr"] == address]
        sent = {row["sport"]: row["tx_total_bytes"] for row in own if row["tx_total_bytes"]}
        received = {row["sport"]: row["rx_total_bytes"] for row in own if row["rx_total_bytes"]}
        assert (sent, received) == ({done["client"]: BYTES}, {done["server"]: BYTES})
        assert {row["pid"] for row in own} == {done["pid"]}


def test_flow_of_one_process_leaves_out_the_others(printed: Printed) -> None:
    lines = printed["flow of another process"]["output"].splitlines()
    assert lines
    assert not [line for line in lines if "python3" in line]


def test_packets_shows_the_life_of_a_connection_of_either_family(printed: Printed) -> None:
    found = rows(printed, "packets")
    for done, family in zip(printed["packets"]["done"], (2, 10), strict=True):
        own = [row for row in found if row["family"] == family]
        assert [(row["sport"] == done["client"], row["flags"], row["length"]) for row in own] == [
            (True, SYN, 0),
            (False, SYN | ACK, 0),
            (True, ACK, 0),
            (True, PSH | ACK, 100),
            (False, ACK, 0),
            (True, FIN | ACK, 0),
            (False, FIN | ACK, 0),
            (True, ACK, 0),
        ]
        first, data, answer = own[0], own[3], own[4]
        assert data["seq"] == (first["seq"] + 1) % 2**32
        assert answer["ack"] == (data["seq"] + 100) % 2**32


def test_packets_prints_flags_in_columns(printed: Printed) -> None:
    heading, *lines = printed["packets table"]["output"].splitlines()
    assert heading.split()[-8:] == ["U", "A", "P", "R", "S", "F", "E", "C"]
    assert lines[1].split()[-8:] == [".", "A", ".", ".", "S", ".", ".", "."]
    assert len(lines) == 8


def test_probe_shows_what_is_sent(printed: Printed) -> None:
    done = printed["transmit"]["done"]
    sent = [row for row in rows(printed, "transmit") if row["is_transmit"] == "transmit"]
    of_client = [row["data_len"] for row in sent if row["sport"] == done["client"]]
    # The client sends the SYN, the last ACK of the handshake, the data and the FIN.  The segments have no TCP headers
    # yet, so only the data have a length.
    assert of_client[:2] == [0, 0]
    assert sum(of_client) == 5000
    received = [row for row in rows(printed, "transmit") if row["is_transmit"] == "receive"]
    assert received


@pytest.mark.nightly
def test_drops_latency_follows_packets_through_the_stack(printed: Printed) -> None:
    lines = [line.split() for line in printed["latency"]["errors"].splitlines()]
    packets: Counter[tuple[str, str]] = Counter()
    for line in lines:
        if len(line) == 4 and line[3].isdigit():
            packets[line[0], line[1]] += int(line[3])
    # All eight segments of the connection go over the loopback interface.
    assert packets["netif_receive_skb", "tcp_v4_rcv"] == 8
    assert packets["dev_queue_xmit", "eth_type_trans"] == 8


@pytest.mark.nightly
def test_each_drop_has_its_cause(printed: Printed) -> None:
    done = printed["causes"]["done"]
    found = rows(printed, "causes")
    by_cause = Counter((row["cause"], row["dport"]) for row in found if row["protocol"] == 17)
    assert by_cause["no_route", 7001] == done["no_route"]["sent"]
    receive_buffer = done["receive_buffer"]
    assert by_cause["receive_buffer", 7002] == receive_buffer["counted"] > 0
    assert receive_buffer["read"] == receive_buffer["sent"] - receive_buffer["counted"]
    assert by_cause["checksum", 7003] == done["checksum"]["counted"] == done["checksum"]["sent"]
    assert by_cause["firewall", 7005] == done["firewall"]["socket"]
    assert by_cause["firewall", 7006] == done["firewall"]["tc"]
    assert by_cause["queue_overflow", 7020] == done["queue_overflow"]["dropped"] > 0
    reasons: dict[str, set[str]] = {row["cause"]: set() for row in found}
    for row in found:
        reasons[row["cause"]].add(row["reason"])
    assert reasons["no_route"] == {"IP_INNOROUTES"}
    assert reasons["checksum"] == {"UDP_CSUM"}
    assert reasons["firewall"] == {"SOCKET_FILTER", "TC_INGRESS"}


def test_the_cause_of_a_drop_follows_the_queues_as_they_change(printed: Printed) -> None:
    found = [(row["dport"], row["cause"]) for row in rows(printed, "causes that change") if row["protocol"] == 17]
    assert found == [(7030, "random_loss"), (7031, "queue_overflow"), (7032, "random_loss")]


def test_dates_follow_the_clock_when_it_is_set(printed: Printed) -> None:
    found = [row["time_ns"] for row in rows(printed, "dates")]
    first, last, first_later, last_later = printed["dates"]["done"]
    assert first_later - last > 3600e9
    earlier = [time for time in found if time <= last]
    assert len(earlier) == len(found) / 2 > 5
    assert all(first <= time <= last for time in earlier)
    assert all(first_later <= time <= last_later for time in found if time > last)


def test_flow_has_times_of_the_kind_that_was_asked_for(printed: Printed) -> None:
    dates = {(row["time_ns"], row["time"]) for row in rows(printed, "flow")}
    assert dates
    for time_ns, text in dates:
        date, _point, decimals = text.partition(".")
        assert datetime.fromisoformat(date + decimals[9:]).timestamp() == time_ns // 10**9
        assert int(decimals[:9]) == time_ns % 10**9
    tables = printed["flow of another process"]["output"].split("\n\n")
    times = [float(table.splitlines()[0]) for table in tables if table]
    assert times == sorted(times)
    assert all(after - before == pytest.approx(0.3, abs=0.2) for before, after in pairwise(times[:-1]))


def test_drops_are_seen_only_while_it_is_on(printed: Printed) -> None:
    told = printed["switched"]["done"]["told"]
    assert [line.split(",")[0] for line in told] == ["drops: on", "drops: off", "drops: off", "drops: on"]
    assert [row["dport"] for row in rows(printed, "switched")] == [7010, 7011, 7014]


def test_the_queue_is_followed_packet_by_packet(printed: Printed) -> None:
    found = [row for row in rows(printed, "queue") if row["interface"] == "veth-a"]
    entered = [row for row in found if row["kind"] == "enqueue"]
    left = [row for row in found if row["kind"] == "dequeue"]
    done = printed["queue"]["done"]
    assert len(entered) == len(left) == done["sent"]
    assert max(row["backlog_packets"] for row in entered) == 20
    # A packet of 142 bytes at 1 Mbit/s waits for at most nineteen packets of the same size and for the one that is
    # being sent.
    longest = max(row["sojourn_ns"] for row in left)
    assert 18 * 142 * 8000 <= longest <= 21 * 142 * 8000
