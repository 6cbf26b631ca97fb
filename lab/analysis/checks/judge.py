# SPDX-License-Identifier: Apache-2.0
"""Did a trial measure what its experiment says?

Each check asks one question that has made a published result wrong, and compares what was asked for with what was
read back from the kernel or measured.  A trial is as good as its worst check.
"""

from __future__ import annotations

from collections.abc import Sequence

from lab.analysis.checks.check import Check, Verdict, worst
from lab.analysis.checks.flow import flow_checks
from lab.analysis.checks.machine import machine_checks
from lab.analysis.checks.network import network_checks
from lab.analysis.measured import MeasuredTrial

__all__ = ["Check", "Verdict", "judge", "verdict", "worst"]


def judge(trial: MeasuredTrial) -> list[Check]:
    """Return all checks of *trial*, in an order that reads well.

    Raises:
        ValueError: A flow has no result at all, so there is nothing to judge.
    """
    return [*network_checks(trial), *flow_checks(trial), *machine_checks(trial)]


def verdict(checks: Sequence[Check]) -> Verdict:
    """Return the verdict on the whole trial: that of its worst check."""
    return worst(check.verdict for check in checks)
