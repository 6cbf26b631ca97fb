# SPDX-License-Identifier: Apache-2.0
"""What the collectors beside the probe's curves have seen of a trial: marks for figures, and the table of drops."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from lab.report.evaluate import TRACE, Curve
from lab.report.model import Report
from lab.store import TrialResult

Seconds = NDArray[np.float64]

QUEUE_CAUSES = ("random_loss", "queue_overflow", "aqm")
"""Of drops that ``tc`` counts, too."""


@dataclass(frozen=True)
class Span:
    """A stretch of time in which an algorithm was in one mode; in seconds since the start of traffic."""

    start: float
    end: float
    mode: str


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


def retransmissions(trial: TrialResult, flow: str) -> Mapping[str, Seconds]:
    """Kind (``fast``, ``timeout``, ``tlp`` …) → when; empty where they were not recorded."""
    if "retrans" not in trial.record["collectors"]:
        return {}
    table = trial.collected("retrans", ["time_ns", "flow", "kind"])
    table = table.filter(pc.equal(table.column("flow"), flow))
    times = table.column("time_ns").to_numpy() / 1e9
    kinds = np.array(table.column("kind").to_pylist(), dtype=object)
    return {kind: times[kinds == kind] for kind in sorted(set(kinds))}


def modes(trial: TrialResult, flow: str) -> list[Span]:
    """The modes of BBR; none for other algorithms."""
    if TRACE not in trial.record["collectors"]:
        return []
    table = trial.collected(TRACE, ["time_ns", "flow", "end", "is_transmit", "ca_name", "ca_mode"])
    ours = pc.and_(pc.equal(table.column("flow"), flow), pc.equal(table.column("end"), "source"))
    ours = pc.and_(ours, pc.equal(table.column("is_transmit"), "receive"))
    table = table.filter(pc.and_(ours, pc.equal(table.column("ca_name"), "bbr")))
    return spans(table.column("time_ns").to_numpy() / 1e9, table.column("ca_mode").to_pylist())


def spans(times: Seconds, names: list[str]) -> list[Span]:
    """Stretches of equal names; each lasts until the next begins."""
    if not names:
        return []
    starts = [place for place, name in enumerate(names) if place == 0 or names[place - 1] != name]
    ends = [*starts[1:], len(names) - 1]
    return [Span(float(times[start]), float(times[end]), names[start]) for start, end in zip(starts, ends, strict=True)]


def bottleneck_queue(trial: TrialResult) -> Curve | None:
    """(seconds, packets) of the bottleneck's queue in the direction of the data; None where it was not recorded."""
    job, record = trial.job, trial.record
    if "queue" not in record["collectors"]:
        return None
    link = next((link for link in job["links"] if link["name"] == "bottleneck"), None)
    if link is None:
        return None
    place = next(
        port["interface"]
        for port in record["interfaces"]
        if (port["link"], port["node"], port["role"]) == (link["name"], link["a"], "egress")
    )
    table = trial.collected("queue", ["time_ns", "node", "interface", "backlog_packets"])
    here = pc.and_(pc.equal(table.column("node"), link["a"]), pc.equal(table.column("interface"), place))
    table = table.filter(here)
    return table.column("time_ns").to_numpy() / 1e9, table.column("backlog_packets").to_numpy().astype(np.float64)


def drop_lines(report: Report) -> list[DropLine]:
    """Drops by cell, place and cause, most first in each cell; those of the queues before all others."""
    return list(_drop_lines(report))


def _drop_lines(report: Report) -> Iterator[DropLine]:
    cells: dict[tuple[str, ...], list[TrialResult]] = {}
    for result in report.done:
        if "drops" in result.trial.record["collectors"]:
            values = result.trial.cell
            where = tuple(axis.text(values[axis.path]) for axis in report.axes)
            cells.setdefault(where, []).append(result.trial)
    for where, trials in cells.items():
        counts: Counter[tuple[str, ...]] = Counter()
        for trial in trials:
            columns = ["node", "interface", "cause", "reason", "location"]
            table = trial.collected("drops", columns)
            counts.update(zip(*(map(_known, table.column(name).to_pylist()) for name in columns), strict=True))
        ordered = sorted(counts.items(), key=lambda item: (item[0][2] not in QUEUE_CAUSES, -item[1], item[0]))
        for (node, interface, cause, reason, function), packets in ordered:
            yield DropLine(where, len(trials), node, interface, cause, reason, function, packets)


def _known(text: str | None) -> str:
    return text or "–"
