# SPDX-License-Identifier: Apache-2.0
"""The flows of one trial that are compared as one: what repeats is the trial, not the flow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lab.analysis.metrics import FlowMetrics
from lab.evaluation.trial import EvaluatedTrial, FlowCurves

Measure = Callable[[FlowMetrics], float | None]


@dataclass(frozen=True)
class Repetition:
    """One trial's part of a row: the flows of one group and algorithm."""

    evaluated: EvaluatedTrial
    flows: tuple[FlowMetrics, ...]

    def value(self, measure: Measure) -> float | None:
        """Return the mean of *measure* over the flows; the trial, not the flow, is what repeats."""
        found = [value for value in map(measure, self.flows) if value is not None]
        return sum(found) / len(found) if found else None

    def curves(self) -> list[FlowCurves]:
        return [self.evaluated.curves[flow.flow] for flow in self.flows if flow.flow in self.evaluated.curves]
