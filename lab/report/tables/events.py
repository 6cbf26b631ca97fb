# SPDX-License-Identifier: Apache-2.0
"""The tables of what collectors, probes and short flows recorded, in the order of the page."""

from __future__ import annotations

from lab.report.model import Report
from lab.report.tables.completions import completion_tables
from lab.report.tables.connections import connection_tables, socket_tables
from lab.report.tables.delays import delay_tables
from lab.report.tables.drops import drop_tables
from lab.report.tables.latency import latency_tables
from lab.report.tables.losses import loss_tables
from lab.report.tables.states import state_tables
from lab.report.tables.table import EventTable


def event_tables(report: Report) -> list[EventTable]:
    """Return the tables that have lines."""
    return [
        *completion_tables(report),
        *latency_tables(report),
        *loss_tables(report),
        *drop_tables(report),
        *delay_tables(report),
        *connection_tables(report),
        *state_tables(report),
        *socket_tables(report),
    ]
