# SPDX-License-Identifier: Apache-2.0
"""Separate what a second of traffic costs from the fixed cost of a run.

The same scenario runs with two durations.  The difference of their costs is that of the additional traffic, and what
remains of the shorter run is the fixed cost: starting the simulator, building the network, and reading the results.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from benchmarks.ns3.scenario import Scenario
from benchmarks.ns3.simulators import Run, Simulator

Durations = tuple[float, float]
"""The two durations of a scenario in virtual seconds, the shorter one first."""


@dataclass(frozen=True)
class Slope:
    """The cost of a scenario in one round."""

    simulator: str
    rate_mbit: int
    flows: int
    links: int
    round: int
    durations_s: Durations
    cpu_s_per_s: float
    """Processor time in seconds for one virtual second of traffic."""
    wall_s_per_s: float
    """Wall-clock time in seconds for one virtual second of traffic."""
    fixed_cpu_s: float
    """Processor time in seconds of a run without traffic."""
    fixed_wall_s: float
    packets_per_s: float
    """Packets with data that left the bottleneck's queue, for one virtual second of traffic."""
    ack_packets_per_s: float
    cpu_us_per_packet: float
    goodput_bps: float
    """The goodput of the longer run, over all flows."""


async def measure(simulator: Simulator, scenario: Scenario, durations: Durations, number: int) -> Slope:
    """Run *scenario* with both durations, in the round *number*.

    Raises:
        RuntimeError: A run failed.
    """
    short, long = [await simulator.run(replace(scenario, duration_s=duration)) for duration in durations]
    return slope_of(simulator.name, scenario, durations, number, short, long)


def slope_of(name: str, scenario: Scenario, durations: Durations, number: int, short: Run, long: Run) -> Slope:
    """Return the cost that follows from a short and a long run."""
    seconds = durations[1] - durations[0]
    cpu = (long.cpu_s - short.cpu_s) / seconds
    wall = (long.wall_s - short.wall_s) / seconds
    packets = long.outcome.packets - short.outcome.packets
    if packets <= 0:
        raise RuntimeError(f"{name} carried no more packets in {durations[1]} s than in {durations[0]} s")
    return Slope(
        simulator=name,
        rate_mbit=scenario.rate_mbit,
        flows=scenario.flows,
        links=scenario.links,
        round=number,
        durations_s=durations,
        cpu_s_per_s=cpu,
        wall_s_per_s=wall,
        fixed_cpu_s=short.cpu_s - durations[0] * cpu,
        fixed_wall_s=short.wall_s - durations[0] * wall,
        packets_per_s=packets / seconds,
        ack_packets_per_s=(long.outcome.ack_packets - short.outcome.ack_packets) / seconds,
        cpu_us_per_packet=(long.cpu_s - short.cpu_s) * 1e6 / packets,
        goodput_bps=long.outcome.goodput_bps,
    )


def of(slopes: Iterable[Slope], simulator: str, rate_mbit: int, flows: int) -> Sequence[Slope]:
    """Return the slopes of one simulator at one rate and number of flows, one for each round."""
    return [one for one in slopes if (one.simulator, one.rate_mbit, one.flows) == (simulator, rate_mbit, flows)]
