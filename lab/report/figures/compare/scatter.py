# SPDX-License-Identifier: Apache-2.0
"""One metric against another, with intervals in both directions."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lab.report import windows
from lab.report.figures.compare.quantities import Metric, error_bar, estimated, values_of
from lab.report.figures.compare.reference import SPREAD, add_legend
from lab.report.figures.drawn import Drawn
from lab.report.figures.look.labels import cell_title
from lab.report.figures.look.scales import HEADROOM, plain_logarithm, scale_y, spans_decades
from lab.report.figures.look.sizes import column_inches, page_inches
from lab.report.figures.look.style import GREY, MARKERS
from lab.report.model import Report


def scatter(report: Report, x: Metric, y: Metric) -> Drawn | None:
    """Draw metric *y* against metric *x*: a marker for each row, with a 95 % interval of the mean of each metric."""
    rows = [row for row in report.rows if row.values(x.read) and row.values(y.read)]
    if not rows:
        return None
    facets = list(dict.fromkeys(row.facet for row in rows))
    figure = Figure(figsize=(min(column_inches() * 1.45, page_inches()), 3.0), layout="constrained")
    axes = figure.subplots()
    for row in rows:
        marker = MARKERS[facets.index(row.facet) % len(MARKERS)] if len(facets) > 1 else row.series.look.marker
        horizontal, vertical = estimated(report, x, row), estimated(report, y, row)
        assert horizontal is not None
        assert vertical is not None
        left, right = error_bar(horizontal)
        below, above = error_bar(vertical)
        axes.errorbar(
            [horizontal.mean],
            [vertical.mean],
            xerr=[[left], [right]],
            yerr=[[below], [above]],
            fmt=marker,
            color=row.series.look.colour,
            markersize=5,
            elinewidth=0.8,
            capsize=2,
            markeredgecolor="white",
            markeredgewidth=0.5,
        )
    scale_y(axes, values_of(rows, y), logarithmic=y.is_delay and spans_decades(values_of(rows, y)))
    values = values_of(rows, x)
    if x.is_delay and spans_decades(values):
        axes.set_xscale("log")
        plain_logarithm(axes.xaxis)
    else:
        axes.set_xlim(0, max(values) * HEADROOM or 1)
    axes.set_xlabel(x.label)
    axes.set_ylabel(y.label)
    series = [one for one in report.series if any(row.series == one for row in rows)]
    handles = [_handle(one.label, one.look.colour, one.look.marker if len(facets) == 1 else "o") for one in series]
    if len(facets) > 1:
        handles += [_handle(cell_title(report, one), GREY, MARKERS[n % len(MARKERS)]) for n, one in enumerate(facets)]
    add_legend(figure, handles)
    caption = f"{y.text} against {x.text[0].lower()}{x.text[1:]}. Markers: means. {SPREAD}{windows.of_values(report)}"
    alt = (
        f"{y.label} ({min(values_of(rows, y)):.3g} to {max(values_of(rows, y)):.3g}) against {x.label} "
        f"({min(values):.3g} to {max(values):.3g}) for {', '.join(one.label for one in series)}."
    )
    return Drawn(f"{y.name}-vs-{x.name}".replace("_", "-"), figure, caption, alt)


def _handle(label: str, colour: str, marker: str) -> Line2D:
    return Line2D([], [], color=colour, marker=marker, linestyle="none", markersize=4.5, label=label)
