# SPDX-License-Identifier: Apache-2.0
"""Measure how many virtual seconds of traffic each simulator carries per second of processor time.

All simulators run the same scenario in turn before the next scenario begins, and the whole is repeated in rounds, so
that whatever disturbs the machine disturbs all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.ns3.attempt import attempted
from benchmarks.ns3.scenario import Scenario
from benchmarks.ns3.simulators import Simulator
from benchmarks.ns3.slope import Durations, Slope, measure

RATES_MBIT = (10, 20, 100, 1000)
FLOWS = (1, 4, 16)
_DURATIONS_S: dict[int, Durations] = {10: (5, 65), 20: (5, 45), 100: (3, 13), 1000: (1, 3)}
"""Rate in Mbit/s → durations.  Their difference costs ns-3 and User-mode Linux at least some tenths of a second."""
_VM_DURATIONS_S: dict[int, Durations] = {10: (3, 13), 20: (2, 8), 100: (1, 3)}
"""The same for virtual machines, which are several times slower and cannot carry 1 Gbit/s."""
_WHEEL_DURATIONS_S: dict[int, Durations] = {rate: _DURATIONS_S[rate] for rate in (10, 20, 100)}


def durations_of(simulator: str, rate_mbit: int, flows: int, reference: str) -> Durations | None:
    """Return the durations for a simulator, or None where it is left out because it would take too long.

    *reference* is the build of ns-3 with which the engines are compared; another one is measured with one flow only.
    """
    if simulator == "vm":
        return None if (rate_mbit, flows) == (100, 16) else _VM_DURATIONS_S.get(rate_mbit)
    if simulator not in ("uml", reference):
        return _WHEEL_DURATIONS_S.get(rate_mbit) if flows == 1 else None
    return _DURATIONS_S[rate_mbit]


async def measure_speed(
    simulators: Sequence[Simulator], reference: str, rounds: int, flow_counts: Sequence[int], algorithm: str
) -> list[Slope]:
    """Measure all simulators at all rates with these numbers of flows; what fails is left out, with a message."""
    slopes = []
    for number in range(rounds):
        for rate_mbit in RATES_MBIT:
            for flows in flow_counts:
                for simulator in simulators:
                    durations = durations_of(simulator.name, rate_mbit, flows, reference)
                    if durations is None:
                        continue
                    scenario = Scenario(rate_mbit, flows, durations[1], algorithm=algorithm)
                    label = f"round {number + 1} of {rounds}: {rate_mbit} Mbit/s, flows: {flows}, {simulator.name}"
                    slopes += await attempted(label, measure(simulator, scenario, durations, number))
    return slopes
