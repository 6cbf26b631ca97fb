# SPDX-License-Identifier: Apache-2.0
"""The columns of the results table: what they show, in which unit, and which values are possible."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from lab.analysis.intervals import Bounds, Estimate
from lab.analysis.metrics import FlowMetrics, ProbeMetrics
from lab.evaluation.repetition import Measure, Repetition
from lab.report.model import Report, Row

Shown = Literal["yes", "together", "room", "no"]


@dataclass(frozen=True)
class Column:
    """One column of the results table."""

    key: str
    """Prefix of the columns in ``results.csv``."""
    title: str
    unit: str
    measure: Measure
    """Function that returns the value of one flow, in the unit of the column."""
    digits: int
    """Number of significant digits of the mean."""
    decimals: int = 2
    """Largest number of decimals: hundredths of a millisecond or a percent are the smallest unit shown."""
    bounds: Callable[[Sequence[FlowMetrics]], Bounds] = lambda _flows: (0.0, None)
    """Function that returns the smallest and the largest value that the mean over these flows can have."""
    shown: Shown = "yes"
    """When the page shows the column, if any row has a value: always; if a trial has several flows; if there is room;
    never, so that only ``results.csv`` has it."""

    def value(self, repetition: Repetition) -> float | None:
        """Return the value of one repetition, in the unit of the column; None if it has none."""
        return repetition.value(self.measure)

    def values(self, row: Row) -> list[float]:
        """Return the value of each repetition of a row that has one."""
        return row.values_of(self.value)

    def estimate(self, row: Row) -> Estimate | None:
        """Return the estimate of this column in a row; None if no repetition has a value."""
        return row.estimate_of(self.value, self.bounds([flow for item in row.used for flow in item.flows]))


@dataclass(frozen=True)
class ProbeColumn(Column):
    """A column with what a probe measured in the trials of a row, whichever flows the row is about."""

    probe: str = ""
    """Name of the probe."""
    read: Callable[[ProbeMetrics], float | None] = lambda _probe: None
    """Function that returns the value of the probe, in the unit of the column."""

    def value(self, repetition: Repetition) -> float | None:
        """Return what the probe measured in one repetition; None if it was not there."""
        return next((self.read(found) for found in repetition.evaluated.probes if found.name == self.probe), None)


def goodput_bounds(flows: Sequence[FlowMetrics]) -> Bounds:
    """Return between which rates the goodput of flows can be, in bit/s: 0, and the bottleneck's rate without headers.

    If it is not the same for all flows, the highest counts; without a rate limit, there is no largest one.
    """
    rates = [flow.bottleneck_bps * flow.ceiling if flow.bottleneck_bps is not None else None for flow in flows]
    known = [rate for rate in rates if rate is not None]
    return 0.0, max(known) if known and len(known) == len(rates) else None


def _up_to(largest: float) -> Callable[[Sequence[FlowMetrics]], Bounds]:
    return lambda _flows: (0.0, largest)


def goodput_bounds_in(scale: float) -> Callable[[Sequence[FlowMetrics]], Bounds]:
    """Return :func:`goodput_bounds` in another unit, which has *scale* bit/s."""

    def bounds(flows: Sequence[FlowMetrics]) -> Bounds:
        low, high = goodput_bounds(flows)
        return low, None if high is None else high / scale

    return bounds


def _share_bounds(flows: Sequence[FlowMetrics]) -> Bounds:
    return 0.0, max((100 * flow.ceiling for flow in flows), default=100.0)


def _mbps(value: float | None) -> float | None:
    return None if value is None else value / 1e6


def scaled(value: float | None, factor: float) -> float | None:
    """Return *value* times *factor*; None for None."""
    return None if value is None else value * factor


def _percent(read: Measure) -> Measure:
    return lambda row: scaled(read(row), 100)


def _ms(read: Measure) -> Measure:
    return lambda row: scaled(read(row), 1e-3)


_PERCENT = _up_to(100)


def _at_most_100(_flows: Sequence[FlowMetrics]) -> Bounds:
    return None, 100.0


COLUMNS = (
    Column("goodput_mbps", "Goodput", "Mbit/s", lambda r: _mbps(r.goodput_bps), 3, 6, goodput_bounds_in(1e6)),
    Column("share_of_link", "Share of link", "%", _percent(lambda r: r.share_of_link), 3, bounds=_share_bounds),
    Column("group_share", "Share of all flows", "%", _percent(lambda r: r.group_share), 3, bounds=_PERCENT),
    Column(
        "utilisation", "Link used by all", "%", _percent(lambda r: r.utilisation), 3, bounds=_PERCENT, shown="together"
    ),
    Column("goodput_cv", "Variation of goodput", "", lambda r: r.goodput_cv, 3, shown="no"),
    Column("retransmits", "Retransmissions", "segments", lambda r: r.retransmits, 3, 0),
    Column(
        "bottleneck_loss",
        "Lost at the bottleneck",
        "%",
        _percent(lambda r: r.bottleneck_loss_share),
        3,
        4,
        _PERCENT,
        "no",
    ),
    Column("srtt_mean_ms", "Mean smoothed RTT", "ms", _ms(lambda r: r.srtt_mean_us), 3),
    Column("srtt_median_ms", "p50 smoothed RTT", "ms", _ms(lambda r: r.srtt_median_us), 3, shown="no"),
    Column("srtt_p95_ms", "p95 smoothed RTT", "ms", _ms(lambda r: r.srtt_p95_us), 3, shown="room"),
    Column("srtt_p99_ms", "p99 smoothed RTT", "ms", _ms(lambda r: r.srtt_p99_us), 3, shown="no"),
    Column("queueing_mean_ms", "Mean queueing delay", "ms", _ms(lambda r: r.queueing_delay_mean_us), 3),
    Column("queueing_median_ms", "p50 queueing delay", "ms", _ms(lambda r: r.queueing_delay_median_us), 3, shown="no"),
    Column("queueing_p95_ms", "p95 queueing delay", "ms", _ms(lambda r: r.queueing_delay_p95_us), 3),
    Column("queueing_p99_ms", "p99 queueing delay", "ms", _ms(lambda r: r.queueing_delay_p99_us), 3, shown="no"),
    Column("power", "Power", "Mbit/s²", lambda r: scaled(r.power_bps_per_s, 1e-6), 3, shown="no"),
    Column("fct_median_ms", "p50 completion time", "ms", _ms(lambda r: r.fct_median_us), 3),
    Column("fct_p95_ms", "p95 completion time", "ms", _ms(lambda r: r.fct_p95_us), 3),
    Column("slowdown_mean", "Mean slowdown", "", lambda r: r.slowdown_mean, 3, shown="no"),
    Column("slowdown_p95", "p95 slowdown", "", lambda r: r.slowdown_p95, 3, shown="room"),
    Column("datagrams_lost", "Datagrams lost", "%", _percent(lambda r: r.datagrams_lost_share), 3, bounds=_PERCENT),
    Column("jitter_mean_us", "Mean jitter", "µs", lambda r: r.jitter_mean_us, 3, 1, shown="room"),
    Column(
        "reordered", "Datagrams reordered", "%", _percent(lambda r: r.reordered_share), 3, bounds=_PERCENT, shown="room"
    ),
    Column("jain_index", "Jain's fairness index", "", lambda r: r.jain_index, 3, bounds=_up_to(1)),
    Column(
        "jain_over_time",
        "Jain's index over time",
        "",
        lambda r: r.jain_index_over_time,
        3,
        bounds=_up_to(1),
        shown="no",
    ),
    Column(
        "harm_goodput", "Harm to goodput", "%", _percent(lambda r: r.harm_goodput), 3, bounds=_at_most_100, shown="room"
    ),
    Column("harm_rtt", "Harm to RTT", "%", _percent(lambda r: r.harm_rtt), 3, bounds=_at_most_100, shown="no"),
    Column("convergence_s", "Fair share after", "s", lambda r: r.convergence_s, 3, shown="room"),
    Column("rate_rise_recovery_s", "New rate used after", "s", lambda r: r.rate_rise_recovery_s, 3, shown="room"),
    Column("slow_start_s", "Slow start", "s", lambda r: r.slow_start_s, 3, 3, shown="no"),
    Column("slow_start_overshoot", "Overshoot of slow start", "", lambda r: r.slow_start_overshoot, 3, shown="no"),
    Column("window_reductions", "Window reductions", "", lambda r: r.window_reductions, 3, 1, shown="no"),
    Column("recoveries", "Recoveries", "", lambda r: r.recoveries, 3, 1, shown="no"),
    Column("recovery_mean_s", "Mean recovery", "s", lambda r: r.recovery_mean_s, 3, 3, shown="no"),
    Column(
        "cwnd_limited",
        "Limited by congestion control",
        "%",
        _percent(lambda r: r.cwnd_limited_share),
        3,
        bounds=_PERCENT,
        shown="no",
    ),
)
"""The columns of ``results.csv``, in their order; the page and the summary show those that :func:`result_columns`
chooses."""


def probe_columns(report: Report) -> list[Column]:
    """Return the columns for the latency of each probe."""
    names = dict.fromkeys(probe.name for result in report.done for probe in result.probes)
    return [column for name in names for column in columns_of_probe(name)]


def columns_of_probe(name: str) -> Iterator[ProbeColumn]:
    """Yield the columns for the latency of the probe *name*."""

    def column(
        key: str, title: str, unit: str, read: Callable[[ProbeMetrics], float | None], shown: Shown
    ) -> ProbeColumn:
        return ProbeColumn(
            f"{name}_{key}", f"{title} of {name}", unit, lambda _row: None, 3, shown=shown, probe=name, read=read
        )

    yield column("latency_mean_ms", "Mean latency", "ms", lambda probe: scaled(probe.latency_mean_us, 1e-3), "no")
    yield column("latency_median_ms", "p50 latency", "ms", lambda probe: scaled(probe.latency_median_us, 1e-3), "room")
    yield column("latency_p95_ms", "p95 latency", "ms", lambda probe: scaled(probe.latency_p95_us, 1e-3), "yes")
    yield column("latency_p99_ms", "p99 latency", "ms", lambda probe: scaled(probe.latency_p99_us, 1e-3), "no")
    yield column("unanswered", "Unanswered requests", "%", lambda probe: scaled(probe.unanswered_share, 100), "no")
