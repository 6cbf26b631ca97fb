# SPDX-License-Identifier: Apache-2.0
"""Captured records, read by other means than ``lab``'s own: struct, plain loops and the formats' documentation.

What tests compare the store, the analysis and the report with, so nothing here may come from them.
"""

from __future__ import annotations

import bisect
import functools
import ipaddress
import itertools
import json
import struct
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

Row = dict[str, Any]
T = TypeVar("T")


def kept(method: Callable[[Any, str], T]) -> Callable[[Any, str], T]:
    """Let a method of a trial, or a function of a trial and a name, compute each result once.

    Callers must not change the results.
    """

    @functools.wraps(method)
    def once(trial: Any, name: str) -> T:
        key = (method.__name__, name)
        if key not in trial._kept:
            trial._kept[key] = method(trial, name)
        found: T = trial._kept[key]
        return found

    return once


@dataclass(frozen=True)
class RawTrial:
    """One captured trial."""

    id: str
    members: Mapping[str, bytes]
    """Name in the archive → content."""

    @classmethod
    def of(cls, archive: Path) -> RawTrial:
        """Read the archive of a trial."""
        members = {}
        with tarfile.open(archive, "r:xz") as packed:
            for member in packed:
                file = packed.extractfile(member)
                assert file is not None
                members[member.name] = file.read()
        return cls(archive.name.removesuffix(".tar.xz"), members)

    @cached_property
    def job(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.members["capture.json"])["job"]
        return found

    @cached_property
    def record(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.members["record/record.json"])
        return found

    def iperf3(self, flow: str, end: str) -> dict[str, Any]:
        """Return what iperf3 printed at the ``client`` or the ``server``."""
        found: dict[str, Any] = json.loads(self.members[f"record/iperf3/{flow}.{end}.json"])
        return found

    @cached_property
    def _kept(self) -> dict[tuple[str, str], Any]:
        """What :func:`kept` has computed: name of the method and its argument → result."""
        return {}

    @kept
    def rows(self, collector: str) -> list[Row]:
        """Return a collector's rows in order of time, with ``t`` (ns since the start of traffic) where they have one,
        ``flow`` and ``end`` where they have addresses, ``node`` and ``interface`` where they have a namespace."""
        about = self.record["collectors"][collector]
        data = self.members["record/" + about["file"]]
        assert len(data) == about["row_bytes"] * about["rows"]
        flow_of, place_of = functools.cache(self._flow), functools.cache(self._place)
        rows = []
        for row in _unpacked(data, about["fields"], about["row_bytes"]):
            for name, names in about["names"].items():
                row[name] = names.get(str(row[name]), str(row[name]))
            if "ts_ns" in row:
                row["t"] = row["ts_ns"] - self.record["traffic_start_ns"]
            elif "time_ns" in row:
                row["t"] = row["time_ns"]
            if "saddr" in row:
                local, remote = (row["saddr"], row["sport"]), (row["daddr"], row["dport"])
                row["flow"], row["end"] = flow_of(local, remote)
            if "netns" in row:
                row["node"], row["interface"] = place_of(row["netns"], row.get("ifindex"))
            rows.append(row)
        # sorted() keeps the order of equals, as does the file.
        return sorted(rows, key=lambda row: row.get("t", 0))

    def _flow(self, local: tuple[str, int], remote: tuple[str, int]) -> tuple[str | None, str | None]:
        found: tuple[str | None, str | None] = (None, None)
        for flow in self.record["flows"]:
            source = (flow["source_address"], flow["source_port"])
            destination = (flow["destination_address"], flow["destination_port"])
            for end, one, other in (("source", source, destination), ("destination", destination, source)):
                if _same_endpoint(local, one) and _same_endpoint(remote, other):
                    found = (flow["name"], end)
        return found

    def _place(self, netns: int, ifindex: int | None) -> tuple[str | None, str | None]:
        for space in self.record["namespaces"]:
            if space["number"] == netns:
                return space["node"], space["interfaces"].get(str(ifindex))
        return None, None

    # --- what the analysis works out, in other words -----------------------------------------------------

    @kept
    def acks(self, flow: str) -> list[Row]:
        """Return the rows of ACKs that reached the sender of *flow*, and of its timeouts, all of them.

        The row of a timeout has the window after it; here it gets that of the row before, as an ACK's row has it.
        """
        found: list[Row] = []
        after: Row = {}
        for row in self.rows("tcp_probe"):
            if (row["flow"], row["end"]) != (flow, "source") or row["is_transmit"] not in ("receive", "timeout"):
                continue
            window = ("snd_cwnd", "ssthresh", "ca_window_max")
            before = {name: after.get(name, row[name]) for name in window} if row["is_transmit"] == "timeout" else {}
            found.append({**row, **before})
            after = row
        if found and after["is_transmit"] == "timeout":
            asked = next(one for one in self.job["flows"] if one["name"] == flow)
            found.append({**after, "t": asked["start_ns"] + asked["duration_ns"]})
        return found

    @kept
    def sending(self, flow: str) -> list[Row]:
        """Those of the flow's declared time."""
        asked = next(one for one in self.job["flows"] if one["name"] == flow)
        start, end = asked["start_ns"], asked["start_ns"] + asked["duration_ns"]
        return [row for row in self.acks(flow) if start <= row["t"] <= end]

    def window(self, flow: str) -> tuple[int, int, bool]:
        """Return from when to when a flow is measured, and whether that is all of its declared time."""
        asked = next(one for one in self.job["flows"] if one["name"] == flow)
        bounds = asked["measured"]["start_ns"], asked["measured"]["end_ns"]
        return (*bounds, bounds == (asked["start_ns"], asked["start_ns"] + asked["duration_ns"]))

    @kept
    def measured_rows(self, flow: str) -> list[Row]:
        """Those of :meth:`sending` in the measured window.

        The values of a row held since the row before.  A row that held at the edge of the window is repeated with the
        time of the edge.
        """
        start, end, is_whole = self.window(flow)
        rows = self.sending(flow)
        if is_whole:
            return rows
        found: list[Row] = []
        for before, row in itertools.pairwise(rows):
            begins, ends = max(before["t"], start), min(row["t"], end)
            if begins < ends and not found:
                found.append(before if begins == before["t"] else {**row, "t": begins})
            if begins < ends:
                found.append({**row, "t": ends})
        return found

    def short(self, flow: str) -> list[Row]:
        """Return the short flows of a group that started in its measured window."""
        start, end, is_whole = self.window(flow)
        own = [row for row in self.rows("completions") if row["group"] == flow]
        # A flow that is due at the very end may start a moment later.
        return own if is_whole else [row for row in own if start <= row["t"] < end]

    def goodput_bps(self, flow: str) -> float | None:
        """Return the bytes that arrived over the time of their arrival; of short flows, over begin to last end."""
        start, end, _ = self.window(flow)
        if start == end:
            return None
        if flow in {asked["name"] for asked in self.job["flows"] if asked["arrivals"]}:
            own = self.short(flow)
            ends = [row["t"] + row["fct_ns"] for row in own if row["fct_ns"]]
            return float(sum(row["bytes"] for row in own) * 8e9 / (max(ends) - own[0]["t"]))
        total = self.counted(flow, "arrived")
        payload = total["bytes"] - total["again_bytes"]
        since, until, has_waited = self._time_of(flow)
        return float((payload - (0 if has_waited else total["first_bytes"])) * 8e9 / (until - since))

    def goodput_interval_s(self, flow: str) -> float:
        """Return the time by which :meth:`goodput_bps` divides."""
        begins, ends, _ = self._time_of(flow)
        return (ends - begins) / 1e9

    def _time_of(self, flow: str) -> tuple[int, int, bool]:
        """Return from when to when a flow's goodput is measured, and whether it waited for its first packet."""
        asked = next(one for one in self.job["flows"] if one["name"] == flow)
        arrived, sent = self.counted(flow, "arrived"), self.counted(flow, "sent")
        begins, ends = arrived["first_ns"], arrived["last_ns"]
        delays = [
            way[1]["netem"]["delay_ns"] for way in self._way(asked["source"], asked["destination"]) if way[1]["netem"]
        ]
        earliest = sent["first_ns"] + sum(delays)
        has_waited = begins - earliest > asked["duration_ns"] / 10
        start, end, _ = self.window(flow)
        gap = (ends - begins) / (arrived["packets"] - 1)
        if start > asked["start_ns"]:
            # It runs already when the window begins.
            earliest, has_waited = start, begins - start > 2 * gap
        if asked["limit_bytes"] is None and end - ends > 2 * gap:
            ends = end
        return (earliest if has_waited else begins), ends, has_waited

    def lost_share(self, flow: str) -> float:
        """Return the share of the packets of *flow* of which no copy arrived, before or after its declared end.

        With a measured window, these are the packets that left within it.
        """
        sides = self._result(flow)["accounts"]["sides"]
        if not self.window(flow)[2]:
            datagrams = self._result(flow)["accounts"]["datagrams"]
            return float((datagrams["left"] - datagrams["left_arrived"]) / datagrams["left"])
        sent, arrived = sides["sent"]["all"], sides["arrived"]["all"]
        return float((sent["packets"] - arrived["packets"] + arrived["again_packets"]) / sent["packets"])

    def bottleneck(self, flow: str) -> tuple[str, str] | None:
        """Return the link with the lowest rate that the data of *flow* pass, and the node where they enter it."""
        asked = next(one for one in self.job["flows"] if one["name"] == flow)
        found = [
            (direction["rate_bps"], link["name"], start)
            for link, direction, start in self._way(asked["source"], asked["destination"])
            if direction["rate_bps"] is not None
        ]
        return min(found)[1:] if found else None

    def _way(self, source: str, destination: str) -> list[tuple[Any, Any, str]]:
        """Return the links from *source* to *destination*, with their direction and the node where they are entered."""
        ways: dict[str, list[tuple[Any, Any, str]]] = {source: []}
        queue = [source]
        for node in queue:
            for link in self.job["links"]:
                for start, end, direction in ((link["a"], link["b"], "ab"), (link["b"], link["a"], "ba")):
                    if start == node and end not in ways:
                        ways[end] = [*ways[node], (link, link[direction], start)]
                        queue.append(end)
        return ways[destination]

    @kept
    def waits_ms(self, flow: str) -> tuple[float, float] | None:
        """Return the mean and the p95 of the time that packets waited in the queues on the way of *flow*'s data.

        The mean is the packets' time in each queue over their number.  The p95 is over the packets of the queue with
        the longest mean: each finds what is in the queue in the middle of its bin, and leaves when as much has left.
        """
        begin, end, _is_whole = self.window(flow)
        asked = next(one for one in self.job["flows"] if one["name"] == flow)
        means: list[tuple[float, list[Row]]] = []
        for link, _way, node in self._way(asked["source"], asked["destination"]):
            interfaces = {
                port["interface"]
                for port in self.record["interfaces"]
                if (port["link"], port["node"], port["role"]) == (link["name"], node, "egress")
            }
            rows = [row for row in self.rows("backlog") if row["node"] == node and row["interface"] in interfaces]
            left = sum(row["left_packets"] * _within(row, begin, end) for row in rows)
            if left:
                means.append((sum(row["packet_ns"] * _within(row, begin, end) for row in rows) / left, rows))
        if not means:
            return None
        longest = max(means, key=lambda one: one[0])[1]
        waits = []
        for row in longest:
            packets = row["left_packets"] * _within(row, begin, end)
            middle = row["t"] + row["length_ns"] / 2
            found = [_wait_ns(rows, middle) for _mean, rows in means]
            if packets and None not in found:
                waits.append((sum(wait for wait in found if wait is not None) / 1e6, packets))
        return sum(one for one, _rows in means) / 1e6, quantile(waits, 0.95)

    def counted(self, flow: str, side: str) -> dict[str, Any]:
        """Return what the kernel counted of *flow* on a side within its measured window."""
        found: dict[str, Any] = self._result(flow)["accounts"]["sides"][side]["measured"]
        return found

    def datagrams(self, flow: str) -> dict[str, Any]:
        """Return what the kernel counted of the datagrams of *flow*."""
        found: dict[str, Any] = self._result(flow)["accounts"]["datagrams"]
        return found

    def retransmits(self, flow: str) -> int:
        """Return the socket's own count, or how many segments left again within the measured window."""
        is_whole = self.window(flow)[2]
        return int(self.tcp_info(flow)["total_retrans"] if is_whole else self.counted(flow, "sent")["again_packets"])

    def tcp_info(self, flow: str) -> dict[str, int]:
        found: dict[str, int] = self._result(flow)["tcp_info"]
        return found

    def _result(self, flow: str) -> dict[str, Any]:
        found: dict[str, Any] = next(one for one in self.record["flows"] if one["name"] == flow)
        return found

    def base_rtts_us(self, flow: str) -> list[tuple[int, float]]:
        """Return (since when in ns, the sum of the delays there and back, and what ping found in addition)."""
        asked = next(one for one in self.job["flows"] if one["name"] == flow)
        ends = (asked["source"], asked["destination"])
        ways = [way for _link, way, _node in (*self._way(*ends), *self._way(*ends[::-1]))]
        times = {0} | {change["at_ns"] for way in ways for change in way["changes"] if change["netem"]}
        found = []
        for at in sorted(times):
            total = 0
            for way in ways:
                states = [way["netem"], *(change["netem"] for change in way["changes"] if change["at_ns"] <= at)]
                last = [state for state in states if state][-1:]
                total += last[0]["delay_ns"] if last else 0
            found.append((at, total / 1e3))
        paths = [one for one in self.record["calibration"] if (one["source"], one["destination"]) == ends]
        # What a capacity file adds is no property of the emulator.
        is_random = any(way["capacity"] for way in ways)
        more = 0.0 if is_random else paths[0]["min_rtt_ns"] / 1e3 - found[0][1]
        return [(at, total + more) for at, total in found]

    def base_rtt_us(self, flow: str) -> float:
        """Return the mean over the flow's declared time."""
        asked = next(one for one in self.job["flows"] if one["name"] == flow)
        start, end = asked["start_ns"], asked["start_ns"] + asked["duration_ns"]
        steps = self.base_rtts_us(flow)
        until = [at for at, _ in steps[1:]] + [end]
        held = [(base, min(to, end) - max(at, start)) for (at, base), to in zip(steps, until, strict=True)]
        return mean((base, took) for base, took in held if took > 0)


def _within(row: Row, begin: int, end: int) -> float:
    """The share of a row's time that is between two times."""
    share: float = max(0, min(row["t"] + row["length_ns"], end) - max(row["t"], begin)) / row["length_ns"]
    return share


def _wait_ns(rows: list[Row], at: float) -> float | None:
    """How long a packet waits that comes at this time: until what it finds in the queue has left; None: it has not."""
    # The bins are in order of time and do not overlap.
    first = max(bisect.bisect_right(rows, at, key=lambda row: row["t"]) - 1, 0)
    found = [row["byte_ns"] / row["length_ns"] for row in rows[first : first + 1] if row["t"] <= at < _end(row)]
    ahead = float(found[0]) if found else 0.0
    if not ahead:
        return 0.0
    for row in itertools.islice(rows, first, None):
        end = _end(row)
        since = max(at, row["t"])
        if end <= at:
            continue
        leaves = row["removed_bytes"] * (end - since) / row["length_ns"]
        if leaves and leaves >= ahead * (1 - 1e-12):
            return float(since + ahead / leaves * (end - since) - at)
        ahead -= leaves
    return None


def _end(row: Row) -> int:
    found: int = row["t"] + row["length_ns"]
    return found


def _same_endpoint(row: tuple[str, int], of_flow: tuple[str, int]) -> bool:
    """Whether a row's address and port are those of a flow's end; short flows have many ports, and 0 in their stead."""
    return of_flow[1] in (row[1], 0) and _address(row[0]) == _address(of_flow[0])


_address = functools.cache(ipaddress.ip_address)


_NUMBERS = {"<u8": "Q", "<u4": "I", "<u2": "H", "<u1": "B", "|u1": "B", "<i8": "q", "<i4": "i", "<i2": "h"}


def _unpacked(data: bytes, fields: Sequence[Mapping[str, Any]], width: int) -> Iterator[Row]:
    """Yield the rows of *data*, each of *width* bytes."""
    ordered = sorted(fields, key=lambda field: field["offset"])
    layout, at = "<", 0
    for field in ordered:
        kind = field["type"]
        assert kind in _NUMBERS or kind.lstrip("|").startswith("V"), kind
        code = _NUMBERS.get(kind) or f"{int(kind.lstrip('|')[1:])}s"
        layout += f"{field['offset'] - at}x{code}"
        at = field["offset"] + struct.calcsize(f"<{code}")
    texts = [field["name"] for field in ordered if field["type"] not in _NUMBERS]
    names = [field["name"] for field in ordered]
    for values in struct.iter_unpack(f"{layout}{width - at}x", data):
        row = dict(zip(names, values, strict=True))
        for name in texts:
            if name in ("saddr", "daddr"):
                row[name] = _address_text(row[name])
            elif name in ("comm", "ca_name"):
                row[name] = row[name].split(b"\0")[0].decode()
        yield row


@functools.cache
def _address_text(raw: bytes) -> str:
    is_mapped = raw[:12] == bytes(10) + b"\xff\xff"
    return str(ipaddress.IPv4Address(raw[12:]) if is_mapped else ipaddress.IPv6Address(raw))


def raw_trials(folder: Path) -> dict[str, RawTrial]:
    """Return the captured trials of an experiment by their ids."""
    found = [RawTrial.of(path) for path in sorted(folder.glob("*.tar.xz"))]
    return {trial.id: trial for trial in found}


def weighted(rows: Sequence[Row], field: str) -> list[tuple[float, int]]:
    """Return (value, ns that it held): a row's value held since the row before; what is 0 was not measured."""
    return [
        (row[field], row["t"] - before["t"])
        for before, row in itertools.pairwise(rows)
        if row[field] > 0 or field != "srtt_us"
    ]


def mean(pairs: Iterable[tuple[float, float]]) -> float:
    """Return the mean of (value, weight)."""
    found = list(pairs)
    return sum(value * weight for value, weight in found) / sum(weight for _value, weight in found)


def quantile(pairs: Iterable[tuple[float, float]], share: float) -> float:
    """Return the least value that, with those below it, has at least this share of the weight."""
    found = sorted(pairs)
    total, seen = sum(weight for _value, weight in found), 0.0
    for value, weight in found:
        seen += weight
        if seen >= share * total - 1e-9 * total:
            return value
    return found[-1][0]


def rank(values: Iterable[float], share: float) -> float:
    """Return the least of *values* that at least this share of them do not exceed."""
    return quantile(((value, 1) for value in values), share)
