# SPDX-License-Identifier: Apache-2.0
"""The results as tables in Markdown.  Values are medians over the rounds."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence

from benchmarks.ns3.packet_cost import Fit
from benchmarks.ns3.slope import Slope, of

DASH = "–"


def speed_tables(slopes: Sequence[Slope], simulators: Sequence[str], reference: str) -> Iterator[str]:
    """Yield the lines of the tables of speed, fixed costs and goodput.

    *reference* is the build of ns-3 with which the engines are compared.
    """
    ratios = [("uml", reference), ("uml", "vm")]
    yield "Virtual seconds of traffic per second of processor time, without fixed costs:"
    yield from _table(slopes, simulators, lambda slope: 1 / slope.cpu_s_per_s, ratios)
    yield "Virtual seconds of traffic per second of wall-clock time, without fixed costs:"
    yield from _table(slopes, simulators, lambda slope: 1 / slope.wall_s_per_s, ratios)
    # It does not depend on the rate, and where traffic is cheap, least of the traffic's cost gets into it.
    lowest = min((slope.rate_mbit for slope in slopes), default=0)
    cheap = [slope for slope in slopes if slope.rate_mbit == lowest]
    yield "Fixed cost of a run, in seconds of processor time:"
    yield from _table(cheap, simulators, lambda slope: slope.fixed_cpu_s, [])
    yield "Fixed cost of a run, in seconds of wall-clock time:"
    yield from _table(cheap, simulators, lambda slope: slope.fixed_wall_s, [])
    yield "Goodput of all flows together in Mbit/s, in the longer of the two runs:"
    yield from _table(slopes, simulators, lambda slope: slope.goodput_bps / 1e6, [])


def _table(
    slopes: Sequence[Slope],
    simulators: Sequence[str],
    value: Callable[[Slope], float],
    ratios: Sequence[tuple[str, str]],
) -> Iterator[str]:
    heads = ["Rate, Mbit/s", "Flows", *simulators, *(f"{fast} / {slow}" for fast, slow in ratios)]
    yield ""
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    for rate_mbit, flows in sorted({(slope.rate_mbit, slope.flows) for slope in slopes}):
        rounds = {name: [value(slope) for slope in of(slopes, name, rate_mbit, flows)] for name in simulators}
        cells = [str(rate_mbit), str(flows), *(_number(_median(rounds[name])) for name in simulators)]
        cells += [_number(ratio(rounds.get(fast, []), rounds.get(slow, []))) for fast, slow in ratios]
        yield f"| {' | '.join(cells)} |"
    yield ""


def ratio(above: Sequence[float], below: Sequence[float]) -> float | None:
    """Return the median of the ratios of each round; None without values.

    If the numbers of rounds differ, the two were not measured in turn, and the result is the ratio of their medians.
    """
    if not above or not below:
        return None
    if len(above) == len(below):
        return statistics.median(one / other for one, other in zip(above, below, strict=True))
    return statistics.median(above) / statistics.median(below)


def packet_table(fits: Sequence[Fit]) -> Iterator[str]:
    """Yield the lines of the table of the fitted costs."""
    yield "Processor time for a packet with data and its acknowledgements, in µs, fitted over flows and hops:"
    yield ""
    yield "| Simulator | For each packet | For each packet and hop | 1 hop | 8 hops | R² | Largest deviation | Points |"
    yield "|---|---|---|---|---|---|---|---|"
    for one in fits:
        costs = " | ".join(f"{cost:.2f}" for cost in (one.packet_us, one.hop_us, one.at(1), one.at(8)))
        yield f"| {one.simulator} | {costs} | {one.r_squared:.2f} | {one.worst_share:.0%} | {one.points} |"
    yield ""


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def _number(value: float | None) -> str:
    """Return *value* with three significant digits, or a dash if there is none."""
    if value is None:
        return DASH
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
