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

from lab.analysis.events import bucket_quantile, occupancy
from lab.evaluation.collected import bottleneck_queues, recorded
from lab.report.cells import Where, cells_with
from lab.report.model import Report
from lab.report.tables.table import EventTable, Heading, axes_of_cells, decimal, number, table, text
from lab.store.trial import TrialResult

SOJOURN_QUANTILES = (0.5, 0.95, 0.99)
"""The quantiles of sojourn times in the table."""


@dataclass(frozen=True)
class QueueLine:
    """A bottleneck queue in one trial: how full it was while flows ran, and how long packets were in it.

    ``*_packets`` is the length of the queue.  ``mean_ms``, ``p95_ms`` and ``max_ms`` are the time that the link needs
    to send the queued bytes.  All are statistics over time.  ``sojourn_*`` are statistics over packets, of the time
    that each packet spent in the queue; they are None if that was not recorded.
    """

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
    packets: int
    """Number of packets whose sojourn time is known; 0 if it was not recorded."""
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
    """Return the bottleneck queues of all trials that recorded queues."""
    found = []
    for where, trials in cells_with(report, ["queue"]).items():
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
    """Return the time that each packet spent in an interface's queue, in milliseconds; empty if it was not recorded."""
    if not recorded(trial, "queue"):
        return np.zeros(0)
    table = trial.collected("queue", ["node", "interface", "kind", "sojourn_ns"])
    at_interface = pc.and_(pc.equal(table.column("node"), node), pc.equal(table.column("interface"), interface))
    left = pc.and_(at_interface, pc.equal(table.column("kind"), "dequeue"))
    nanoseconds = table.filter(left).column("sojourn_ns").to_numpy()
    milliseconds: NDArray[np.float64] = nanoseconds[nanoseconds > 0] / 1e6
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
    lines: dict[tuple[str, str], QueueLine] = {}
    flows = trial.job["flows"]
    start = min(flow["start_ns"] for flow in flows) / 1e9
    end = max(flow["start_ns"] + flow["duration_ns"] for flow in flows) / 1e9
    queues = {
        (queue.node, queue.interface): queue for flow in flows for queue in bottleneck_queues(trial, flow["name"])
    }
    for place, queue in queues.items():
        packets = occupancy(queue.seconds, queue.packets, start, end)
        delay = occupancy(queue.seconds, queue.delay_ms, start, end)
        if packets is None or delay is None:
            continue
        times = sojourn_ms(trial, queue.node, queue.interface)
        known: tuple[float | None, ...] = (None, None, None, None)
        if len(times):
            # With this method, each quantile is the time of an actual packet and is not interpolated.
            quantiles = np.quantile(times, SOJOURN_QUANTILES, method="inverted_cdf")
            known = (*map(float, quantiles), float(times.max()))
        lines[place] = QueueLine(
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
    """Yield the tables of bottleneck queues and of latency in the network stack, as far as these were recorded."""
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


def _queue_note(lines: Sequence[QueueLine]) -> str:
    note = (
        "The queue in front of each flow's bottleneck link while flows ran. Each sample is weighted by how long it "
        "held. Milliseconds: the time that the link needs to send the queued bytes."
    )
    sojourn = " Sojourn time: from the moment a packet enters the queue until it leaves, over packets."
    return note + (sojourn if _has_sojourn(lines) else "")
