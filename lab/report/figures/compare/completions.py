# SPDX-License-Identifier: Apache-2.0
"""Figures of the completion times of short flows: their distributions, and how they depend on the flow's size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lab.analysis.completions import Completions
from lab.analysis.statistics import spread
from lab.evaluation.trial import COMPLETIONS
from lab.report.cells import cells_with
from lab.report.figures.compare.cell_looks import cell_looks
from lab.report.figures.compare.crowded import by_algorithm
from lab.report.figures.compare.distributions import (
    MAX_CELLS,
    MAX_PANELS,
    Panel,
    distributions,
    grid,
    label_outside,
    legend,
    range_alt,
)
from lab.report.figures.drawn import Drawn
from lab.report.figures.look.labels import where_label
from lab.report.figures.look.scales import plain_logarithm
from lab.report.figures.look.settings import styled
from lab.report.model import Report
from lab.report.tables.completions import groups_of, milliseconds, of_cell, started_when

SIZE_BINS = 8
"""Number of bins into which flows are grouped by size."""
MIN_IN_BIN = 8
"""Bins with fewer flows than this are not drawn, because their quantiles would mean little."""
VARIED = 4.0
"""Completion times are drawn against size only if the largest flow is more than this many times the smallest."""


def completion_figures(report: Report) -> Iterator[Drawn]:
    """Yield the distributions of completion times, and completion times against sizes.

    Each has a panel for each group of short flows, and a line for each cell.
    """
    cells = cells_with(report, [COMPLETIONS])
    groups = list(dict.fromkeys(group for trials in cells.values() for group in groups_of(trials[0])))[:MAX_PANELS]
    if not groups:
        return
    shown = list(cells.items())[:MAX_CELLS]
    more = started_when(report)
    more += f" The table lists {len(cells) - len(shown)} more cells." if len(cells) > len(shown) else ""
    flows = {
        group: [(where_label(report, where), of_cell(trials, group)) for where, trials in shown] for group in groups
    }
    styles = cell_looks(report, dict(shown))
    panels = [Panel(group, [(label, milliseconds(cell)) for label, cell in lines]) for group, lines in flows.items()]
    with styled():
        divided = by_algorithm(report, [where for where, _trials in shown], panels, styles)
        figure = distributions(divided, "Flow completion time (ms)", "Share of flows", styles)
    caption = (
        "Distribution of the completion times of short flows: the share of flows that took at most that long, over all "
        "repetitions. The completion time runs from the request for the connection until the receiver has the last "
        "byte. If some flows never completed, the curve does not reach 1."
    )
    alt = f"Distribution of flow completion times, in ms. {range_alt(panels)}."
    yield Drawn("completions", figure, caption + more, alt)
    varied = {group: lines for group, lines in flows.items() if any(_varies(cell) for _label, cell in lines)}
    if varied:
        with styled():
            figure = _by_size(varied, styles)
        caption = (
            "Flow completion time against flow size: p50 (dots) and p95 (thinner lines, with dashes as markers). Flows "
            f"are grouped by size into bins of equal width on the axis. Each bin with at least {MIN_IN_BIN} flows is "
            "drawn at the median size of its flows."
        )
        alt = f"Flow completion time (ms) against flow size (kB). {range_alt(panels)}."
        yield Drawn("completions-size", figure, caption + more, alt)


def _varies(flows: Completions) -> bool:
    return len(flows) > 0 and bool(flows.bytes.max() > VARIED * max(1, flows.bytes.min()))


def _by_size(groups: dict[str, list[tuple[str, Completions]]], styles: Sequence[dict[str, Any]]) -> Figure:
    figure, panels = grid(len(groups))
    for axes, (group, lines) in zip(panels, groups.items(), strict=True):
        sizes = np.concatenate([cell.bytes for _label, cell in lines])
        edges = np.geomspace(max(1, sizes.min()), sizes.max() * 1.0001, SIZE_BINS + 1)
        for (label, cell), look in zip(lines, styles, strict=True):
            points = np.array(list(_binned(cell, edges)))
            if len(points):
                axes.plot(points[:, 0], points[:, 1], label=label, marker=".", linewidth=1.0, **look)
                axes.plot(points[:, 0], points[:, 2], linewidth=0.8, marker="_", markersize=4, alpha=0.7, **look)
        axes.set_title(group, loc="left")
    panels[0].set_xscale("log")
    panels[0].set_yscale("log")
    for axes in panels:
        plain_logarithm(axes.xaxis)
        plain_logarithm(axes.yaxis)
    label_outside(panels, "Size (kB)", "Completion time (ms)")
    legend(figure, panels[0])
    return figure


def _binned(flows: Completions, edges: NDArray[np.float64]) -> Iterator[tuple[float, float, float]]:
    """Yield the median size in kB, and the p50 and p95 of the completion time in ms, of each bin with enough flows."""
    done = flows.is_complete
    sizes, times = flows.bytes[done], milliseconds(flows)[done]
    place = np.digitize(sizes, edges)
    for number in range(1, len(edges)):
        inside = place == number
        if inside.sum() >= MIN_IN_BIN:
            values = spread(times[inside])
            assert values.p50 is not None
            assert values.p95 is not None
            yield float(np.median(sizes[inside])) / 1000, values.p50, values.p95
