# SPDX-License-Identifier: Apache-2.0
"""Judge whether a trial measured what its experiment asks for.

Each check looks for one mistake that has made published results wrong.  It compares what the experiment asks for with
what was read back from the kernel or measured.  The verdict on a trial is that of its worst check.
"""

from __future__ import annotations

from collections.abc import Sequence

from lab.analysis.checks.check import Check, Verdict, worst
from lab.analysis.checks.flow import flow_checks
from lab.analysis.checks.machine import machine_checks
from lab.analysis.checks.memory import memory_checks
from lab.analysis.checks.network import network_checks
from lab.analysis.checks.path import path_checks
from lab.analysis.measured import MeasuredTrial

__all__ = ["Check", "Verdict", "judge", "verdict", "worst"]


def judge(trial: MeasuredTrial) -> list[Check]:
    """Return all checks of *trial*: those of the network, then of the paths, of the flows, of the
    sockets' memory and of the machine.

    Raises:
        ValueError: A flow has no result, so there is nothing to judge.
    """
    parts = (network_checks, path_checks, flow_checks, memory_checks, machine_checks)
    return [check for part in parts for check in part(trial)]


def verdict(checks: Sequence[Check]) -> Verdict:
    """Return the verdict on the whole trial, which is that of its worst check."""
    return worst(check.verdict for check in checks)
