# SPDX-License-Identifier: Apache-2.0
"""The metrics of one trial: one :class:`FlowMetrics` per flow.

Each module of this package computes one family of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lab.analysis.measured import MeasuredFlow, MeasuredTrial
from lab.analysis.metrics.datagrams import Datagrams, datagrams
from lab.analysis.metrics.delays import Delays, delays
from lab.analysis.metrics.dynamics import Dynamics, dynamics
from lab.analysis.metrics.fairness import Fairness, fairness
from lab.analysis.metrics.harm import NO_HARM_KNOWN, Harm
from lab.analysis.metrics.identity import Declared, Identity, declared, identity
from lab.analysis.metrics.losses import Losses, losses, uses_ssthresh
from lab.analysis.metrics.machine import Machine, machine
from lab.analysis.metrics.probe import ProbeMetrics, probe_metrics
from lab.analysis.metrics.rates import Rates, rates
from lab.analysis.metrics.sender import Sender, sender
from lab.analysis.metrics.short_flows import ShortFlows, short_flows

__all__ = ["FlowMetrics", "ProbeMetrics", "probe_metrics", "trial_metrics", "uses_ssthresh"]


# Dataclasses take the fields of their last base first.
@dataclass(frozen=True)
class FlowMetrics(
    Machine, Datagrams, ShortFlows, Harm, Fairness, Dynamics, Sender, Delays, Losses, Declared, Rates, Identity
):
    """The metrics of one flow.  None means that a value was not measured, or is meaningless for this flow.

    The values are those of the flow's measured window, which is its whole declared time, slow start included, unless
    the experiment says otherwise.  Those that the kernel counts over the whole connection only (``min_rtt_us``,
    ``busy_s``, ``rwnd_limited_share`` and ``sndbuf_limited_share``) say so.  Means and quantiles of srtt and cwnd are
    taken over *time*, not over ACKs: each sample is weighted by how long it was in force.
    """


def trial_metrics(trial: MeasuredTrial) -> list[FlowMetrics]:
    """Return the metrics of every flow, in the job's order."""
    shares = fairness(trial)
    return [_flow_metrics(trial, flow, shares[flow.name]) for flow in trial.flows]


def _flow_metrics(trial: MeasuredTrial, flow: MeasuredFlow, shared: Fairness) -> FlowMetrics:
    samples = flow.measured_samples if flow.is_measured else None
    families = (
        identity(flow),
        rates(trial, flow, samples),
        declared(trial, flow),
        losses(trial, flow),
        delays(trial, flow, samples),
        sender(flow, samples),
        dynamics(trial, flow),
        shared,
        # Another trial is needed for that: see lab.evaluation.alone.
        NO_HARM_KNOWN,
        short_flows(trial, flow),
        datagrams(flow),
        machine(trial),
    )
    fields: dict[str, Any] = {}
    for family in families:
        fields |= vars(family)
    return FlowMetrics(**fields)
