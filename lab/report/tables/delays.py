# SPDX-License-Identifier: Apache-2.0
"""Tables of where packets spent their time: in queues, and between stages of the kernel's network stack."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from lab.analysis.backlog import queueing_delay
from lab.analysis.events import bucket_quantile
from lab.evaluation.collected import bottleneck_places, recorded
from lab.evaluation.on_the_way import BACKLOG, Place, dropped_by_tc, marked_by_tc, queues_of
from lab.job.windows import is_cut
from lab.report.cells import Where, cells_with
from lab.report.model import Report
from lab.report.tables.table import EventTable, Heading, axes_of_cells, decimal, number, table, text
from lab.report.windows import measured_by_any, queues_text
from lab.store.trial import TrialResult

SOJOURN_QUANTILES = (0.5, 0.95, 0.99)
"""The quantiles of sojourn times in the table."""


@dataclass(frozen=True)
class QueueLine:
    """A bottleneck queue in one trial, while flows ran.

    ``*_packets`` are statistics over time of the number of packets in the queue, ``wait_*_ms`` statistics over packets
    of the time in the queue (see :mod:`lab.analysis.backlog`).  ``sojourn_*`` are the same from the time that each
    single packet spent in the queue; they are None if that was not recorded.
    """

    where: Where
    trial: str
    node: str
    interface: str
    mean_packets: float
    p95_packets: float
    max_packets: int
    wait_mean_ms: float | None
    wait_p95_ms: float | None
    dropped: int
    """Number of packets that were dropped, as ``tc`` counts them."""
    marked: int | None
    """Number of packets that were marked with ECN, as ``tc`` counts them; None if the discipline counts none."""
    packets: int | None
    """Number of packets whose sojourn time is known; None if it was not recorded."""
    sojourn_p50_ms: float | None
    sojourn_p95_ms: float | None
    sojourn_p99_ms: float | None
    sojourn_max_ms: float | None


@dataclass(frozen=True)
class StackLine:
    """How long packets took from one stage of the network stack to another, over all trials of a cell."""

    where: Where
    source: str
    """The stage that packets came from."""
    target: str
    """The stage that packets came to."""
    packets: int
    """Number of packets."""
    median_ns: int
    """Lower bound of the histogram bucket with the median, in nanoseconds; the upper bound is twice as much."""
    p95_ns: int
    """Lower bound of the histogram bucket with the p95, in nanoseconds; the upper bound is twice as much."""

    @property
    def median(self) -> str:
        """The bucket with the median, as text."""
        return bucket_text(self.median_ns)

    @property
    def p95(self) -> str:
        """The bucket with the p95, as text."""
        return bucket_text(self.p95_ns)


@lru_cache(maxsize=4)
def queue_lines(report: Report) -> list[QueueLine]:
    """Return the bottleneck queues of all trials."""
    found = []
    for where, trials in cells_with(report, [BACKLOG]).items():
        for trial in trials:
            found += _queue_lines(where, trial)
    return found


@lru_cache(maxsize=4)
def stack_lines(report: Report) -> list[StackLine]:
    """Return the latency between stages of the network stack by cell; pairs with the most packets come first."""
    found = []
    for where, trials in cells_with(report, ["drops_latency"]).items():
        histograms: dict[tuple[str, str], Counter[int]] = defaultdict(Counter)
        for trial in trials:
            for row in trial.collected("drops_latency", ["from", "to", "at_least_ns", "packets"]).to_pylist():
                histograms[row["from"], row["to"]][row["at_least_ns"]] += row["packets"]
        lines = []
        for (source, target), histogram in histograms.items():
            bounds, packets = list(histogram), list(histogram.values())
            median, p95 = (bucket_quantile(bounds, packets, quantile) for quantile in (0.5, 0.95))
            if median is not None and p95 is not None:
                lines.append(StackLine(where, source, target, sum(packets), median, p95))
        found += sorted(lines, key=lambda line: (-line.packets, line.source, line.target))
    return found


def sojourn_ms(trial: TrialResult, node: str, interface: str) -> NDArray[np.float64]:
    """Return the time that each packet spent in an interface's queue, in milliseconds; empty if it was not recorded.

    If a flow has a measured window, only packets that left the queue within the windows are included.
    """
    if not recorded(trial, "queue"):
        return np.zeros(0)
    table = trial.collected("queue", ["time_ns", "node", "interface", "kind", "sojourn_ns"])
    at_interface = pc.and_(pc.equal(table.column("node"), node), pc.equal(table.column("interface"), interface))
    left = pc.and_(at_interface, pc.equal(table.column("kind"), "dequeue"))
    if any(map(is_cut, trial.job["flows"])):
        start_ns, end_ns = measured_by_any(trial.job["flows"])
        at = table.column("time_ns")
        left = pc.and_(left, pc.and_(pc.greater_equal(at, start_ns), pc.less(at, end_ns)))
    nanoseconds = table.filter(left).column("sojourn_ns").drop_null().to_numpy()
    milliseconds: NDArray[np.float64] = nanoseconds / 1e6
    return milliseconds


def bucket_text(at_least_ns: int) -> str:
    """Return the bounds of a histogram bucket as text, such as ``1–2 µs``.

    The exact bounds are powers of two nanoseconds; the text rounds them.
    """
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if at_least_ns * 1.001 >= size:
            return f"{at_least_ns / size:.3g}–{2 * at_least_ns / size:.3g} {unit}"
    return f"{at_least_ns}–{2 * at_least_ns} ns"


def _queue_lines(where: Where, trial: TrialResult) -> list[QueueLine]:
    lines: dict[Place, QueueLine] = {}
    flows = trial.job["flows"]
    start_ns, end_ns = measured_by_any(flows)
    dropped = dropped_by_tc(trial)
    for place in dict.fromkeys(place for flow in flows for place in bottleneck_places(trial, flow)):
        queue = queues_of(trial).get(place)
        occupancy = queue.occupancy(start_ns, end_ns) if queue else None
        if queue is None or occupancy is None:
            continue
        times = sojourn_ms(trial, *place)
        # With this method, each quantile is the time of an actual packet and is not interpolated.
        quantiles = np.quantile(times, SOJOURN_QUANTILES, method="inverted_cdf") if len(times) else ()
        known: list[float | None] = [float(value) for value in quantiles] or [None] * len(SOJOURN_QUANTILES)
        waits = queueing_delay([queue], start_ns, end_ns)
        lines[place] = QueueLine(
            where=where,
            trial=trial.id,
            node=place[0],
            interface=place[1],
            mean_packets=occupancy.mean,
            p95_packets=occupancy.p95,
            max_packets=int(occupancy.most),
            wait_mean_ms=_ms(waits.mean),
            wait_p95_ms=_ms(waits.p95),
            dropped=dropped[place],
            marked=marked_by_tc(trial, place),
            packets=len(times) or None,
            sojourn_p50_ms=known[0],
            sojourn_p95_ms=known[1],
            sojourn_p99_ms=known[2],
            sojourn_max_ms=float(times.max()) if len(times) else None,
        )
    return list(lines.values())


def _ms(ns: float | None) -> float | None:
    return ns / 1e6 if ns is not None else None


def delay_tables(report: Report) -> Iterator[EventTable]:
    """Yield the tables of bottleneck queues and of latency in the network stack, as far as these were recorded."""
    if queues := queue_lines(report):
        yield table(
            "queues",
            "Queue at the bottleneck",
            _queue_note(queues, queues_text(report)),
            axes_of_cells(report),
            queues,
            [
                text("Trial", "trial"),
                text("Interface", "interface"),
                decimal("Mean", "packets", "mean_packets", 1),
                decimal("p95", "packets", "p95_packets", 0),
                number("Max", "packets", "max_packets"),
                decimal("Wait, mean", "ms", "wait_mean_ms", 2),
                decimal("p95", "ms", "wait_p95_ms", 2),
                number("Dropped", "packets", "dropped"),
                *((number("Marked", "CE", "marked"),) if any(line.marked is not None for line in queues) else ()),
                *(_SOJOURN if _has_sojourn(queues) else ()),
            ],
        )
    if stack := stack_lines(report):
        yield table(
            "stack-latency",
            "Latency along the network stack",
            "Time between two stages of the network stack, including the time that packets waited; in virtual time "
            "with the vm engine. Times are counted in buckets, each twice as wide as the one before, so only the "
            "bucket of a quantile is known.",
            axes_of_cells(report),
            stack,
            [
                text("From", "source"),
                text("To", "target"),
                number("Packets", "", "packets"),
                Heading("p50", "bucket", number=True, cell=lambda line: line.median),
                Heading("p95", "bucket", number=True, cell=lambda line: line.p95),
            ],
        )


_SOJOURN = (
    decimal("Sojourn time, p50", "ms", "sojourn_p50_ms", 2),
    decimal("p95", "ms", "sojourn_p95_ms", 2),
    decimal("p99", "ms", "sojourn_p99_ms", 2),
    decimal("Max", "ms", "sojourn_max_ms", 2),
)


def _has_sojourn(lines: Sequence[QueueLine]) -> bool:
    return any(line.packets for line in lines)


def _queue_note(lines: Sequence[QueueLine], windows: str) -> str:
    note = (
        "The queue in front of each flow's bottleneck link while flows were measured, with the packets of all flows. "
        "Wait: the time that packets spent in it, from its length over time (Little's law; p95 from bins of 10 ms). "
        "Dropped and marked: as tc counts them, in the whole trial."
    )
    sojourn = " Sojourn time: the time that each single packet spent in the queue."
    covered = f" Measured window: {windows}, in which at least one flow is measured." if windows else ""
    return note + (sojourn if _has_sojourn(lines) else "") + covered
