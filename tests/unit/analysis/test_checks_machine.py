# SPDX-License-Identifier: Apache-2.0
"""The verdict on a trial in real time if the machine did other work as well."""

from __future__ import annotations

import pytest

from lab.analysis.checks.check import Check, Verdict
from lab.analysis.checks.machine import quiet_machine
from lab.analysis.measured import MeasuredTrial
from lab.job.protocol import Cpu, Pressure, Record
from tests.jobs import job_with
from tests.records import record

QUIET: Pressure = {
    "load_before": 0.3,
    "stall_ns": 200_000_000,
    "steal_ns": 0,
    "softnet_dropped": 0,
    "softnet_squeezed": 9,
}


def judged(pressure: Pressure | None) -> list[Check]:
    """Return the checks of a trial whose record has this *pressure*."""
    # The trial took ten seconds on two processors.
    cpu: Cpu = {"total_ns": 20 * 10**9, "busy_ns": 4 * 10**9, "processors": 2}
    found: Record = {**record(), "pressure": pressure, "cpu": cpu}
    return quiet_machine(MeasuredTrial(job_with(["s1", "d1"], [("s1", "d1")]), found, (), {}, {}))


def test_virtual_time_needs_no_quiet() -> None:
    assert judged(None) == []


DISTURBED: list[tuple[Pressure, Verdict, str]] = [
    (QUIET, "ok", "0 dropped"),
    ({**QUIET, "stall_ns": None}, "ok", "0 dropped"),
    ({**QUIET, "softnet_dropped": 1}, "invalid", "1 dropped (softnet)"),
    ({**QUIET, "load_before": 2.5}, "warn", "2.50"),
    ({**QUIET, "steal_ns": 400_000_000}, "warn", "2.0% of the time stolen by a hypervisor"),
    ({**QUIET, "steal_ns": 2 * 10**9}, "invalid", "10.0% of the time stolen"),
    ({**QUIET, "stall_ns": 3 * 10**9}, "warn", "30.0% of the time with a task waiting"),
    ({**QUIET, "stall_ns": 6 * 10**9}, "invalid", "60.0% of the time with a task waiting"),
]


@pytest.mark.parametrize(("found", "verdict", "said"), DISTURBED)
def test_what_disturbs_is_judged_and_named(found: Pressure, verdict: Verdict, said: str) -> None:
    (check,) = judged(found)
    assert check.verdict == verdict
    assert said in check.found
