# SPDX-License-Identifier: Apache-2.0
"""Tables of connections, resets, received segments and destroyed sockets.

They come from the collectors ``life`` and ``flow``, ``resets``, ``packets`` and ``destroy``.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from lab.evaluation.collected import recorded
from lab.evaluation.connections import UNKNOWN
from lab.report.cells import cells_with, counts
from lab.report.model import Report
from lab.report.tables.table import EventTable, Heading, decimal, number, table, text
from lab.store.trial import TrialResult

FLAGS = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR")
"""TCP flags in the order of their bits, from bit 0."""
SHOWN_FLAGS = ("SYN", "FIN", "RST", "ECE", "CWR")
"""The flags that have a column in the table of segments."""
CONGESTION_EXPERIENCED = 3
"""Value of the ECN field that a queue sets to mark a packet (CE)."""


@dataclass(frozen=True)
class ConnectionLine:
    """One end of a connection: its flow and process, the bytes that it sent and received, and its duration."""

    trial: str
    flow: str
    node: str
    process: str
    """Name and id of the process."""
    local: str
    """Address and port of this end."""
    remote: str
    """Address and port of the other end."""
    sent_bytes: int
    received_bytes: int
    seconds: float | None
    """Duration of the connection; None if it had not ended, or if the collector ``life`` did not run."""


@dataclass(frozen=True)
class ResetLine:
    """Resets (segments with RST) at one node with the same direction, state and reason."""

    trial: str
    flow: str
    node: str
    way: str
    """``sent`` or ``received``."""
    state: str
    """State of the socket."""
    reason: str
    """The kernel's reason."""
    segments: int
    """Number of resets."""


@dataclass(frozen=True)
class SegmentLine:
    """The segments of one flow that one node received."""

    trial: str
    flow: str
    node: str
    segments: int
    payload_bytes: int
    flags: Mapping[str, int]
    """Number of segments with each of :data:`SHOWN_FLAGS`."""
    marked: int
    """Number of segments with a CE mark (Congestion Experienced)."""


@dataclass(frozen=True)
class SocketLine:
    """The number of sockets on one node that were destroyed."""

    trial: str
    node: str
    sockets: int


@lru_cache(maxsize=4)
def connection_lines(report: Report) -> list[ConnectionLine]:
    """Return both ends of each connection; those of flows come before iperf3's control connections."""
    found = []
    for trials in cells_with(report, ["life", "flow"]).values():
        for trial in trials:
            ended = _ended(trial) if recorded(trial, "life") else {}
            # Connections that did not end are only in the rows of the collector ``flow``.
            ends = {**(_totals(trial) if recorded(trial, "flow") else {}), **ended}
            found += sorted(ends.values(), key=lambda line: (line.flow == UNKNOWN, line.flow, line.node, line.local))
    return found


@lru_cache(maxsize=4)
def reset_lines(report: Report) -> list[ResetLine]:
    """Return the resets of each trial by flow, node, direction, state and reason, most frequent first."""
    columns = ["flow", "node", "is_sent", "state", "reason"]
    found = []
    for trials in cells_with(report, ["resets"]).values():
        for trial in trials:
            ordered = sorted(
                counts(trial.collected("resets", columns), columns).items(), key=lambda item: (-item[1], item[0])
            )
            for (flow, node, way, state, reason), segments in ordered:
                found.append(ResetLine(trial.id, flow, node, way, state, reason, segments))
    return found


@lru_cache(maxsize=4)
def segment_lines(report: Report) -> list[SegmentLine]:
    """Return the received segments of each trial by flow and node."""
    found = []
    for trials in cells_with(report, ["packets"]).values():
        for trial in trials:
            found += _segments(trial)
    return found


@lru_cache(maxsize=4)
def socket_lines(report: Report) -> list[SocketLine]:
    """Return the number of destroyed sockets of each trial by node."""
    found = []
    for trials in cells_with(report, ["destroy"]).values():
        for trial in trials:
            by_node = counts(trial.collected("destroy", ["node"]), ["node"])
            found += [SocketLine(trial.id, node, sockets) for (node,), sockets in sorted(by_node.items())]
    return found


def _ended(trial: TrialResult) -> dict[tuple[str, ...], ConnectionLine]:
    """Return the ends of the connections that ended, from the collector ``life``."""
    rows = trial.collected("life").to_pylist()
    return {
        _key(row): _connection(trial, row, row["tx_bytes"], row["rx_bytes"], row["duration_ns"] / 1e9) for row in rows
    }


def _totals(trial: TrialResult) -> dict[tuple[str, ...], ConnectionLine]:
    """Return the ends of all connections with their byte counts, from the collector ``flow``.

    Several processes may use a connection, and the last row of each has its total, so the last rows are added up.
    """
    last = {(*_key(row), str(row["pid"])): row for row in trial.collected("flow").to_pylist()}
    by_connection: dict[tuple[str, ...], list[Mapping[str, Any]]] = defaultdict(list)
    for (*key, _pid), row in last.items():
        by_connection[tuple(key)].append(row)
    return {
        key: _connection(
            trial, rows[0], sum(row["tx_total_bytes"] for row in rows), sum(row["rx_total_bytes"] for row in rows), None
        )
        for key, rows in by_connection.items()
    }


def _key(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(row[name]) for name in ("node", "saddr", "sport", "daddr", "dport"))


def _connection(
    trial: TrialResult, row: Mapping[str, Any], sent: int, received: int, seconds: float | None
) -> ConnectionLine:
    process = f"{row['comm']} ({row['pid']})" if row["pid"] else str(row["comm"] or UNKNOWN)
    local, remote = (_endpoint(row[f"{side}addr"], row[f"{side}port"]) for side in "sd")
    return ConnectionLine(
        trial.id, row["flow"] or UNKNOWN, row["node"] or UNKNOWN, process, local, remote, sent, received, seconds
    )


def _endpoint(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _segments(trial: TrialResult) -> list[SegmentLine]:
    received = trial.collected("packets", ["flow", "node", "flags", "ecn", "length"])
    if not received.num_rows:
        return []
    summed = (
        received.group_by(["flow", "node", "flags", "ecn"], use_threads=False)
        .aggregate([([], "count_all"), ("length", "sum")])
        .to_pylist()
    )
    totals: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for row in summed:
        total, segments = totals[row["flow"] or UNKNOWN, row["node"] or UNKNOWN], row["count_all"]
        total["segments"] += segments
        total["payload"] += row["length_sum"]
        total["marked"] += segments * (row["ecn"] == CONGESTION_EXPERIENCED)
        for flag in SHOWN_FLAGS:
            total[flag] += segments * bool(np.uint8(row["flags"]) >> FLAGS.index(flag) & 1)
    return [
        SegmentLine(
            *(trial.id, flow, node, total["segments"], total["payload"]),
            {flag: total[flag] for flag in SHOWN_FLAGS},
            total["marked"],
        )
        for (flow, node), total in sorted(totals.items(), key=lambda item: (item[0][0] == UNKNOWN, item[0]))
    ]


def connection_tables(report: Report) -> Iterator[EventTable]:
    """Yield the table of connections, if they were recorded."""
    if lines := connection_lines(report):
        yield table(
            "connections",
            "Connections",
            "Both ends of each connection; iperf3's control connections come last.",
            (),
            lines,
            [
                text("Trial", "trial"),
                text("Flow", "flow"),
                text("Node", "node"),
                text("Process", "process"),
                text("Local", "local"),
                text("Remote", "remote"),
                number("Sent", "bytes", "sent_bytes"),
                number("Received", "bytes", "received_bytes"),
                decimal("Duration", "s", "seconds", 3),
            ],
        )


def socket_tables(report: Report) -> Iterator[EventTable]:
    """Yield the tables of resets, of received segments and of destroyed sockets, as far as these were recorded."""
    if resets := reset_lines(report):
        yield table(
            "resets",
            "Resets",
            "Segments with the RST flag, by the node that sent or received them, and by the kernel's reason.",
            (),
            resets,
            [
                text("Trial", "trial"),
                text("Flow", "flow"),
                text("Node", "node"),
                text("Direction", "way"),
                text("State", "state"),
                text("Reason", "reason"),
                number("Segments", "", "segments"),
            ],
        )
    if segments := segment_lines(report):
        yield table(
            "segments",
            "Segments received",
            "Segments that the IP layer passed to TCP, by flow and node. CE: Congestion Experienced, an ECN mark.",
            (),
            segments,
            [
                text("Trial", "trial"),
                text("Flow", "flow"),
                text("Node", "node"),
                number("Segments", "", "segments"),
                number("Payload", "bytes", "payload_bytes"),
                *(_flag(flag) for flag in SHOWN_FLAGS),
                number("Marked", "CE", "marked"),
            ],
        )
    if sockets := socket_lines(report):
        headings = [text("Trial", "trial"), text("Node", "node"), number("Sockets", "", "sockets")]
        yield table("sockets", "Destroyed sockets", "TCP sockets that the kernel destroyed.", (), sockets, headings)


def _flag(flag: str) -> Heading:
    return Heading(flag, "", number=True, cell=lambda line: f"{line.flags[flag]:,}")
