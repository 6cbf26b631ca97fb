# SPDX-License-Identifier: Apache-2.0
"""Where packets died: drops by cell, place and cause, and whether ``tc`` counted the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from lab.evaluation.collected import QUEUE_CAUSES
from lab.report.cells import cells_with, counts
from lab.report.model import Report
from lab.report.tables.table import EventTable, Heading, axes_of_cells, number, table, text
from lab.store.trial import TrialResult

Place = tuple[str, str]
"""Node and interface."""


@dataclass(frozen=True)
class DropLine:
    """Drops of one cell's trials that died in one place for one reason."""

    where: tuple[str, ...]
    trials: int
    node: str
    interface: str
    cause: str
    reason: str
    function: str
    packets: int


@dataclass(frozen=True)
class TcLine:
    """What the queueing disciplines of one interface dropped in one trial: as collected, and as ``tc`` counted it."""

    trial: str
    node: str
    interface: str
    collected: int
    counted: int
    lost: int
    """Events of the whole trial that the collector lost."""


@dataclass(frozen=True)
class TcAgreement:
    """The comparison with ``tc``, over all trials in which it is fair."""

    lines: tuple[TcLine, ...]
    partly: int
    """Trials in which only some drops were to be recorded: there is nothing to compare."""

    @property
    def differing(self) -> list[TcLine]:
        return [line for line in self.lines if line.collected != line.counted]

    @property
    def sentence(self) -> str:
        """What a reader should know, in a sentence or two; empty when nothing was dropped."""
        left = f" {self.partly} trials recorded only some drops and were not compared." if self.partly else ""
        if not self.lines:
            return left.strip()
        places = len({(line.trial, line.node, line.interface) for line in self.lines})
        total = sum(line.counted for line in self.lines)
        if not self.differing:
            return (
                f"tc's own counters agree at every interface of every trial: {total} packets"
                f" ({places} interface{'s' if places != 1 else ''} with drops).{left}"
            )
        shown = "; ".join(
            f"{line.trial}, {line.node} {line.interface}: {line.collected} here, {line.counted} by tc"
            + (f" ({line.lost} events lost)" if line.lost else "")
            for line in self.differing[:4]
        )
        more = f"; and {len(self.differing) - 4} more" if len(self.differing) > 4 else ""
        return f"tc's own counters differ at {len(self.differing)} of {places} places: {shown}{more}.{left}"


@lru_cache(maxsize=4)
def drop_lines(report: Report) -> list[DropLine]:
    """Drops by cell, place and cause, most first in each cell; those of the queues before all others."""
    found = []
    for where, trials in cells_with(report, ["drops"]).items():
        total: Counter[tuple[str, ...]] = Counter()
        for trial in trials:
            total.update(_counts(trial))
        ordered = sorted(total.items(), key=lambda item: (item[0][2] not in QUEUE_CAUSES, -item[1], item[0]))
        for (node, interface, cause, reason, function), packets in ordered:
            found.append(DropLine(where, len(trials), node, interface, cause, reason, function, packets))
    return found


@lru_cache(maxsize=4)
def tc_agreement(report: Report) -> TcAgreement:
    """Compare what was collected with what ``tc`` counted, interface by interface."""
    lines, partly = [], 0
    for trials in cells_with(report, ["drops"]).values():
        for trial in trials:
            options = trial.job["collectors"].get("drops", {})
            if options.get("port") is not None or options.get("window") is not None:
                partly += 1
                continue
            collected: Counter[Place] = Counter()
            for (node, interface, cause, _reason, _function), packets in _counts(trial).items():
                if cause in QUEUE_CAUSES:
                    collected[node, interface] += packets
            counted = dropped_by_tc(trial)
            lost = trial.record["collectors"]["drops"]["lost"]
            for place in sorted(collected.keys() | counted.keys()):
                lines.append(TcLine(trial.id, *place, collected[place], counted[place], lost))
    return TcAgreement(tuple(lines), partly)


def dropped_by_tc(trial: TrialResult) -> Counter[Place]:
    """What the outermost queueing disciplines of each interface dropped while traffic ran; those that dropped any."""
    found: Counter[Place] = Counter()
    for port in trial.record["interfaces"]:
        before, after = (
            # An outer discipline's count includes what those inside it dropped; clsact stands beside them.
            sum(int(qdisc.get("drops", 0)) for qdisc in qdiscs if "parent" not in qdisc or qdisc["kind"] == "clsact")
            for qdiscs in (port["qdiscs_before"], port["qdiscs_after"])
        )
        if after != before:
            found[port["node"], port["interface"]] = after - before
    return found


def _counts(trial: TrialResult) -> Counter[tuple[str, ...]]:
    """(node, interface, cause, reason, function) → packets."""
    columns = ["node", "interface", "cause", "reason", "location"]
    return counts(trial.collected("drops", columns), columns)


def drop_tables(report: Report) -> Iterator[EventTable]:
    """Yield the table of dropped packets, if there were any."""
    if lines := drop_lines(report):
        note = "All packets that the kernels dropped while traffic ran, over all trials of a cell. "
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
                text("Function", "function"),
                number("Packets", "", "packets"),
            ],
        )
