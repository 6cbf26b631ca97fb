# SPDX-License-Identifier: Apache-2.0
"""Where packets spent their time: in queues, and between places in the kernel's network stack."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from lab.analysis.events import bucket_quantile, occupancy
from lab.evaluation.collected import bottleneck_queue, recorded
from lab.report.cells import Where, cells_with
from lab.report.model import Report
from lab.report.tables.table import EventTable, Heading, axes_of_cells, decimal, number, table, text
from lab.store.trial import TrialResult

SOJOURN_QUANTILES = (0.5, 0.95, 0.99)


@dataclass(frozen=True)
class QueueLine:
    """A bottleneck's queue in one trial: how full it was while flows ran, and how long packets were in it."""

    where: Where
    trial: str
    node: str
    interface: str
    mean_packets: float
    p95_packets: float
    max_packets: float
    mean_ms: float
    p95_ms: float
    max_ms: float
    """Time that the link's rate takes to send what is queued."""
    packets: int
    """Whose time in the queue is known; 0 where that was not recorded."""
    sojourn_p50_ms: float | None
    sojourn_p95_ms: float | None
    sojourn_p99_ms: float | None
    sojourn_max_ms: float | None


@dataclass(frozen=True)
class StackLine:
    """How long packets took from one place of the stack to the next, over all trials of a cell."""

    where: Where
    source: str
    target: str
    packets: int
    median_ns: int
    p95_ns: int
    """Lower bounds of the buckets, which are twice as wide each as the one before."""

    @property
    def median(self) -> str:
        return bucket_text(self.median_ns)

    @property
    def p95(self) -> str:
        return bucket_text(self.p95_ns)


@lru_cache(maxsize=4)
def queue_lines(report: Report) -> list[QueueLine]:
    """Every trial's bottleneck queues."""
    found = []
    for where, trials in cells_with(report, ["queue"]).items():
        for trial in trials:
            found += _queue_lines(where, trial)
    return found


@lru_cache(maxsize=4)
def stack_lines(report: Report) -> list[StackLine]:
    """Latency between places of the stack, by cell; the pairs that most packets took first."""
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
    """How long each packet that left an interface's queue had been in it; empty where that was not recorded."""
    if not recorded(trial, "queue"):
        return np.zeros(0)
    table = trial.collected("queue", ["node", "interface", "kind", "sojourn_ns"])
    here = pc.and_(pc.equal(table.column("node"), node), pc.equal(table.column("interface"), interface))
    left = pc.and_(here, pc.equal(table.column("kind"), "dequeue"))
    nanoseconds = table.filter(left).column("sojourn_ns").to_numpy()
    milliseconds: NDArray[np.float64] = nanoseconds[nanoseconds > 0] / 1e6
    return milliseconds


def bucket_text(at_least_ns: int) -> str:
    """Return a bucket of the histogram as text: ``1–2 µs``; its bounds are powers of two, rounded here."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if at_least_ns * 1.001 >= size:
            return f"{at_least_ns / size:.3g}–{2 * at_least_ns / size:.3g} {unit}"
    return f"{at_least_ns}–{2 * at_least_ns} ns"


def _queue_lines(where: Where, trial: TrialResult) -> list[QueueLine]:
    lines: dict[tuple[str, str], QueueLine] = {}
    flows = trial.job["flows"]
    start = min(flow["start_ns"] for flow in flows) / 1e9
    end = max(flow["start_ns"] + flow["duration_ns"] for flow in flows) / 1e9
    for flow in flows:
        queue = bottleneck_queue(trial, flow["name"])
        if queue is None or (queue.node, queue.interface) in lines:
            continue
        packets = occupancy(queue.seconds, queue.packets, start, end)
        delay = occupancy(queue.seconds, queue.delay_ms, start, end)
        if packets is None or delay is None:
            continue
        times = sojourn_ms(trial, queue.node, queue.interface)
        known: tuple[float | None, ...] = (None, None, None, None)
        if len(times):
            # A value that some packet had, not one between two.
            quantiles = np.quantile(times, SOJOURN_QUANTILES, method="inverted_cdf")
            known = (*map(float, quantiles), float(times.max()))
        lines[queue.node, queue.interface] = QueueLine(
            where,
            trial.id,
            queue.node,
            queue.interface,
            *(packets.mean, packets.p95, packets.most, delay.mean, delay.p95, delay.most),
            len(times),
            *known,
        )
    return list(lines.values())


def delay_tables(report: Report) -> Iterator[EventTable]:
    """Yield the tables of the bottleneck's queue and of the time along the stack, those that were recorded."""
    if queues := queue_lines(report):
        yield table(
            "queues",
            "Queue at the bottleneck",
            _queue_note(queues),
            axes_of_cells(report),
            queues,
            [
                text("Trial", "trial"),
                text("Interface", "interface"),
                decimal("Mean", "packets", "mean_packets", 1),
                decimal("p95", "packets", "p95_packets", 0),
                decimal("Max", "packets", "max_packets", 0),
                decimal("Mean", "ms", "mean_ms", 2),
                decimal("p95", "ms", "p95_ms", 2),
                *(_SOJOURN if _has_sojourn(queues) else ()),
            ],
        )
    if stack := stack_lines(report):
        yield table(
            "stack-latency",
            "Latency along the network stack",
            "In virtual time, including time spent waiting; counted in buckets, each twice as wide as the one before.",
            axes_of_cells(report),
            stack,
            [
                text("From", "source"),
                text("To", "target"),
                number("Packets", "", "packets"),
                Heading("Median", "bucket", number=True, cell=lambda line: line.median),
                Heading("p95", "bucket", number=True, cell=lambda line: line.p95),
            ],
        )


_SOJOURN = (
    decimal("Sojourn, median", "ms", "sojourn_p50_ms", 2),
    decimal("p95", "ms", "sojourn_p95_ms", 2),
    decimal("p99", "ms", "sojourn_p99_ms", 2),
    decimal("Max", "ms", "sojourn_max_ms", 2),
)


def _has_sojourn(lines: Sequence[QueueLine]) -> bool:
    return any(line.packets for line in lines)


def _queue_note(lines: Sequence[QueueLine]) -> str:
    note = (
        "The queue in front of each flow's bottleneck link while flows ran; each sample is weighted by how long it "
        "held. Milliseconds: the time that the link needs to send what is queued."
    )
    sojourn = " Sojourn: the time from when a packet enters the queue until it leaves."
    return note + (sojourn if _has_sojourn(lines) else "")
