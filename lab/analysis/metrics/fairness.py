# SPDX-License-Identifier: Apache-2.0
"""How flows with the same bottleneck share it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lab.analysis.measured import MeasuredFlow, MeasuredTrial
from lab.analysis.statistics import jain_index


@dataclass(frozen=True)
class Fairness:
    """How a flow and the others with the same bottleneck share it."""

    jain_index: float | None
    """Jain's fairness index of the goodput of all TCP flows with the same bottleneck, in the same direction.

    If the bottleneck moves, the one that a flow has for most of its duration counts.  Short flows are excluded.  None
    if there is only one such flow.
    """


def fairness(trial: MeasuredTrial) -> dict[str, Fairness]:
    """Return name of a flow → how it and the others with the same bottleneck share it."""
    indices = _jain_indices(trial.bulk_flows)
    return {flow.name: Fairness(jain_index=indices.get(flow.name)) for flow in trial.flows}


def _jain_indices(flows: Sequence[MeasuredFlow]) -> dict[str, float | None]:
    """Return name of a flow → Jain's index over it and the other *flows* with the same bottleneck, if there are any."""
    sharing: dict[tuple[str, str] | None, list[MeasuredFlow]] = {}
    for flow in (flow for flow in flows if flow.is_measured):
        hop = flow.bottleneck
        sharing.setdefault((hop.link, hop.direction_name) if hop else None, []).append(flow)
    return {
        flow.name: jain_index([other.received("measured").bps for other in together])
        for together in sharing.values()
        if len(together) > 1
        for flow in together
    }
