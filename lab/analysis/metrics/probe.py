# SPDX-License-Identifier: Apache-2.0
"""The latency that probes measure: what other traffic experiences while flows use the link."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lab.analysis.measured import MeasuredProbe, MeasuredTrial
from lab.job.windows import is_measured


@dataclass(frozen=True)
class Latency:
    """Round-trip times of a probe's requests."""

    requests: int | None
    """Number of requests that were sent within the measured window."""
    unanswered_share: float | None
    """Share of these without an answer.  A lost request of the kind ``tcp`` is sent again and only takes longer."""
    latency_min_us: float | None
    """Shortest round-trip time of a request, in microseconds."""
    latency_mean_us: float | None
    """Mean round-trip time, in microseconds; requests without an answer are left out."""
    latency_median_us: float | None
    """Median round-trip time, in microseconds; requests without an answer are left out."""
    latency_p95_us: float | None
    """p95 of the round-trip times, in microseconds; requests without an answer are left out."""
    latency_p99_us: float | None
    """p99 of the round-trip times, in microseconds; requests without an answer are left out."""
    latency_max_us: float | None
    """Longest round-trip time, in microseconds."""


@dataclass(frozen=True)
class ProbeMetrics(Latency):
    """What one probe measured, and which probe it is."""

    name: str
    source: str
    destination: str
    start_s: float
    """Start of the probe, in seconds since the start of traffic."""
    duration_s: float
    measured_from_s: float | None
    """Start of its measured window, in seconds since the start of traffic; None if no part of it is measured."""
    measured_to_s: float | None


def probe_metrics(trial: MeasuredTrial) -> list[ProbeMetrics]:
    """Return what each probe measured, in the order of the job."""
    return [_metrics(probe) for probe in trial.probes]


def _metrics(probe: MeasuredProbe) -> ProbeMetrics:
    asked = probe.asked
    window = asked["measured"] if is_measured(asked) else None
    return ProbeMetrics(
        name=asked["name"],
        source=asked["source"],
        destination=asked["destination"],
        start_s=asked["start_ns"] / 1e9,
        duration_s=asked["duration_ns"] / 1e9,
        measured_from_s=window["start_ns"] / 1e9 if window else None,
        measured_to_s=window["end_ns"] / 1e9 if window else None,
        **vars(latency(probe)),
    )


def latency(probe: MeasuredProbe) -> Latency:
    """Return the round-trip times of a probe's requests.  Each quantile is one of them; nothing is interpolated."""
    answered = probe.rtt_ns[probe.rtt_ns > 0] / 1000
    sent = len(probe.rtt_ns)
    lost = 1 - len(answered) / sent if sent else None
    if not len(answered):
        return Latency(sent, lost, *(None,) * 6)
    p50, p95, p99 = (float(value) for value in np.quantile(answered, (0.5, 0.95, 0.99), method="inverted_cdf"))
    return Latency(sent, lost, float(answered.min()), float(answered.mean()), p50, p95, p99, float(answered.max()))
