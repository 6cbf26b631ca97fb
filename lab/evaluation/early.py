# SPDX-License-Identifier: Apache-2.0
"""The means that a running experiment shows before its report is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.store.trial import TrialResult


@dataclass(frozen=True)
class EarlyRow:
    """What one trial contributes: the flows of one group with one algorithm."""

    trial: str
    group: str
    algorithm: str
    goodput_bps: float | None
    """Mean over the flows, like the other values."""
    queueing_delay_us: float | None
    retransmits: float | None


def early_rows(trial: TrialResult) -> list[EarlyRow]:
    """Return the rows of a stored trial; none if it failed or is invalid.  Nothing is written.

    Raises:
        StoreError: The trial is damaged.
    """
    # Who only shows rows does not need what computes them, which takes long to import.
    from lab.evaluation.repetition import repetitions_of
    from lab.evaluation.trial import evaluate_trial

    evaluated = evaluate_trial(trial)
    if evaluated.verdict in (None, "invalid"):
        return []
    return [
        EarlyRow(
            trial.id,
            group,
            algorithm,
            flows.value(lambda row: row.goodput_bps),
            flows.value(lambda row: row.queueing_delay_mean_us),
            flows.value(lambda row: row.retransmits),
        )
        for group, algorithm, flows in repetitions_of(evaluated, evaluated.metrics)
    ]
