# SPDX-License-Identifier: Apache-2.0
"""The metrics that figures show: their names in experiment files, labels, units, and the range that they can have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lab.analysis.intervals import Estimate
from lab.analysis.metrics import FlowMetrics
from lab.evaluation.repetition import Measure
from lab.report.model import Report, Row
from lab.report.tables.columns import goodput_bounds_in


@dataclass(frozen=True)
class Metric:
    """A metric as a figure shows it."""

    name: str
    """Its name in experiment files and on the command line."""
    text: str
    """What it is, as the start of a sentence, such as ``Mean queueing delay``."""
    unit: str
    """The unit in the figure; empty for a number without unit."""
    read: Measure
    """Function that returns the value for a flow, in this unit; None if the flow has none."""
    is_delay: bool = False
    """Whether the axis is logarithmic if the values span decades."""
    most: float | None = None
    """The largest value that the metric can have; None if there is no such value."""

    @property
    def label(self) -> str:
        """The label of an axis."""
        return f"{self.text} ({self.unit})" if self.unit else self.text


def _scaled(take: Callable[[FlowMetrics], float | None], scale: float) -> Measure:
    def read(row: FlowMetrics) -> float | None:
        value = take(row)
        return None if value is None else value / scale

    return read


def _delay(name: str, text: str, take: Measure) -> Metric:
    """Return a time that is stored in microseconds and shown in milliseconds."""
    return Metric(name, text, "ms", _scaled(take, 1e3), is_delay=True)


def _share(name: str, text: str, take: Measure) -> Metric:
    """Return a share that is shown in percent."""
    return Metric(name, text, "%", _scaled(take, 0.01), most=100)


_FIXED = (
    _share("utilisation", "Goodput as a share of the link's rate", lambda row: row.share_of_link),
    _delay("queueing_delay", "Mean queueing delay", lambda row: row.queueing_delay_mean_us),
    _delay("queueing_delay_p95", "p95 of queueing delay", lambda row: row.queueing_delay_p95_us),
    _delay("srtt", "Mean smoothed RTT", lambda row: row.srtt_mean_us),
    _delay("srtt_p95", "p95 of the smoothed RTT", lambda row: row.srtt_p95_us),
    _share("retransmitted", "Retransmitted segments", lambda row: row.retransmitted_share),
    Metric("retransmits", "Retransmitted segments", "", lambda row: row.retransmits),
    Metric("dropped", "Dropped packets", "", lambda row: row.dropped_packets),
    Metric("marked", "Packets with an ECN mark", "", lambda row: row.marked_packets),
    Metric("reductions", "Window reductions", "", lambda row: row.window_reductions),
    Metric("cwnd", "Mean congestion window", "segments", lambda row: row.cwnd_mean_segments),
    Metric("jain", "Jain's index of goodput", "", lambda row: row.jain_index, most=1),
    _delay("fct", "Median completion time", lambda row: row.fct_median_us),
    _delay("fct_p95", "p95 of completion times", lambda row: row.fct_p95_us),
    _share("datagrams_lost", "Lost datagrams", lambda row: row.datagrams_lost_share),
    _delay("jitter", "Mean jitter", lambda row: row.jitter_mean_us),
)


def metric(report: Report, name: str) -> Metric:
    """Return the metric *name*; rates are in the unit of the report's rates.

    Raises:
        KeyError: There is no such metric.
    """
    if name == "goodput":
        return goodput(report)
    return {one.name: one for one in _FIXED}[name]


def metric_names() -> list[str]:
    """Return the names of all metrics."""
    return ["goodput", *(one.name for one in _FIXED)]


def goodput(report: Report) -> Metric:
    """Return goodput, in the unit of the report's rates."""
    unit, scale = report.rate_unit
    return Metric("goodput", "Goodput", unit, _scaled(lambda row: row.goodput_bps, scale))


def top(report: Report, metric_: Metric, row: Row) -> float | None:
    """Return the largest value that a metric can have in a row; None if nothing limits it.

    The largest goodput is what the bottleneck can carry while the flow is measured.
    """
    if metric_.name not in ("goodput", "utilisation"):
        return metric_.most
    _unit, scale = report.rate_unit
    flows = [flow for item in row.used for flow in item.flows]
    if metric_.name == "utilisation":
        return max((flow.ceiling * 100 for flow in flows), default=None)
    return goodput_bounds_in(scale)(flows)[1]


def estimated(report: Report, metric_: Metric, row: Row) -> Estimate | None:
    """Return the mean of a metric in a row with the interval that the tables have; None if it has no value."""
    return row.estimate(metric_.read, (0.0, top(report, metric_, row)))


def error_bar(estimate: Estimate) -> tuple[float, float]:
    """Return the lengths of an error bar below and above the mean: those of its 95 % interval.

    Two repetitions have no bar: their t quantile is 12.7, so that it would say nothing.
    """
    if estimate.of_mean is None or estimate.n <= 2:
        return 0.0, 0.0
    return max(0.0, estimate.mean - estimate.of_mean.low), max(0.0, estimate.of_mean.high - estimate.mean)


def values_of(rows: Sequence[Row], metric_: Metric) -> list[float]:
    """Return the values of a metric in all repetitions of *rows*."""
    return [value for row in rows for value in row.values(metric_.read)]
