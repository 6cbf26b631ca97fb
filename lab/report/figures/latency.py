# SPDX-License-Identifier: Apache-2.0
"""What latency probes have met: quantiles by cell, and distributions."""

from __future__ import annotations

from collections.abc import Iterator

from lab.report.cells import cells_with
from lab.report.figures.distributions import MAX_CELLS, MAX_PANELS, Panel, distributions
from lab.report.figures.drawn import Drawn
from lab.report.figures.style import styled
from lab.report.model import Report
from lab.report.tables.latency import LATENCY, of_cell


def latency_figures(report: Report) -> Iterator[Drawn]:
    """Yield the distributions of each probe's latency, a line for each cell."""
    cells = cells_with(report, [LATENCY])
    probes = list(dict.fromkeys(probe["name"] for trials in cells.values() for probe in trials[0].job["probes"]))
    if not probes:
        return
    shown = list(cells.items())[:MAX_CELLS]
    panels = [
        Panel(probe, [(", ".join(where), of_cell(trials, probe)) for where, trials in shown])
        for probe in probes[:MAX_PANELS]
    ]
    with styled():
        figure = distributions(panels, "Round-trip time (ms)", "Share of requests")
    caption = (
        "Latency that probes met beside the flows: the share of answers that took no longer, over all repetitions. "
        "What was never answered is missing from the top."
    )
    if len(cells) > len(shown):
        caption += f" {len(cells) - len(shown)} more cells are in the table."
    yield Drawn("latency", figure, caption)
