# SPDX-License-Identifier: Apache-2.0
"""Round-trip times over time, and how long packets waited in queues."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab.analysis.ack_samples import AckSamples, holding_times, merged_times, weighted_mean, weighted_quantiles
from lab.analysis.backlog import queueing_delay
from lab.analysis.measured import MeasuredFlow, MeasuredTrial


@dataclass(frozen=True)
class Delays:
    """Round-trip times and queueing delays of a flow."""

    base_rtt_us: float | None
    """Base RTT, the lowest round-trip time that the path can have, in microseconds.

    It follows the schedules of the links (:func:`lab.analysis.base_rtt.base_rtt_us`); this is its mean over the
    measured window.
    """
    min_rtt_us: float | None
    """Smallest round-trip time that the sender's kernel measured in the whole flow (tcp_info), in microseconds."""
    srtt_mean_us: float | None
    """Mean smoothed RTT over time, in microseconds."""
    srtt_median_us: float | None
    """Median of the smoothed RTT over time, in microseconds."""
    srtt_p95_us: float | None
    """p95 of the smoothed RTT over time, in microseconds."""
    srtt_p99_us: float | None
    """p99 of the smoothed RTT over time, in microseconds."""
    srtt_max_us: float | None
    """Largest smoothed RTT, in microseconds."""
    queueing_delay_mean_us: float | None
    """Mean time that packets waited in the queues on the path of the flow's data, in microseconds.

    It is that of all packets in these queues, whichever flow they belong to, while the flow ran: Little's law, applied
    to the length of each queue.  None if no queue is on the path.
    """
    queueing_delay_median_us: float | None
    """Median of the time that packets waited in these queues, in microseconds, from their lengths in bins of 10 ms."""
    queueing_delay_p95_us: float | None
    """p95 of the time that packets waited in these queues, in microseconds, as the median."""
    queueing_delay_p99_us: float | None
    """p99 of the time that packets waited in these queues, in microseconds, as the median."""
    srtt_inflation_mean_us: float | None
    """Mean over time of the smoothed RTT minus the base RTT at the same time, in microseconds."""
    srtt_inflation_p95_us: float | None
    """p95 over time of the smoothed RTT minus the base RTT at the same time, in microseconds."""


def delays(trial: MeasuredTrial, flow: MeasuredFlow, samples: AckSamples | None) -> Delays:
    """Return the delays within the flow's measured window."""
    srtt, inflation = _srtt(samples), _inflation(flow, samples)
    waits = queueing_delay(trial.queues_of(flow), flow.window["start_ns"], flow.window["end_ns"])
    return Delays(
        base_rtt_us=flow.base_rtt_us,
        min_rtt_us=flow.result["tcp_info"].get("min_rtt"),
        srtt_mean_us=srtt.mean,
        srtt_median_us=srtt.median,
        srtt_p95_us=srtt.p95,
        srtt_p99_us=srtt.p99,
        srtt_max_us=srtt.maximum,
        queueing_delay_mean_us=_us(waits.mean),
        queueing_delay_median_us=_us(waits.p50),
        queueing_delay_p95_us=_us(waits.p95),
        queueing_delay_p99_us=_us(waits.p99),
        srtt_inflation_mean_us=inflation.mean,
        srtt_inflation_p95_us=inflation.p95,
    )


@dataclass(frozen=True)
class _Times:
    """Statistics of a round-trip time over time."""

    mean: float | None = None
    median: float | None = None
    p95: float | None = None
    p99: float | None = None
    maximum: float | None = None


def _srtt(samples: AckSamples | None) -> _Times:
    if samples is None:
        return _Times()
    measured = samples.srtt_us > 0
    return _statistics(samples.srtt_us[measured], holding_times(samples)[measured])


def _inflation(flow: MeasuredFlow, samples: AckSamples | None) -> _Times:
    """Return the statistics of the smoothed RTT minus the base RTT, which may change while a value is in force."""
    base = flow.base_rtt_over_time
    if samples is None or base is None or not len(samples):
        return _Times()
    changes = np.array([at_ns for at_ns, _value in base.changes], dtype=np.int64)
    changes = changes[(changes > samples.time_ns[0]) & (changes < samples.time_ns[-1])]
    # The value of a row was in force since the row before.
    until_ns = merged_times(samples.time_ns, changes)
    srtt_us = samples.srtt_us[np.searchsorted(samples.time_ns, until_ns)]
    base_us = np.array([base.at(int(since_ns)) for since_ns in [until_ns[0], *changes]])
    place = np.searchsorted(changes, until_ns, side="left")
    measured = srtt_us > 0
    return _statistics((srtt_us - base_us[place])[measured], np.diff(until_ns, prepend=until_ns[:1])[measured])


def _statistics(values: NDArray[Any], weights: NDArray[Any]) -> _Times:
    median, p95, p99 = weighted_quantiles(values, weights, (0.5, 0.95, 0.99))
    return _Times(weighted_mean(values, weights), median, p95, p99, float(values.max()) if len(values) else None)


def _us(ns: float | None) -> float | None:
    return ns / 1000 if ns is not None else None
