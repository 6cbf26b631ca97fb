# SPDX-License-Identifier: Apache-2.0
"""The table of the TCP states of connections, with a line for each period that one end spent in a state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lab.evaluation.connections import connection_ends
from lab.report.cells import first_trials
from lab.report.model import Report
from lab.report.tables.table import EventTable, Heading, decimal, table, text
from lab.units import format_duration


@dataclass(frozen=True)
class StateLine:
    """A period that one end of a connection spent in one state."""

    trial: str
    flow: str
    node: str
    local: str
    """Address and port of this end."""
    remote: str
    """Address and port of the other end."""
    state: str
    start_s: float
    """Start of the period, in seconds since the start of traffic."""
    seconds: float
    """Duration of the period, in seconds."""


def state_lines(report: Report) -> list[StateLine]:
    """Return the states in the first repetition of each cell."""
    return [
        StateLine(trial.id, end.flow, end.node, end.local, end.remote, span.name, span.start, span.end - span.start)
        for trial in first_trials(report, ["states"]).values()
        for end in connection_ends(trial)
        for span in end.spans
    ]


def state_tables(report: Report) -> Iterator[EventTable]:
    """Yield the table of states, if they were recorded."""
    if lines := state_lines(report):
        yield table(
            "states",
            "Connection states",
            "TCP states of both ends of each connection, in the first repetition of each cell.",
            (),
            lines,
            [
                text("Trial", "trial"),
                text("Flow", "flow"),
                text("Node", "node"),
                text("Local", "local"),
                text("Remote", "remote"),
                text("State", "state"),
                decimal("From", "s", "start_s", 6),
                Heading("Duration", "", number=True, cell=lambda line: format_duration(round(line.seconds * 1e9))),
            ],
        )
