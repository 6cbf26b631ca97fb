# SPDX-License-Identifier: Apache-2.0
"""Figures of the latency that probes measured: its distribution, by probe and cell."""

from __future__ import annotations

from collections.abc import Iterator

from lab.evaluation.trial import LATENCY
from lab.report.cells import cells_with
from lab.report.figures.compare.cell_looks import cell_looks
from lab.report.figures.compare.crowded import by_algorithm
from lab.report.figures.compare.distributions import MAX_CELLS, MAX_PANELS, Panel, distributions, range_alt
from lab.report.figures.drawn import Drawn
from lab.report.figures.look.labels import where_label
from lab.report.figures.look.settings import styled
from lab.report.model import Report
from lab.report.tables.latency import of_cell, sent_when


def latency_figures(report: Report) -> Iterator[Drawn]:
    """Yield the distributions of latency, with a panel for each probe and a line for each cell."""
    cells = cells_with(report, [LATENCY])
    probes = list(dict.fromkeys(probe["name"] for trials in cells.values() for probe in trials[0].job["probes"]))
    if not probes:
        return
    shown = list(cells.items())[:MAX_CELLS]
    panels = [
        Panel(probe, [(where_label(report, where), of_cell(trials, probe)) for where, trials in shown])
        for probe in probes[:MAX_PANELS]
    ]
    with styled():
        styles = cell_looks(report, dict(shown))
        divided = by_algorithm(report, [where for where, _trials in shown], panels, styles)
        figure = distributions(divided, "Round-trip time (ms)", "Share of requests", styles)
    caption = (
        "Distribution of the latency that probes measured while the flows ran: the share of requests whose answer took "
        "at most that long, over all repetitions. If some requests were never answered, the curve does not reach 1."
    )
    caption += sent_when(report)
    if len(cells) > len(shown):
        caption += f" The table lists {len(cells) - len(shown)} more cells."
    alt = f"Distribution of the round-trip times of probes, in ms. {range_alt(panels)}."
    yield Drawn("latency", figure, caption, alt)
