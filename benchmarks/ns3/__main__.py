# SPDX-License-Identifier: Apache-2.0
"""Compare ns-3 with the engines ``uml`` and ``vm``: their speed, their fixed cost, and what a packet costs.

Prints tables in Markdown, and stores all figures as JSON and a diagram under results/bench/.  No other programs should
run at the same time.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from benchmarks.engines import VM_KERNEL
from benchmarks.ns3 import cpu_time, packet_cost, speed
from benchmarks.ns3.figure import draw_packet_cost
from benchmarks.ns3.install import install
from benchmarks.ns3.packet_cost import Fit
from benchmarks.ns3.results import STORED, Results, described, stored_results, this_machine
from benchmarks.ns3.scenario import Scenario
from benchmarks.ns3.simulators import LabSimulator, Ns3Simulator, Simulator
from benchmarks.ns3.tables import packet_table, speed_tables
from benchmarks.run import RESULTS, disturbance_text, processor_seconds
from lab.engine.uml.engine import UmlEngine
from lab.engine.vm.engine import VmEngine
from lab.errors import LabError
from lab.job import kernels

_QUICK_FLOWS = (1,)
_QUICK_GRID_FLOWS, _QUICK_GRID_LINKS = (1, 16), (1, 4)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextlib.asynccontextmanager
async def prepared_engines() -> AsyncIterator[list[Simulator]]:
    """Yield the engines that this machine can run, ready to run trials."""
    found: list[Simulator] = []
    with contextlib.ExitStack() as stack:
        uml, vm = UmlEngine(), VmEngine([VM_KERNEL])
        for engine, kernel in ((uml, kernels.DEFAULT_UML), (vm, VM_KERNEL)):
            try:
                engine.locate(say)
                stack.callback(engine.close)
                await engine.prepare(say)
            except LabError as exc:
                say(f"{engine.name} is left out: {exc}")
            else:
                found.append(LabSimulator(engine, kernel))
        yield found


async def warm_up(simulators: list[Simulator]) -> None:
    """Run everything once; the first run of an engine is slower, because its files are not in memory yet."""
    for simulator in simulators:
        await simulator.run(Scenario(10, 1, 1))


async def measure(simulators: list[Simulator], reference: str, algorithm: str, quick: bool) -> Results:
    """Do all measurements; *reference* is the build of ns-3 with which the engines are compared."""
    rounds = 1 if quick else 3
    machine, before, used, began = this_machine(), processor_seconds(), cpu_time.total_s(), time.monotonic()
    await warm_up(simulators)
    flow_counts = _QUICK_FLOWS if quick else speed.FLOWS
    slopes = await speed.measure_speed(simulators, reference, rounds, flow_counts, algorithm)
    in_grid = [simulator for simulator in simulators if simulator.name in (reference, "uml", "vm")]
    grid_flows = _QUICK_GRID_FLOWS if quick else packet_cost.FLOWS
    grid_links = _QUICK_GRID_LINKS if quick else packet_cost.LINKS
    packets = await packet_cost.measure_packets(in_grid, grid_flows, grid_links, algorithm)
    now, processors = processor_seconds(), (time.monotonic() - began) * (os.cpu_count() or 1)
    others = now["all"] - before["all"] - (cpu_time.total_s() - used)
    disturbance = {
        "others_share": round(max(0.0, others) / processors, 3),
        "stolen_share": round((now["stolen"] - before["stolen"]) / processors, 3),
    }
    return Results(machine, algorithm, reference, rounds, speed=slopes, packets=packets, disturbance=disturbance)


def show(results: Results, fits: Sequence[Fit]) -> None:
    """Print the machine, the builds of ns-3, and all tables."""
    print(f"{results.machine}; congestion control: {results.algorithm}; rounds: {results.rounds}")
    print(disturbance_text(results.disturbance))
    for build in results.builds:
        print(f"{build['name']}: version {build['version']}, {build['description']}")
        if "machine" in build:
            print(
                f"**ns-3 cannot be installed here. Its figures were measured on another machine: {build['machine']}**"
            )
    print()
    measured = {slope.simulator for slope in results.speed}
    order = dict.fromkeys((results.reference, "uml", "vm", *(build["name"] for build in results.builds)))
    lines = speed_tables(results.speed, [name for name in order if name in measured], results.reference)
    for line in (*lines, *packet_table(fits)):
        print(line)


def keep(results: Results, fits: Sequence[Fit]) -> None:
    """Write the results and the figure to results/bench/."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    name = f"ns3-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    path = RESULTS / f"{name}.json"
    path.write_text(results.to_json(), encoding="utf-8")
    print(path)
    if fits:
        print(draw_packet_cost(results.packets, fits, RESULTS, name))


async def compare(algorithm: str, quick: bool, save: bool) -> None:
    """Install ns-3, measure everything, and show and keep the results."""
    builds = install(say)
    stored = None if builds else stored_results()
    if stored is not None and stored.algorithm != algorithm:
        raise SystemExit(f"ns-3 cannot be installed here, and the repository has no results of it for {algorithm}")
    async with prepared_engines() as engines:
        simulators = [*(Ns3Simulator(build.name, build) for build in builds), *engines]
        results = await measure(simulators, builds[0].name if builds else "", algorithm, quick)
    results = replace(results, builds=[described(build) for build in builds])
    if stored is not None:
        results = results.with_stored(stored)
    found = [packet_cost.fit(name, results.packets) for name in (results.reference, "uml", "vm")]
    fits = [fit for fit in found if fit is not None]
    show(results, fits)
    keep(results, fits)
    if save and stored is None:
        STORED.write_text(results.to_json(), encoding="utf-8")
        print(STORED)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ns3", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round, one flow, and few points for the packet cost")
    parser.add_argument("--algorithm", choices=("cubic", "bbr"), default="cubic", help="the congestion control")
    parser.add_argument(
        "--save", action="store_true", help="store the results in the repository as well, if ns-3 was measured"
    )
    options = parser.parse_args()
    cpu_time.adopt_orphans()
    if options.save and options.algorithm != "cubic":
        parser.error("the results in the repository are those of cubic")
    asyncio.run(compare(options.algorithm, options.quick, options.save))


if __name__ == "__main__":
    main()
