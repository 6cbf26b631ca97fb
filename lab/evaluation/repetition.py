# SPDX-License-Identifier: Apache-2.0
"""The flows of one trial that are averaged before trials are compared."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from lab.analysis.metrics import FlowMetrics
from lab.evaluation.trial import EvaluatedTrial, FlowCurves

Measure = Callable[[FlowMetrics], float | None]
"""Function that takes one number from a flow's metrics; None if the flow does not have it."""


@dataclass(frozen=True)
class Repetition:
    """What one trial contributes to a row of the results: its flows of one group and one algorithm."""

    evaluated: EvaluatedTrial
    flows: tuple[FlowMetrics, ...]

    def value(self, measure: Measure) -> float | None:
        """Return the mean of *measure* over the flows; None if no flow has a value.

        Repetitions are trials, not flows, so all these flows together give one value.
        """
        found = [value for value in map(measure, self.flows) if value is not None]
        return math.fsum(found) / len(found) if found else None

    def curves(self) -> list[FlowCurves]:
        """Return the curves of those flows that were traced."""
        return [self.evaluated.curves[flow.flow] for flow in self.flows if flow.flow in self.evaluated.curves]


def repetitions_of(evaluated: EvaluatedTrial, flows: Sequence[FlowMetrics]) -> Iterator[tuple[str, str, Repetition]]:
    """Yield the group, the algorithm and the flows of each group and algorithm among *flows*, in their order."""
    for group, algorithm in dict.fromkeys((flow.group, flow.congestion_control) for flow in flows):
        own = (flow for flow in flows if (flow.group, flow.congestion_control) == (group, algorithm))
        yield group, algorithm, Repetition(evaluated, tuple(own))
