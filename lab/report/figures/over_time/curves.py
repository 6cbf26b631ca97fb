# SPDX-License-Identifier: Apache-2.0
"""The quantities that figures show over time, and their curves."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from lab.analysis.series import decimate
from lab.evaluation.collected import bottleneck_places, recorded
from lab.evaluation.on_the_way import queues_of
from lab.evaluation.repetition import Repetition
from lab.evaluation.traces import traced
from lab.evaluation.trial import CURVE_BINS, TCP_PROBE, Curve
from lab.report.figures.over_time.marks import HELD
from lab.store.trial import TrialResult

Kind = Literal["cwnd", "srtt", "goodput", "queue", "pacing_rate", "in_flight"]
"""The quantity that a figure over time shows."""


@dataclass(frozen=True)
class Quantity:
    """How a figure shows a quantity over time."""

    kind: Kind
    text: str
    unit: str
    """The unit; empty for rates, which have that of the report."""
    held: dict[str, Any]
    """How to draw the curve: with steps if each value was in force for some time."""
    is_rate: bool = False

    def label(self, rate_unit: str) -> str:
        """Return the label of the axis."""
        return f"{self.text} ({rate_unit if self.is_rate else self.unit})"


QUANTITIES: dict[Kind, Quantity] = {
    "cwnd": Quantity("cwnd", "Congestion window", "segments", HELD),
    "srtt": Quantity("srtt", "Smoothed RTT", "ms", {}),
    "goodput": Quantity("goodput", "Goodput", "", {"drawstyle": "steps-post"}, is_rate=True),
    "queue": Quantity("queue", "Bottleneck queue", "packets", {"drawstyle": "steps-post"}),
    "pacing_rate": Quantity("pacing_rate", "Pacing rate", "", HELD, is_rate=True),
    "in_flight": Quantity("in_flight", "In flight", "segments", HELD),
}


def curves_of(repetition: Repetition, kind: Kind) -> list[Curve]:
    """Return the curve of each traced flow of a repetition, rates in bit/s.

    The queue is that of the first flow's bottleneck, with the packets of all flows.  Flows without a curve are left
    out.
    """
    trial = repetition.evaluated.trial
    if kind == "queue":
        names = [flow.flow for flow in repetition.flows][:1]
        found = [curve for name in names if (curve := queue_curve(trial, name)) is not None]
        return [decimate(*curve, CURVE_BINS) for curve in found]
    names = [flow.flow for flow in repetition.flows if flow.flow in repetition.evaluated.curves]
    if kind in ("cwnd", "srtt", "goodput"):
        return [getattr(repetition.evaluated.curves[name], kind) for name in names]
    return [decimate(*traced(trial, name, kind), CURVE_BINS) for name in names]


@lru_cache(maxsize=64)
def queue_curve(trial: TrialResult, flow: str) -> Curve | None:
    """Return the mean number of packets in the queue of the flow's bottleneck, in the bins of the kernel's counts.

    Each value holds until the next.  The result is None if the path has no rate limit.
    """
    asked = next((item for item in trial.job["flows"] if item["name"] == flow), None)
    places = bottleneck_places(trial, asked) if asked is not None else []
    backlog = queues_of(trial).get(places[0]) if places else None
    if backlog is None or not len(backlog.start_ns):
        return None
    start, length = backlog.start_ns, np.maximum(backlog.length_ns, 1)
    packets = backlog.packet_ns / length
    # Between rows the queue is empty.
    times = np.stack([start, start + length], axis=1).reshape(-1)
    values = np.stack([packets, np.zeros(len(packets))], axis=1).reshape(-1)
    kept = np.append(times[1:] > times[:-1], True)
    return times[kept] / 1e9, values[kept]


def has_trace(trial: TrialResult) -> bool:
    """Return whether the trial recorded a row for each ACK."""
    return recorded(trial, TCP_PROBE)
