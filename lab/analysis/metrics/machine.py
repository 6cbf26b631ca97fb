# SPDX-License-Identifier: Apache-2.0
"""The machine that ran the trial."""

from __future__ import annotations

from dataclasses import dataclass

from lab.analysis.measured import MeasuredTrial
from lab.analysis.metrics.sender import share


@dataclass(frozen=True)
class Machine:
    """The machine that ran the trial."""

    cpu_busy_share: float | None
    """Share of the time with traffic during which the processor that ran the whole topology was busy."""


def machine(trial: MeasuredTrial) -> Machine:
    """Return how busy the machine was."""
    cpu = trial.record["cpu"]
    return Machine(cpu_busy_share=share(cpu["busy_ns"], cpu["total_ns"]))
