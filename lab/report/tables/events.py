# SPDX-License-Identifier: Apache-2.0
"""What the collectors have seen, as tables: one for each question, with a CSV file of the same rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from lab.evaluation.connections import connection_ends
from lab.report.cells import first_trials
from lab.report.model import Report
from lab.report.tables.completions import completion_lines
from lab.report.tables.connections import (
    SHOWN_FLAGS,
    connection_lines,
    reset_lines,
    segment_lines,
    socket_lines,
)
from lab.report.tables.delays import queue_lines, stack_lines
from lab.report.tables.drops import drop_lines, tc_agreement
from lab.report.tables.latency import latency_lines
from lab.units import format_duration

SHOWN = 40
"""Lines on the page; the CSV file has all."""

Cell = Callable[[Any], str]


@dataclass(frozen=True)
class Heading:
    """One column on the page."""

    title: str
    unit: str
    number: bool
    cell: Cell


@dataclass(frozen=True)
class EventTable:
    """A table of the page and the CSV file of its rows."""

    name: str
    """Of the CSV file."""
    title: str
    note: str
    axes: tuple[str, ...]
    """Headings of the columns that say which cell it is; empty where the trial is named."""
    headings: tuple[Heading, ...]
    lines: Sequence[Any]
    names: tuple[str, ...]
    """Of the CSV file's columns."""
    rows: Sequence[Mapping[str, Any]]

    @property
    def shown(self) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
        """(cell, text of each heading) of the lines that fit on a page."""
        return [
            (line.where if self.axes else (), tuple(heading.cell(line) for heading in self.headings))
            for line in self.lines[:SHOWN]
        ]


def event_tables(report: Report) -> list[EventTable]:
    """Return the tables for which there is anything to show."""
    return list(_tables(report))


def _tables(report: Report) -> Iterator[EventTable]:
    axes = tuple(axis.label for axis in report.axes)
    lines: Sequence[Any]
    if lines := completion_lines(report):
        yield _table(
            *("completions", "Flow completion times", "Short flows, over all trials of a cell.", axes, lines),
            [
                _text("Flow", "group"),
                _number("Flows", "", "flows"),
                _number("Unfinished", "", "unfinished"),
                _decimal("Mean size", "kB", "mean_kb", 1),
                _number("Retransmissions", "", "retransmissions"),
                _decimal("Mean", "ms", "mean_ms", 1),
                *_quantiles(1),
            ],
        )
    if lines := latency_lines(report):
        yield _table(
            *("latency", "Latency that probes met", "Over all trials of a cell.", axes, lines),
            [
                _text("Probe", "probe"),
                _number("Asked", "", "asked"),
                _number("Unanswered", "", "unanswered"),
                _decimal("Least", "ms", "min_ms", 2),
                *_quantiles(2),
            ],
        )
    if lines := drop_lines(report):
        note = "All packets that the kernels dropped while traffic ran, over all trials of a cell. "
        yield _table(
            *("drops", "Where packets died", note + tc_agreement(report).sentence, axes, lines),
            [
                _text("Node", "node"),
                _text("Interface", "interface"),
                Heading("Cause", "", number=False, cell=lambda line: line.cause.replace("_", " ")),
                _text("Kernel's reason", "reason"),
                _text("Function", "function"),
                _number("Packets", "", "packets"),
            ],
        )
    if lines := queue_lines(report):
        yield _table(
            *("queues", "How full the bottleneck was", _queue_note(lines), axes, lines),
            [
                _text("Trial", "trial"),
                _text("Interface", "interface"),
                _decimal("Mean", "packets", "mean_packets", 1),
                _decimal("95 %", "packets", "p95_packets", 0),
                _decimal("Most", "packets", "max_packets", 0),
                _decimal("Mean", "ms", "mean_ms", 2),
                _decimal("95 %", "ms", "p95_ms", 2),
                *(
                    [
                        _decimal("Sojourn, median", "ms", "sojourn_p50_ms", 2),
                        _decimal("95 %", "ms", "sojourn_p95_ms", 2),
                        _decimal("99 %", "ms", "sojourn_p99_ms", 2),
                        _decimal("Longest", "ms", "sojourn_max_ms", 2),
                    ]
                    if any(line.packets for line in lines)
                    else []
                ),
            ],
        )
    if lines := stack_lines(report):
        note = "In virtual time, waiting included; counted in buckets, each twice as wide as the one before."
        yield _table(
            *("stack-latency", "How long packets took along the stack", note, axes, lines),
            [
                _text("From", "source"),
                _text("To", "target"),
                _number("Packets", "", "packets"),
                Heading("Median", "bucket", number=True, cell=lambda line: line.median),
                Heading("95 %", "bucket", number=True, cell=lambda line: line.p95),
            ],
        )
    if lines := connection_lines(report):
        yield _table(
            *("connections", "Connections", "Both ends of each, iperf3's control connections last.", (), lines),
            [
                _text("Trial", "trial"),
                _text("Flow", "flow"),
                _text("Node", "node"),
                _text("Process", "process"),
                _text("Local", "local"),
                _text("Remote", "remote"),
                _number("Sent", "bytes", "sent_bytes"),
                _number("Received", "bytes", "received_bytes"),
                _decimal("Lasted", "s", "seconds", 3),
            ],
        )
    yield from _states(report)
    if lines := reset_lines(report):
        yield _table(
            *("resets", "Resets", "Segments with RST, by who sent or received them and why.", (), lines),
            [
                _text("Trial", "trial"),
                _text("Flow", "flow"),
                _text("Node", "node"),
                _text("", "way"),
                _text("State", "state"),
                _text("Reason", "reason"),
                _number("Segments", "", "segments"),
            ],
        )
    if lines := segment_lines(report):
        flags = [
            Heading(flag, "", number=True, cell=lambda line, at=at: f"{line.flags[at]:,}")  # type: ignore[misc]
            for at, flag in enumerate(SHOWN_FLAGS)
        ]
        yield _table(
            *("segments", "Segments received", "As TCP took them from IP, by flow and node.", (), lines),
            [
                _text("Trial", "trial"),
                _text("Flow", "flow"),
                _text("Node", "node"),
                _number("Segments", "", "segments"),
                _number("Payload", "bytes", "payload_bytes"),
                *flags,
                _number("Marked", "CE", "marked"),
            ],
        )
    if lines := socket_lines(report):
        yield _table(
            *("sockets", "Sockets taken down", "", (), lines),
            [_text("Trial", "trial"), _text("Node", "node"), _number("Sockets", "", "sockets")],
        )


@dataclass(frozen=True)
class StateLine:
    """How long one end of a connection was in one state, each time it was."""

    trial: str
    flow: str
    node: str
    local: str
    remote: str
    state: str
    start_s: float
    seconds: float


def _states(report: Report) -> Iterator[EventTable]:
    lines = [
        StateLine(trial.id, end.flow, end.node, end.local, end.remote, span.name, span.start, span.end - span.start)
        for trial in first_trials(report, ["states"]).values()
        for end in connection_ends(trial)
        for span in end.spans
    ]
    if lines:
        yield _table(
            *("states", "States of connections", "Of each cell's first repetition.", (), lines),
            [
                _text("Trial", "trial"),
                _text("Flow", "flow"),
                _text("Node", "node"),
                _text("Local", "local"),
                _text("Remote", "remote"),
                _text("State", "state"),
                _decimal("From", "s", "start_s", 6),
                Heading("Lasted", "", number=True, cell=lambda line: format_duration(round(line.seconds * 1e9))),
            ],
        )


def _table(
    name: str, title: str, note: str, axes: tuple[str, ...], lines: Sequence[Any], headings: Sequence[Heading]
) -> EventTable:
    names = [field.name for field in fields(lines[0]) if field.name not in ("where", "flags")]
    own_flags = hasattr(lines[0], "flags")
    rows = []
    for line in lines:
        row = dict(zip(axes, line.where, strict=True)) if axes else {}
        row |= {name: getattr(line, name) for name in names}
        if own_flags:
            row |= dict(zip(SHOWN_FLAGS, line.flags, strict=True))
        rows.append(row)
    columns = (*axes, *names, *(SHOWN_FLAGS if own_flags else ()))
    return EventTable(name, title, note, axes, tuple(headings), lines, columns, rows)


def _queue_note(lines: Sequence[Any]) -> str:
    note = (
        "The queue in front of each flow's slowest link, while flows ran: each sample counts for as long as it held. "
        "Milliseconds: what the link's rate takes to send what is queued."
    )
    if any(line.packets for line in lines):
        note += " Sojourn: of each packet, from its entering the queue to its leaving."
    return note


def _text(title: str, attribute: str) -> Heading:
    return Heading(title, "", number=False, cell=lambda line: str(getattr(line, attribute)))


def _number(title: str, unit: str, attribute: str) -> Heading:
    return Heading(title, unit, number=True, cell=lambda line: f"{getattr(line, attribute):,}")


def _decimal(title: str, unit: str, attribute: str, digits: int) -> Heading:
    def cell(line: Any) -> str:
        value = getattr(line, attribute)
        return "–" if value is None else f"{value:,.{digits}f}"

    return Heading(title, unit, number=True, cell=cell)


def _quantiles(decimals: int) -> list[Heading]:
    """Of a line that has quantiles of times."""
    names = (("Median", "p50_ms"), ("95 %", "p95_ms"), ("99 %", "p99_ms"), ("Longest", "max_ms"))
    return [_decimal(title, "ms", name, decimals) for title, name in names]
