# SPDX-License-Identifier: Apache-2.0
"""The table of where packets of flows were dropped, which every trial records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from lab.evaluation.on_the_way import LOSSES, losses_of
from lab.report.cells import Where, cells_with
from lab.report.model import Report
from lab.report.tables.table import EventTable, Heading, axes_of_cells, decimal, number, table, text


@dataclass(frozen=True)
class LossLine:
    """The packets of a flow that were dropped at one place for one cause, in all trials of a cell."""

    where: Where
    flow: str
    """Name of the flow as the experiment declares it; flows that one declaration makes (``count``) share it."""
    way: str
    """``data`` or ``acknowledgements``."""
    node: str
    interface: str
    """The interface; a dash if the packet had already reached a socket."""
    cause: str
    """Cause of the drop, one of :data:`lab.job.drop_causes.CAUSES`."""
    packets: int
    sent: int
    """Number of packets that left the flow's sender, or its receiver for acknowledgements."""
    share_percent: float | None
    """Dropped packets as a share of those that were sent, in percent; None if none was sent."""


@lru_cache(maxsize=4)
def loss_lines(report: Report) -> list[LossLine]:
    """Return the drops by cell, flow, direction, place and cause; in each flow, those with the most packets first."""
    found = []
    for where, trials in cells_with(report, [LOSSES]).items():
        lost: Counter[tuple[str, str, str, str, str]] = Counter()
        sent: Counter[tuple[str, str]] = Counter()
        for trial in trials:
            groups = {flow["name"]: flow["group"] for flow in trial.job["flows"]}
            for loss in losses_of(trial):
                key = (groups[loss.flow], loss.way, loss.node, loss.interface, loss.cause)
                lost[key] += loss.packets
            for flow in trial.record["flows"]:
                sides = flow["accounts"]["sides"]
                sent[groups[flow["name"]], "forward"] += sides["sent"]["measured"]["packets"]
                sent[groups[flow["name"]], "backward"] += sides["sent_backward"]["measured"]["packets"]
        ordered = sorted(lost.items(), key=lambda item: (item[0][:2], -item[1], item[0]))
        for (group, way, node, interface, cause), packets in ordered:
            all_sent = sent[group, way]
            share = 100 * packets / all_sent if all_sent else None
            found.append(LossLine(where, group, _WAYS[way], node, interface or "–", cause, packets, all_sent, share))
    return found


_WAYS = {"forward": "data", "backward": "acknowledgements"}


def loss_tables(report: Report) -> Iterator[EventTable]:
    """Yield the table of packets that flows lost, if there were any."""
    if lines := loss_lines(report):
        yield table(
            "losses",
            "Where flows lost packets",
            "Packets of flows that the kernel dropped while the flows were measured, over all trials of a cell. "
            "Share: of the packets that were sent in this direction.",
            axes_of_cells(report),
            lines,
            [
                text("Flow", "flow"),
                text("Packets with", "way"),
                text("Node", "node"),
                text("Interface", "interface"),
                Heading("Cause", "", number=False, cell=lambda line: line.cause.replace("_", " ")),
                number("Packets", "", "packets"),
                decimal("Share", "%", "share_percent", 3),
            ],
        )
