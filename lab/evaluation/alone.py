# SPDX-License-Identifier: Apache-2.0
"""Find, for each flow of a trial, the trial in which the same flow is alone, and what the others harm it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from lab.analysis.metrics import FlowMetrics
from lab.analysis.metrics.harm import less_is_better, more_is_better
from lab.job.protocol import Job
from lab.store.digest import canonical_json

_OF_OTHERS = ("flows", "probes", "duration_ns", "collectors", "calibration", "socket_buffer_bytes")
"""The fields of a job that other flows change, or that change nothing for its flows."""
_OF_NAME = ("name", "group", "port", "start_ns", "measured")
"""The fields of a flow that depend on its name or its place in the file; start jitter is drawn from the name, too."""


@dataclass(frozen=True)
class Together:
    """The flows of one trial."""

    job: Job
    metrics: tuple[FlowMetrics, ...]
    is_valid: bool


def with_harm(trials: Sequence[Together]) -> list[tuple[FlowMetrics, ...]]:
    """Return the metrics of each trial with the harm to each flow that another trial shows alone.

    The trial with the flow alone has the same seed and the same network, in all its details; it must be valid.
    """
    alone: dict[str, FlowMetrics] = {}
    if len({len(trial.metrics) > 1 for trial in trials if trial.metrics}) == 2:
        for trial in trials:
            if len(trial.metrics) == 1 and trial.is_valid:
                alone.setdefault(next(_keys(trial.job)), trial.metrics[0])
    return [_with_harm(trial, alone) if alone and len(trial.metrics) > 1 else trial.metrics for trial in trials]


def _with_harm(trial: Together, alone: dict[str, FlowMetrics]) -> tuple[FlowMetrics, ...]:
    return tuple(_compared(flow, alone.get(key)) for flow, key in zip(trial.metrics, _keys(trial.job), strict=True))


def _compared(flow: FlowMetrics, alone: FlowMetrics | None) -> FlowMetrics:
    if alone is None:
        return flow
    return replace(
        flow,
        harm_goodput=more_is_better(alone.goodput_bps, flow.goodput_bps),
        harm_rtt=less_is_better(alone.srtt_mean_us, flow.srtt_mean_us),
    )


def _keys(job: Job) -> Iterator[str]:
    """Yield for each flow a digest that equal flows on equal networks have in common."""
    network = hashlib.sha256(
        canonical_json({name: value for name, value in job.items() if name not in _OF_OTHERS}).encode("ascii")
    ).hexdigest()
    for flow in job["flows"]:
        yield network + canonical_json({name: value for name, value in flow.items() if name not in _OF_NAME})
