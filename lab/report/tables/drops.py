# SPDX-License-Identifier: Apache-2.0
"""The table of where packets died: drops by cell, interface and cause, compared with the counters of ``tc``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from lab.evaluation.on_the_way import TC_CAUSES, Place, dropped_by_tc
from lab.report.cells import cells_with, counts
from lab.report.model import Report
from lab.report.tables.table import EventTable, Heading, axes_of_cells, number, table, text
from lab.store.trial import TrialResult


@dataclass(frozen=True)
class DropLine:
    """The packets that were dropped at one interface for one reason, in all trials of a cell."""

    where: tuple[str, ...]
    trials: int
    """Number of trials."""
    node: str
    interface: str
    cause: str
    """Cause of the drop, one of :data:`lab.job.drop_causes.CAUSES`."""
    reason: str
    """The kernel's reason (``enum skb_drop_reason``)."""
    function: str
    """The function in the kernel that dropped the packets."""
    packets: int
    """Number of packets."""


@dataclass(frozen=True)
class TcLine:
    """Number of packets that the queueing disciplines of one interface dropped in one trial."""

    trial: str
    node: str
    interface: str
    collected: int
    """Number according to the collector."""
    counted: int
    """Number according to the counters of ``tc``."""
    lost: int
    """Number of events that the collector lost in the whole trial."""


@dataclass(frozen=True)
class TcAgreement:
    """The comparison of the collected drops with the counters of ``tc``, in all trials that recorded all drops."""

    lines: tuple[TcLine, ...]
    """One line for each trial and interface with drops."""
    partly: int
    """Number of trials that were asked to record only some drops (``port``, ``window``), so they are not compared."""

    @property
    def differing(self) -> list[TcLine]:
        """The lines in which the two numbers differ."""
        return [line for line in self.lines if line.collected != line.counted]

    @property
    def sentence(self) -> str:
        """The outcome in a sentence or two; empty if there is nothing to compare."""
        left = f" Trials that recorded only some drops and were not compared: {self.partly}." if self.partly else ""
        if not self.lines:
            return left.strip()
        places = len({(line.trial, line.node, line.interface) for line in self.lines})
        total = sum(line.counted for line in self.lines)
        if not self.differing:
            return (
                f"The counters of tc agree at every interface of every trial: {total} packets"
                f" ({places} interface{'s' if places != 1 else ''} with drops).{left}"
            )
        shown = "; ".join(
            f"{line.trial}, {line.node} {line.interface}: {line.collected} recorded, {line.counted} counted by tc"
            + (f" ({line.lost} events lost)" if line.lost else "")
            for line in self.differing[:4]
        )
        more = f"; and {len(self.differing) - 4} more" if len(self.differing) > 4 else ""
        return f"The counters of tc differ at {len(self.differing)} of {places} interfaces: {shown}{more}.{left}"


@lru_cache(maxsize=4)
def drop_lines(report: Report) -> list[DropLine]:
    """Return the drops by cell, interface and cause.

    In each cell, drops by queueing disciplines come first, and then those with the most packets.
    """
    found = []
    for where, trials in cells_with(report, ["drops"]).items():
        total: Counter[tuple[str, ...]] = Counter()
        for trial in trials:
            total.update(_counts(trial))
        ordered = sorted(total.items(), key=lambda item: (item[0][2] not in TC_CAUSES, -item[1], item[0]))
        for (node, interface, cause, reason, function), packets in ordered:
            found.append(DropLine(where, len(trials), node, interface, cause, reason, function, packets))
    return found


@lru_cache(maxsize=4)
def tc_agreement(report: Report) -> TcAgreement:
    """Compare the collected drops with the counters of ``tc`` for each trial and interface."""
    lines, partly = [], 0
    for trials in cells_with(report, ["drops"]).values():
        for trial in trials:
            options = trial.job["collectors"].get("drops", {})
            if options.get("port") is not None or options.get("window") is not None:
                partly += 1
                continue
            collected: Counter[Place] = Counter()
            for (node, interface, cause, _reason, _function), packets in _counts(trial).items():
                if cause in TC_CAUSES:
                    collected[node, interface] += packets
            counted = dropped_by_tc(trial)
            lost = trial.record["collectors"]["drops"]["lost"]
            for place in sorted(collected.keys() | counted.keys()):
                lines.append(TcLine(trial.id, *place, collected[place], counted[place], lost))
    return TcAgreement(tuple(lines), partly)


def _counts(trial: TrialResult) -> Counter[tuple[str, ...]]:
    """Return the number of dropped packets for each (node, interface, cause, reason, function)."""
    columns = ["node", "interface", "cause", "reason", "location"]
    return counts(trial.collected("drops", columns), columns)


def drop_tables(report: Report) -> Iterator[EventTable]:
    """Yield the table of dropped packets, if there were any."""
    if lines := drop_lines(report):
        note = "All packets that the kernel dropped while traffic ran, over all trials of a cell. "
        yield table(
            "drops",
            "Where packets died",
            note + tc_agreement(report).sentence,
            axes_of_cells(report),
            lines,
            [
                text("Node", "node"),
                text("Interface", "interface"),
                Heading("Cause", "", number=False, cell=lambda line: line.cause.replace("_", " ")),
                text("Kernel's reason", "reason"),
                text("Kernel function", "function"),
                number("Packets", "", "packets"),
            ],
        )
