# SPDX-License-Identifier: Apache-2.0
"""The tables of what collectors have seen: each number against the raw rows, counted and summed in another way."""

from __future__ import annotations

import ipaddress
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from lab.job.drop_causes import cause_of
from lab.report.model import Report
from lab.report.tables.delays import bucket_text
from lab.report.tables.drops import TcAgreement, TcLine, tc_agreement
from lab.report.tables.events import event_tables
from lab.report.tables.table import EventTable
from lab.store.run import Run
from tests.data.capture import EXPERIMENTS, names
from tests.data.raw import RawTrial, Row, mean, quantile, rank
from tests.unit.report import expected

Reports = Callable[[str], Report]
Replayed = Callable[[str], Run]
Raw = Callable[[str], dict[str, RawTrial]]


def table(report: Report, name: str) -> EventTable:
    return next(found for found in event_tables(report) if found.name == name)


def close(row: Mapping[str, Any], values: Mapping[str, float | None]) -> bool:
    return all(
        row[name] is None if value is None else row[name] == pytest.approx(value, rel=1e-9, abs=1e-12)
        for name, value in values.items()
    )


def cause(trial: RawTrial, row: Row) -> str:
    """Of a drop, by what ``tc`` showed at that place."""
    place = (row["node"], row["interface"])
    ports = [one for one in trial.record["interfaces"] if (one["node"], one["interface"]) == place]
    kinds = [qdisc["kind"] for port in ports for qdisc in port["qdiscs_after"]]
    return cause_of(row["reason"], row["location"], kinds)


@pytest.mark.parametrize("name", names())
def test_there_is_a_table_for_each_collector_that_saw_anything(name: str, reports: Reports, raw: Raw) -> None:
    seen = set()
    for trial in raw(name).values():
        seen |= {collector for collector, about in trial.record.get("collectors", {}).items() if about["rows"]}
    by_collector = {
        "completions": "completions", "latency": "latency", "drops": "drops", "backlog": "queues",
        "drops_latency": "stack-latency", "life": "connections", "states": "states", "resets": "resets",
        "packets": "segments", "destroy": "sockets",
    }  # fmt: skip
    windows = {
        (trial.id, flow["name"]): (flow["measured"]["start_ns"], flow["measured"]["end_ns"])
        for trial in raw(name).values()
        for flow in trial.job["flows"]
    }
    for trial in raw(name).values():
        for row in trial.rows("losses") if "losses" in trial.record.get("collectors", {}) else ():
            begin, end = windows[trial.id, row["flow"]]
            seen |= {"measured losses"} if begin <= row["t"] < end else set()
    by_collector["measured losses"] = "losses"
    wanted = {table for collector, table in by_collector.items() if collector in seen}
    assert {found.name for found in event_tables(reports(name))} == wanted


@pytest.mark.parametrize(("name", "groups"), [("short_flows", ("web", "rpc")), ("measured", ("web",))])
def test_completions(name: str, groups: tuple[str, ...], reports: Reports, replayed: Replayed, raw: Raw) -> None:
    found = table(reports(name), "completions")
    assert ("(1 s to 3 s)" in found.note) == (name == "measured")
    rows = iter(found.rows)
    for cell, trials in expected.by_cell(replayed(name).path, raw(name), "completions"):
        for group in groups:
            flows = [row for trial in trials for row in trial.short(group)]
            assert (len(flows) < sum(len(trial.rows("completions")) for trial in trials)) or name == "short_flows"
            done = [row for row in flows if row["fct_ns"]]
            row = next(rows)
            assert tuple(row.get(axis) for axis in found.axes) == cell
            assert (row["group"], row["trials"], row["flows"]) == (group, 2, len(flows))
            assert row["unfinished"] == len(flows) - len(done)
            assert row["retransmissions"] == sum(one["retransmissions"] for one in flows)
            averages = {
                "mean_kb": sum(one["bytes"] for one in flows) / len(flows) / 1000,
                "mean_ms": sum(one["fct_ns"] for one in done) / len(done) / 1e6,
            }
            quantiles = expected.times(flows, "fct_ns")
            del quantiles["min_ms"]
            assert close(row, {**averages, **quantiles})
    assert next(rows, None) is None


@pytest.mark.parametrize(
    ("name", "probes", "start_ns", "end_ns"),
    [("short_flows", ("echo", "datagrams", "requests"), 0, 10**12), ("measured", ("echo",), 10**9, 3 * 10**9)],
)
def test_latency(
    name: str,
    probes: tuple[str, ...],
    start_ns: int,
    end_ns: int,
    reports: Reports,
    replayed: Replayed,
    raw: Raw,
) -> None:
    found = table(reports(name), "latency")
    assert ("(1 s to 3 s)" in found.note) == (name == "measured")
    rows = iter(found.rows)
    for cell, trials in expected.by_cell(replayed(name).path, raw(name), "latency"):
        for probe in probes:
            of_probe = [row for trial in trials for row in trial.rows("latency") if row["probe"] == probe]
            asked = [row for row in of_probe if start_ns <= row["t"] < end_ns]
            assert (len(asked) < len(of_probe)) == (name == "measured")
            row = next(rows)
            assert tuple(row.get(axis) for axis in found.axes) == cell
            assert (row["probe"], row["trials"], row["asked"]) == (probe, 2, len(asked))
            assert row["unanswered"] == sum(one["rtt_ns"] == 0 for one in asked)
            assert close(row, expected.times(asked, "rtt_ns"))
    assert next(rows, None) is None


@pytest.mark.parametrize("name", ["everything", "capacity"])
def test_drops(name: str, reports: Reports, replayed: Replayed, raw: Raw) -> None:
    found = table(reports(name), "drops")
    wanted = expected.drops(replayed(name).path, raw(name), cause)
    axes = [axis.label for axis in reports(name).axes]
    places = ("node", "interface", "cause", "reason", "function")
    assert {tuple(row[one] for one in (*axes, *places)): row["packets"] for row in found.rows} == wanted
    assert {"random_loss", "queue_overflow"} <= {row["cause"] for row in found.rows} or name == "capacity"
    # Those of the queues are first, and in each part of a cell's lines those with the most packets.
    for cell in {tuple(row[axis] for axis in axes) for row in found.rows}:
        own = [row for row in found.rows if tuple(row[axis] for axis in axes) == cell]
        keys = [(row["cause"] not in ("random_loss", "queue_overflow", "aqm"), -row["packets"]) for row in own]
        assert keys == sorted(keys)


def test_drops_are_compared_with_tc(reports: Reports, raw: Raw) -> None:
    dropped = 0
    for trial in raw("everything").values():
        for port in trial.record["interfaces"]:
            for before, after in zip(port["qdiscs_before"], port["qdiscs_after"], strict=True):
                # The queue is inside of tbf, which counts what it drops.
                if after["kind"] in ("tbf", "netem"):
                    dropped += after["drops"] - before["drops"]
    found = tc_agreement(reports("everything"))
    assert not found.differing
    assert dropped > 20
    assert "agree at every interface of every trial" in found.sentence
    assert f" {dropped} packets" in found.sentence
    assert "4 interfaces with drops" in found.sentence
    # What was recorded in a window only cannot be compared.
    partly = tc_agreement(reports("capacity"))
    assert (partly.lines, partly.partly) == ((), 1)
    assert "only some drops" in partly.sentence


def test_a_difference_from_tc_is_named() -> None:
    lines = [TcLine("t1", "r1", f"eth{number}", 3, 4 + number, lost=number) for number in range(5)]
    lines.append(TcLine("t2", "r1", "eth0", 7, 7, lost=0))
    sentence = TcAgreement(tuple(lines), 0).sentence
    assert "differ at 5 of 6" in sentence
    assert re.search(r"t1, r1 eth0: 3 \w+, 4 (counted )?by tc;", sentence)
    assert re.search(r"t1, r1 eth1: 3 \w+, 5 (counted )?by tc \(1 events lost\)", sentence)
    assert sentence.endswith("; and 1 more.")


MOMENTS = [int(line) for line in (EXPERIMENTS / "capacity" / "steps.mahimahi").read_text().split()]
"""When a packet may leave, in ms; after the last, it begins anew."""
BOTTLENECKS = {
    "capacity": ("r1", "r1-eth1"),
    "crowd": ("r1", "r1-eth1"),
    "everything": ("r1", "r1-eth1"),
    "measured": ("r1", "r1-eth2"),
    "schedule": ("s1", "s1-eth0"),
}


@pytest.mark.parametrize("name", BOTTLENECKS)
def test_queues(name: str, reports: Reports, raw: Raw) -> None:
    found = table(reports(name), "queues")
    node, interface = BOTTLENECKS[name]
    assert ("Measured window: 0 ns to 3 s" in found.note) == (name == "measured")
    assert [row["trial"] for row in found.rows] == sorted(raw(name), key=lambda one: "bbr" in one)
    for row in found.rows:
        trial = raw(name)[row["trial"]]
        assert (row["node"], row["interface"]) == (node, interface)
        flows = trial.job["flows"]
        start = min(flow["start_ns"] for flow in flows)
        end = max(flow["start_ns"] + flow["duration_ns"] for flow in flows)
        if name == "measured":
            # From the start of the flow with a window of its own to the end of the experiment's window.
            start, end = 0, 3 * 10**9
        rows = [one for one in trial.rows("backlog") if (one["node"], one["interface"]) == (node, interface)]
        inside = [
            (one, min(one["t"] + one["length_ns"], end) - max(one["t"], start))
            for one in rows
            if min(one["t"] + one["length_ns"], end) > max(one["t"], start)
        ]
        lengths = [(one["packet_ns"] / one["length_ns"], length) for one, length in inside]
        lengths.append((0.0, end - start - sum(length for _one, length in inside)))
        assert close(
            row,
            {
                "mean_packets": mean(lengths),
                "p95_packets": quantile(lengths, 0.95),
                "max_packets": max(one["most_packets"] for one, _length in inside),
            },
        )
        assert row["dropped"] == expected.grown_by_tc(trial, node, interface, "drops")
        assert row["marked"] is None
        samples = expected.queue_rows(trial, node, interface)
        is_cut = name == "measured"
        left = [
            one["sojourn_ns"] / 1e6
            for one in samples
            if one["sojourn_ns"] != 2**64 - 1 and (0 <= one["t"] < 3 * 10**9 or not is_cut)
        ]
        assert row["packets"] == (len(left) or None)
        wanted: dict[str, float | None] = {
            f"sojourn_{part}_ms": rank(left, share) if left else None
            for part, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1))
        }
        assert close(row, wanted)
        assert bool(left) == (name in ("everything", "measured"))
        if left:
            held = expected.held([(one["t"] / 1e9, one["backlog_packets"]) for one in samples], start / 1e9, end / 1e9)
            assert row["mean_packets"] == pytest.approx(mean(held), rel=0.001)
            assert row["wait_mean_ms"] == pytest.approx(sum(left) / len(left), rel=0.02)
            assert row["wait_p95_ms"] == pytest.approx(row["sojourn_p95_ms"], rel=0.15)


def test_stack_latency(reports: Reports, raw: Raw) -> None:
    found = table(reports("everything"), "stack-latency")
    rows = iter(found.rows)
    for cell in ("cubic", "bbr"):
        buckets: dict[tuple[str, str], Counter[int]] = defaultdict(Counter)
        for count in raw("everything")[f"{cell}-r1"].rows("drops_latency"):
            buckets[count["from"], count["to"]][count["at_least_ns"]] += count["packets"]
        for (source, target), histogram in sorted(buckets.items(), key=lambda item: (-item[1].total(), item[0])):
            row = next(rows)
            assert (row["cc"], row["source"], row["target"]) == (cell, source, target)
            assert row["packets"] == histogram.total()
            assert row["median_ns"] == quantile(histogram.items(), 0.5)
            assert row["p95_ns"] == quantile(histogram.items(), 0.95)
    assert next(rows, None) is None


@pytest.mark.parametrize(
    ("at_least", "text"),
    [(512, "512–1024 ns"), (1024, "1.02–2.05 µs"), (1_048_576, "1.05–2.1 ms"), (1 << 30, "1.07–2.15 s"), (0, "0–0 ns")],
)
def test_buckets(at_least: int, text: str) -> None:
    assert bucket_text(at_least) == text


def endpoint(row: Row, side: str) -> str:
    address, port = row[f"{side}addr"], row[f"{side}port"]
    return f"[{address}]:{port}" if ipaddress.ip_address(address).version == 6 else f"{address}:{port}"


def test_connections(reports: Reports, raw: Raw) -> None:
    found = table(reports("everything"), "connections")
    listed = Counter(tuple(row[one] for one in found.names) for row in found.rows)
    wanted: Counter[tuple[Any, ...]] = Counter()
    for trial_id, trial in raw("everything").items():
        ends: dict[tuple[str, ...], tuple[Any, ...]] = {}
        totals: dict[tuple[str, ...], dict[int, Row]] = defaultdict(dict)
        for row in trial.rows("flow"):
            totals[row["node"], endpoint(row, "s"), endpoint(row, "d")][row["pid"]] = row
        for key, by_process in totals.items():
            first = next(iter(by_process.values()))
            sent = sum(row["tx_total_bytes"] for row in by_process.values())
            received = sum(row["rx_total_bytes"] for row in by_process.values())
            ends[key] = (first["flow"] or "–", *key, process(first), sent, received, None)
        for row in trial.rows("life"):
            key = (row["node"], endpoint(row, "s"), endpoint(row, "d"))
            totals_ = (row["tx_bytes"], row["rx_bytes"], row["duration_ns"] / 1e9)
            ends[key] = (row["flow"] or "–", *key, process(row), *totals_)
        for flow, node, local, remote, comm, *numbers in ends.values():
            wanted[trial_id, flow, node, comm, local, remote, *numbers] += 1
    assert listed == wanted
    # The flows' own connections are before others, and iperf3's data are most of what is sent.
    for trial_id in raw("everything"):
        own = [row for row in found.rows if row["trial"] == trial_id]
        assert [row["flow"] == "–" for row in own] == sorted(row["flow"] == "–" for row in own)
        data = next(row for row in own if row["flow"] == "bulk" and row["node"] == "s1")
        assert data["sent_bytes"] > 500_000


def process(row: Row) -> str:
    return f"{row['comm']} ({row['pid']})" if row["pid"] else row["comm"] or "–"


def test_states(reports: Reports, raw: Raw) -> None:
    found = table(reports("everything"), "states")
    for trial_id, trial in raw("everything").items():
        last = max(trial.job["duration_ns"], trial.rows("states")[-1]["t"]) / 1e9
        wanted = [
            (name, pytest.approx(start, abs=1e-9), pytest.approx(end - start, abs=1e-9))
            for life in expected.lives(trial)
            for name, start, end in expected.stretches(life, last)
        ]
        listed = [(row["state"], row["start_s"], row["seconds"]) for row in found.rows if row["trial"] == trial_id]
        assert sorted(listed) == sorted(wanted, key=lambda one: (one[0], one[1].expected))
        assert {row["flow"] for row in found.rows} == {"bulk", "–"}


def test_resets_segments_and_sockets(reports: Reports, raw: Raw) -> None:
    report = reports("everything")
    for trial_id, trial in raw("everything").items():
        resets = Counter(
            (row["flow"] or "–", row["node"] or "–", row["is_sent"], row["state"], row["reason"])
            for row in trial.rows("resets")
        )
        own = own_rows(table(report, "resets"), trial_id)
        assert {
            tuple(row[one] for one in ("flow", "node", "way", "state", "reason")): row["segments"] for row in own
        } == resets
        assert [-row["segments"] for row in own] == sorted(-row["segments"] for row in own)
        sockets = Counter(row["node"] for row in trial.rows("destroy"))
        assert {row["node"]: row["sockets"] for row in own_rows(table(report, "sockets"), trial_id)} == sockets
    for name in ("everything", "fairness"):
        for trial_id, trial in raw(name).items():
            assert segments(trial) == {
                (row["flow"], row["node"]): tuple(
                    row[one] for one in ("segments", "payload_bytes", "marked", "SYN", "FIN", "RST", "ECE", "CWR")
                )
                for row in own_rows(table(reports(name), "segments"), trial_id)
            }
    marked = [row["marked"] for row in table(reports("fairness"), "segments").rows]
    assert sum(marked) > 0


def own_rows(found: EventTable, trial_id: str) -> list[Mapping[str, Any]]:
    return [row for row in found.rows if row["trial"] == trial_id]


def segments(trial: RawTrial) -> dict[tuple[str, str], tuple[int, ...]]:
    """(flow, node) → segments, bytes, those with CE, and those with SYN, FIN, RST, ECE and CWR."""
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in trial.rows("packets"):
        if row["interface"] == "mgmt":
            continue  # iperf3's control traffic does not pass the experiment's path.
        groups[row["flow"] or "–", row["node"] or "–"].append(row)
    return {
        key: (
            len(rows),
            sum(row["length"] for row in rows),
            sum(row["ecn"] == 3 for row in rows),
            *(sum(bool(row["flags"] & bit) for row in rows) for bit in (0x02, 0x01, 0x04, 0x40, 0x80)),
        )
        for key, rows in groups.items()
    }


@pytest.mark.parametrize("name", ["everything", "short_flows", "fairness", "crowd", "capacity"])
def test_the_page_shows_the_numbers_of_the_file(name: str, reports: Reports) -> None:
    for found in event_tables(reports(name)):
        shown: Sequence[tuple[tuple[str, ...], tuple[str, ...]]] = found.shown
        assert len(shown) == min(40, len(found.rows))
        for (where, texts), row in zip(shown, found.rows, strict=False):
            assert where == tuple(row[axis] for axis in found.axes)
            values = numbers_in(texts)
            # Each number on the page is one of the file's, to the decimals shown.
            for value, decimals in values:
                known = [one for one in row.values() if isinstance(one, int | float)]
                assert any(abs(one - value) <= 0.5000001 * 10**-decimals for one in known), (found.name, value, row)
            assert len(texts) == len(found.headings)


def numbers_in(texts: Sequence[str]) -> list[tuple[float, int]]:
    """The texts that are plain numbers, with their decimals."""
    found = []
    for text in texts:
        plain = text.replace(",", "")
        if plain.replace(".", "", 1).isdigit():
            found.append((float(plain), len(plain.partition(".")[2])))
    return found


QUANTILES = {("p50", "ms"): "p50_ms", ("p95", "ms"): "p95_ms", ("p99", "ms"): "p99_ms", ("Max", "ms"): "max_ms"}
TITLES: dict[str, dict[tuple[str, str], str]] = {
    "completions": {
        ("Flows", ""): "flows", ("Mean size", "kB"): "mean_kb", ("Mean", "ms"): "mean_ms", **QUANTILES,
        ("Unfinished", ""): "unfinished", ("Retransmissions", ""): "retransmissions",
    },
    "latency": {("Sent", ""): "asked", ("Unanswered", ""): "unanswered", ("Min", "ms"): "min_ms", **QUANTILES},
    "drops": {("Packets", ""): "packets"},
    "connections": {
        ("Sent", "bytes"): "sent_bytes", ("Received", "bytes"): "received_bytes", ("Duration", "s"): "seconds",
    },
    "segments": {
        ("Segments", ""): "segments", ("Payload", "bytes"): "payload_bytes", ("Marked", "CE"): "marked",
        ("SYN", ""): "SYN", ("FIN", ""): "FIN", ("RST", ""): "RST", ("ECE", ""): "ECE", ("CWR", ""): "CWR",
    },
    "queues": {
        ("Mean", "packets"): "mean_packets", ("p95", "packets"): "p95_packets", ("Max", "packets"): "max_packets",
        ("Wait, mean", "ms"): "wait_mean_ms", ("p95", "ms"): "wait_p95_ms", ("Dropped", "packets"): "dropped",
    },
    "losses": {("Packets", ""): "packets", ("Share", "%"): "share_percent"},
    "stack-latency": {("Packets", ""): "packets"},
    "resets": {("Segments", ""): "segments"},
    "sockets": {("Sockets", ""): "sockets"},
}  # fmt: skip
"""Title and unit of columns of the page → the column of the file."""


def test_each_column_of_the_page_has_the_value_of_its_own(reports: Reports) -> None:
    for name in ("everything", "short_flows", "crowd"):
        for found in event_tables(reports(name)):
            headings = [(heading.title, heading.unit) for heading in found.headings]
            for heading, column in TITLES.get(found.name, {}).items():
                place = headings.index(heading)
                for (_where, texts), row in zip(found.shown, found.rows, strict=False):
                    text, value = texts[place].replace(",", ""), row[column]
                    decimals = len(text.partition(".")[2])
                    is_same = text == "–" if value is None else abs(float(text) - value) <= 0.5000001 * 10**-decimals
                    assert is_same, (found.name, heading, text, value)
