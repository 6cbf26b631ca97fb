# SPDX-License-Identifier: Apache-2.0
"""How flows with the same bottleneck share it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lab.analysis.ack_samples import Floats, Integers
from lab.analysis.measured import MeasuredFlow, MeasuredTrial
from lab.analysis.over_windows import WINDOW_NS, in_a_row, rates_in, window_starts
from lab.analysis.statistics import jain_index


@dataclass(frozen=True)
class Fairness:
    """How a flow and the others with the same bottleneck share it."""

    jain_index: float | None
    """Jain's fairness index of the goodput of all TCP flows with the same bottleneck, in the same direction.

    If the bottleneck moves, the one that a flow has for most of its duration counts.  Short flows are excluded.  None
    if there is only one such flow.
    """
    jain_index_over_time: float | None
    """Mean of Jain's fairness index of these flows over windows of 1 s.

    In each window, the flows count whose measured windows contain it.  Windows with fewer than two of them, or without
    any arrivals, are left out.  It is lower than ``jain_index`` if the flows take turns.
    """
    group_share: float | None
    """Share of the flow's group in the goodput of all flows with the same bottleneck, in the same direction.

    UDP and short flows count as well; the goodput of each flow is that of its own measured window.  None if there is
    only one group.
    """
    convergence_s: float | None
    """Time until the flow has its fair share, in seconds, from when it shares its bottleneck (RFC 5166, section 2.3).

    That is from its start, or from the first window of 1 s in which another flow is there as well.

    It has its fair share from the first of three windows of 1 s in a row in which its goodput differs from the mean of
    all TCP flows with the same bottleneck by at most 20 %.  None if that does not happen, if the flow is alone, and if
    its start is not measured.
    """


NEAR = 0.2
"""The largest relative difference from the fair share with which a flow has converged: δ of RFC 5166."""
STAYS = 3
"""Number of windows in a row for which it must have its fair share."""


def fairness(trial: MeasuredTrial) -> dict[str, Fairness]:
    """Return name of a flow → how it and the others with the same bottleneck share it."""
    return {flow.name: _fairness(trial, flow) for flow in trial.flows}


def _fairness(trial: MeasuredTrial, flow: MeasuredFlow) -> Fairness:
    together = trial.sharing(flow, trial.bulk_flows) if flow.is_bulk and flow.is_measured else []
    return Fairness(
        jain_index=_jain_index(together),
        jain_index_over_time=_jain_over_time(trial, together),
        group_share=_group_share(trial, flow),
        convergence_s=_convergence_s(trial, flow, together),
    )


def _jain_index(together: Sequence[MeasuredFlow]) -> float | None:
    return jain_index([flow.received("measured").bps for flow in together]) if len(together) > 1 else None


def _jain_over_time(trial: MeasuredTrial, together: Sequence[MeasuredFlow]) -> float | None:
    if len(together) < 2:
        return None
    start_ns = min(flow.window["start_ns"] for flow in together)
    starts = window_starts(start_ns, max(flow.window["end_ns"] for flow in together))
    found = [jain_index(list(rates)) for rates in _rates_of_active(trial, together, starts) if len(rates) > 1]
    known = [index for index in found if index is not None]
    return math.fsum(known) / len(known) if known else None


def _convergence_s(trial: MeasuredTrial, flow: MeasuredFlow, together: Sequence[MeasuredFlow]) -> float | None:
    if len(together) < 2 or flow.window["start_ns"] > flow.start_ns:
        return None
    starts = window_starts(flow.window["start_ns"], flow.window["end_ns"])
    own, active = rates_in(trial.arrivals[flow.name], starts), _rates_of_active(trial, together, starts)
    fair = [
        len(rates) > 1 and abs(mine - rates.mean()) <= NEAR * rates.mean()
        for mine, rates in zip(own, active, strict=True)
    ]
    shared = next((place for place, rates in enumerate(active) if len(rates) > 1), 0)
    place = in_a_row(fair, STAYS)
    return None if place is None else (place - shared) * WINDOW_NS / 1e9


def _rates_of_active(trial: MeasuredTrial, flows: Sequence[MeasuredFlow], starts: Integers) -> list[Floats]:
    """Return for each window the rates of those flows whose measured windows contain it."""
    rates = np.array([rates_in(trial.arrivals[flow.name], starts) for flow in flows])
    active = np.array(
        [(starts >= flow.window["start_ns"]) & (starts + WINDOW_NS <= flow.window["end_ns"]) for flow in flows]
    )
    return [rates[active[:, place], place] for place in range(len(starts))]


def _group_share(trial: MeasuredTrial, flow: MeasuredFlow) -> float | None:
    if not flow.is_measured:
        return None
    together = trial.sharing(flow, trial.flows)
    rates = [(other.asked["group"], other.received("measured").bps) for other in together]
    total = math.fsum(rate for _group, rate in rates)
    if len({group for group, _rate in rates}) < 2 or not total:
        return None
    return math.fsum(rate for group, rate in rates if group == flow.asked["group"]) / total
