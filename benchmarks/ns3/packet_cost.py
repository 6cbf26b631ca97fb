# SPDX-License-Identifier: Apache-2.0
"""Measure what a packet costs, and fit the cost of a packet and that of each of its hops to the measurements.

The model of a run's cost is *fixed* + *a* · packets + *b* · packets · hops.  A packet is one with data, together with
the acknowledgements that it causes.  A hop is a link between routers (with a rate, a queue and a delay in each
direction) and the router at its end; *a* therefore includes both hosts, their links, the first router, and the trace.
Each measurement is the difference of two durations, and so the fixed cost, which depends on the number of nodes and
flows, is not in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.ns3.attempt import attempted
from benchmarks.ns3.scenario import Scenario
from benchmarks.ns3.simulators import Simulator
from benchmarks.ns3.slope import Durations, Slope, measure

RATE_MBIT = 100
FLOWS = (1, 4, 16, 64)
LINKS = (1, 2, 4, 8)
DURATIONS_S: Durations = (2, 6)
VM_FLOWS, VM_LINKS = (1, 4), (1, 4)
VM_DURATIONS_S: Durations = (1, 2)


@dataclass(frozen=True)
class Fit:
    """The least-squares fit for one simulator, in which every point of the grid has the same weight."""

    simulator: str
    packet_us: float
    """*a*: processor time for each packet, in microseconds."""
    hop_us: float
    """*b*: processor time for each packet and hop, in microseconds."""
    r_squared: float
    """The share of the variance between the points that the fit explains."""
    worst_share: float
    """The largest deviation of a point from the fit, as a share of the fitted value."""
    points: int

    def at(self, links: float) -> float:
        """Return the fitted cost of a packet over so many links, in microseconds."""
        return self.packet_us + self.hop_us * links


async def measure_packets(
    simulators: Sequence[Simulator], flow_counts: Sequence[int], link_counts: Sequence[int], algorithm: str
) -> list[Slope]:
    """Measure the simulators in turn at each point of the grid; virtual machines only at some of them."""
    slopes = []
    for flows in flow_counts:
        for links in link_counts:
            for simulator in simulators:
                durations = DURATIONS_S
                if simulator.name == "vm":
                    if flows not in VM_FLOWS or links not in VM_LINKS:
                        continue
                    durations = VM_DURATIONS_S
                scenario = Scenario(RATE_MBIT, flows, durations[1], links, algorithm)
                label = f"flows: {flows}, hops: {links}, {simulator.name}"
                slopes += await attempted(label, measure(simulator, scenario, durations, 0))
    return slopes


def fit(simulator: str, slopes: Sequence[Slope]) -> Fit | None:
    """Fit the model to the measurements of one simulator; None if there are fewer than three."""
    points = [(slope.links, slope.cpu_us_per_packet) for slope in slopes if slope.simulator == simulator]
    if len(points) < 3 or len({links for links, _cost in points}) < 2:
        return None
    links, costs = (np.array(column, dtype=float) for column in zip(*points, strict=True))
    (packet_us, hop_us), *_rest = np.linalg.lstsq(np.column_stack([np.ones_like(links), links]), costs, rcond=None)
    fitted = packet_us + hop_us * links
    unexplained = float(np.sum((costs - fitted) ** 2))
    variance = float(np.sum((costs - costs.mean()) ** 2))
    return Fit(
        simulator=simulator,
        packet_us=float(packet_us),
        hop_us=float(hop_us),
        r_squared=1 - unexplained / variance if variance > 0 else 1.0,
        worst_share=float(np.max(np.abs(costs - fitted) / np.abs(fitted))),
        points=len(points),
    )
