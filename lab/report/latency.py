# SPDX-License-Identifier: Apache-2.0
"""What latency probes have met: quantiles by cell, and distributions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow.compute as pc
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import NDArray

from lab.report.cells import Where, cells_with
from lab.report.drawn import Drawn
from lab.report.model import Report
from lab.report.style import PAGE_INCHES, cycle, styled
from lab.store import TrialResult

LATENCY = "latency"
QUANTILES = (0.5, 0.95, 0.99)
MAX_CELLS = 14
"""More lines than this in a panel could not be told apart."""
MAX_PANELS = 6


@dataclass(frozen=True)
class LatencyLine:
    """One probe in all trials of a cell."""

    where: Where
    probe: str
    trials: int
    asked: int
    unanswered: int
    min_ms: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    max_ms: float | None


@lru_cache(maxsize=4)
def latency_lines(report: Report) -> list[LatencyLine]:
    """Each probe of each cell, over all its trials."""
    found = []
    for where, trials in cells_with(report, [LATENCY]).items():
        for probe in (probe["name"] for probe in trials[0].job["probes"]):
            times = np.concatenate([round_trips_ms(trial, probe) for trial in trials])
            answered = times[times > 0]
            values: tuple[float | None, ...] = (None,) * 5
            if len(answered):
                quantiles = np.quantile(answered, QUANTILES, method="inverted_cdf")
                values = (float(answered.min()), *map(float, quantiles), float(answered.max()))
            found.append(LatencyLine(where, probe, len(trials), len(times), int((times == 0).sum()), *values))
    return found


def round_trips_ms(trial: TrialResult, probe: str) -> NDArray[np.float64]:
    """How long each answer took; 0 where none came."""
    table = trial.collected(LATENCY, ["probe", "rtt_ns"])
    of_probe = table.filter(pc.equal(table.column("probe"), probe))
    found: NDArray[np.float64] = of_probe.column("rtt_ns").to_numpy() / 1e6
    return found


def latency_figures(report: Report) -> Iterator[Drawn]:
    """Yield the distributions of each probe's latency, a line for each cell."""
    cells = cells_with(report, [LATENCY])
    probes = list(dict.fromkeys(probe["name"] for trials in cells.values() for probe in trials[0].job["probes"]))
    if not probes:
        return
    shown = dict(list(cells.items())[:MAX_CELLS])
    with styled():
        figure = _figure(shown, probes[:MAX_PANELS])
    caption = (
        "Latency that probes met beside the flows: the share of answers that took no longer, over all repetitions. "
        "What was never answered is missing from the top."
    )
    if len(cells) > len(shown):
        caption += f" {len(cells) - len(shown)} more cells are in the table."
    yield Drawn("latency", figure, caption)


def _figure(cells: dict[Where, list[TrialResult]], probes: Sequence[str]) -> Figure:
    columns = min(3, len(probes))
    lines = math.ceil(len(probes) / columns)
    figure = Figure(figsize=(PAGE_INCHES, 2.3 * lines + 0.3), layout="constrained")
    panels = [axes for row in figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True) for axes in row]
    for axes, probe in zip(panels, probes, strict=False):
        for (where, trials), look in zip(cells.items(), cycle(len(cells)), strict=True):
            times = np.concatenate([round_trips_ms(trial, probe) for trial in trials])
            answered = np.sort(times[times > 0])
            if len(answered):
                share = np.arange(1, len(answered) + 1) / len(times)
                axes.plot(answered, share, drawstyle="steps-post", label=", ".join(where), linewidth=1.0, **look)
        axes.set_title(probe, loc="left")
        axes.set_ylim(0, 1)
    # A few that waited for a timeout must not press all others into a corner.
    panels[0].set_xscale("log")
    for axes in panels[: len(probes)]:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _place: f"{value:g}"))
        axes.xaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    for axes in panels[len(probes) :]:
        axes.set_visible(False)
    for place, axes in enumerate(panels[: len(probes)]):
        if place % columns == 0:
            axes.set_ylabel("Share of requests")
        if place + columns >= len(probes):
            axes.set_xlabel("Round-trip time (ms)")
    handles, labels = panels[0].get_legend_handles_labels()
    if any(labels):
        figure.legend(handles, labels, loc="outside upper right", ncols=min(4, len(labels)), handlelength=2.2)
    return figure
