# SPDX-License-Identifier: Apache-2.0
"""What a busy machine does to the verdict on a trial in real time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lab.analysis.checks.check import Verdict
from lab.analysis.checks.machine import quiet_machine

QUIET = {"load_before": 0.3, "stall_ns": 200_000_000, "steal_ns": 0, "softnet_dropped": 0, "softnet_squeezed": 9}


def judged(pressure: dict[str, Any] | None) -> list[Any]:
    # Ten seconds on two processors.
    cpu = {"total_ns": 20 * 10**9, "busy_ns": 4 * 10**9, "processors": 2}
    trial: Any = SimpleNamespace(record={"pressure": pressure, "cpu": cpu})
    return quiet_machine(trial)


def test_virtual_time_needs_no_quiet() -> None:
    assert judged(None) == []


@pytest.mark.parametrize(
    ("found", "verdict", "said"),
    [
        ({}, "ok", "0 dropped"),
        ({"stall_ns": None}, "ok", "0 dropped"),
        ({"softnet_dropped": 1}, "invalid", "1 dropped (softnet)"),
        ({"load_before": 2.5}, "warn", "2.50"),
        ({"steal_ns": 400_000_000}, "warn", "2.0% stolen by a hypervisor"),
        ({"steal_ns": 2 * 10**9}, "invalid", "10.0% stolen"),
        ({"stall_ns": 3 * 10**9}, "warn", "30.0% some task waited"),
        ({"stall_ns": 6 * 10**9}, "invalid", "60.0% some task waited"),
    ],
)
def test_what_disturbs_is_judged_and_named(found: dict[str, Any], verdict: Verdict, said: str) -> None:
    (check,) = judged({**QUIET, **found})
    assert check.verdict == verdict
    assert said in check.found
