# SPDX-License-Identifier: Apache-2.0
"""Figures over time: congestion window, smoothed RTT, goodput and others."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from lab.analysis.events import thinned
from lab.analysis.series import decimate
from lab.evaluation.collected import inside, retransmissions
from lab.evaluation.trial import CURVE_BINS, Curve
from lab.report.figures.drawn import Drawn
from lab.report.figures.look.labels import label_lines, wrapped
from lab.report.figures.look.scales import plain_logarithm, spans_decades
from lab.report.figures.look.settings import styled
from lab.report.figures.look.sizes import page_inches, panel_columns
from lab.report.figures.over_time.captions import ESTIMATE, FAIR, FILE, REFERENCE, add_legend, alt, caption
from lab.report.figures.over_time.curves import QUANTITIES, Kind, curves_of
from lab.report.figures.over_time.envelope import dense_curves, draw_envelope
from lab.report.figures.over_time.fair import fair_share
from lab.report.figures.over_time.jain import jain
from lab.report.figures.over_time.marks import SSTHRESH, draw_bands, last_moment, mark, shade_unmeasured, window_after
from lab.report.figures.over_time.panels import (
    FAINT_BINS,
    MAX_FAINT,
    MAX_PANELS,
    Panel,
    colour_of,
    dashes_of,
    divided,
    flow_colours,
    is_direct,
    marked,
    marks_on,
    panels_of,
    share_scale,
    trial_of,
)
from lab.report.model import Report, Row

MAX_REFERENCES = 3
"""Largest number of base RTTs or capacities in a panel."""
LATER_NS = 2_000_000_000
"""Flows that start at least this long after the first one join it later, rather than at the same time."""
DEFAULT: tuple[Kind, ...] = ("cwnd", "srtt", "goodput")
"""The quantities that a report shows over time if the experiment does not say which."""


def time_figures(report: Report) -> Iterator[Drawn]:
    """Yield the figures over time, with at most :data:`MAX_PANELS` panels each; none if no flow was traced."""
    for kind in DEFAULT:
        yield from figures_over_time(report, kind)
    if _join_later(report):
        with styled():
            drawn = jain(report)
        if drawn is not None:
            yield drawn


def _join_later(report: Report) -> bool:
    """Return whether flows of a trial start so far apart that they have to find their shares again."""
    starts = [[flow["start_ns"] for flow in job["flows"] if flow["arrivals"] is None] for job in report.jobs]
    return any(own and max(own) - min(own) >= LATER_NS for own in starts)


def figures_over_time(report: Report, kind: Kind) -> Iterator[Drawn]:
    """Yield the figures of one quantity over time, with at most :data:`MAX_PANELS` panels each, or more small ones."""
    panels = [panel for panel in panels_of(report) if any(curves_of(row.median(), kind) for row in panel.rows)]
    pages = divided(panels)
    for number, page in enumerate(pages, 1):
        name = f"{kind.replace('_', '-')}{f'-{number}' if len(pages) > 1 else ''}"
        with styled():
            yield _figure(report, kind, page, name)


def _figure(report: Report, kind: Kind, panels: list[Panel], name: str) -> Drawn:
    is_many = len(panels) > MAX_PANELS
    columns = (
        panel_columns(len(panels), 4, 1.6) if is_many else panel_columns(len(panels), 2 if len(panels) == 4 else 3)
    )
    lines = math.ceil(len(panels) / columns)
    height = 1.4 if is_many else 2.5 if lines == 1 and columns <= 2 else 2.15
    figure = Figure(figsize=(page_inches(), height * lines + 0.25), layout="constrained")
    shared = share_scale(panels, kind, columns)
    unit, scale = report.rate_unit if QUANTITIES[kind].is_rate else ("", 1)
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=shared)
    ordered = [axes for line in grid for axes in line]
    end_s = last_moment(report)
    fair = [fair_share(panel.rows) if kind == "goodput" else None for panel in panels]
    for axes, panel, share in zip(ordered, panels, fair, strict=False):
        _draw_panel(axes, kind, list(panel.rows), scale, end_s, marks_on(columns))
        if share is not None:
            axes.plot(share[0], share[1] / scale, drawstyle="steps-post", **FAIR)
        title = panel.title
        if panel.rows and all(row.verdict == "invalid" for row in panel.rows):
            title += "  (invalid)"
        axes.set_title(wrapped(title, page_inches() / columns), loc="left")
    _scale(ordered[: len(panels)], kind, panels, end_s)
    for axes in ordered[len(panels) :]:
        axes.set_visible(False)
    for place, axes in enumerate(ordered[: len(panels)]):
        if place % columns == 0 and not is_many:
            axes.set_ylabel(QUANTITIES[kind].label(unit))
        if place + columns >= len(panels):
            axes.set_xlabel("Time (s)")
            axes.tick_params(labelbottom=True)
        if is_direct(panels, kind):
            label_lines(axes, _ends(panels[place].rows, kind, scale))
    if is_many:
        # Small panels are not high enough for the label.
        figure.supylabel(QUANTITIES[kind].label(unit), fontsize=ordered[0].yaxis.label.get_fontsize())
    is_fair = any(share is not None for share in fair)
    add_legend(figure, report, kind, panels, fair=is_fair)
    text = caption(report, kind, panels, fair=is_fair, shared=shared)
    return Drawn(name, figure, text, alt(report, kind, panels))


def _draw_panel(axes: Axes, kind: Kind, rows: list[Row], scale: float, end_s: float, most_marks: int) -> None:
    for row in rows:
        _draw_row(axes, kind, row, scale, end_s, alone=len(rows) == 1)
        _draw_inside(axes, kind, row, scale)
        if kind == "cwnd":
            _draw_marks(axes, row, end_s, most_marks)
            draw_bands(axes, row)
    _reference(axes, kind, rows, scale)
    shade_unmeasured(axes, rows, end_s)


def _scale(ordered: Sequence[Axes], kind: Kind, panels: Sequence[Panel], end_s: float) -> None:
    """Set the limits.  This ends autoscaling, of shared axes too, so it must come after everything is drawn."""
    values = [y for panel in panels for row in panel.rows for _x, y in curves_of(row.median(), kind) if len(y)]
    ends = [float(extreme) for y in values for extreme in (y[y > 0].min(initial=np.inf), y.max())]
    logarithmic = kind == "srtt" and spans_decades([value for value in ends if np.isfinite(value)])
    for axes in ordered:
        if logarithmic:
            axes.set_yscale("log")
            plain_logarithm(axes.yaxis)
        else:
            axes.set_ylim(bottom=0)
        axes.set_xlim(0, end_s * 1.01)


def _ends(rows: Sequence[Row], kind: Kind, scale: float) -> list[tuple[float, str, str]]:
    """Return for each row the median of the last sixth of its curve, its label and its colour."""
    found = []
    for row in rows:
        for x, y in curves_of(row.median(), kind)[:1]:
            last = y[x >= x[-1] - (x[-1] - x[0]) / 6]
            found.append((float(np.median(last)) / scale, row.series.label, colour_of(row.series.look, kind)))
    return found


def _draw_row(axes: Axes, kind: Kind, row: Row, scale: float, end_s: float, *, alone: bool) -> None:
    median, held = row.median(), QUANTITIES[kind].held
    curves = curves_of(median, kind)
    colours = flow_colours(row, kind, len(curves)) if curves else []
    dense = dense_curves(row, kind, end_s)
    if dense == [None]:
        for repetition in [item for item in row.used if item is not median][:MAX_FAINT]:
            for curve in curves_of(repetition, kind):
                x, y = decimate(*curve, FAINT_BINS)
                axes.plot(x, y / scale, color=colours[0], linewidth=0.5, alpha=0.3, zorder=2, **held)
    dashes = "solid" if alone else dashes_of(row.series.look, kind)
    for (x, y), whole, colour in zip(curves, dense, colours, strict=True):
        if whole is not None:
            draw_envelope(axes, whole, scale, colour)
            continue
        axes.plot(x, y / scale, color=colour, linewidth=0.9, linestyle=dashes, zorder=4, **held)
    if kind == "cwnd":
        thresholds = [flow.ssthresh for flow in median.curves()]
        for threshold, whole, colour in zip(thresholds, dense, colours, strict=True):
            if threshold is not None and whole is None:
                axes.plot(*threshold, color=colour, linewidth=0.8, linestyle=SSTHRESH, alpha=0.8, zorder=3, **held)


def _draw_marks(axes: Axes, row: Row, end_s: float, most: int) -> None:
    """Mark retransmissions just above the curve of the congestion window."""
    above = axes.transData + ScaledTranslation(0, 3.5 / 72, axes.figure.dpi_scale_trans)
    for flow, curves in marked(row):
        for kind, times in retransmissions(trial_of(row), flow).items():
            shown = thinned(times, end_s, most)
            height, look = window_after(curves, shown), mark(kind, colour_of(row.series.look, "cwnd"))
            axes.plot(shown, height, **look, transform=above, zorder=5)


def _draw_inside(axes: Axes, kind: Kind, row: Row, scale: float) -> None:
    """Draw BBR's bandwidth estimate beside the goodput, if the row has a single flow."""
    repetition, colour = row.median(), row.series.look.colour
    if len(repetition.flows) != 1:
        return
    algorithm = inside(repetition.evaluated.trial, repetition.flows[0].flow)
    if kind == "goodput" and algorithm.bandwidth is not None:
        x, y = decimate(*algorithm.bandwidth, CURVE_BINS)
        axes.plot(x, y / scale, color=colour, linewidth=0.8, linestyle=ESTIMATE, alpha=0.9, zorder=3)


def _reference(axes: Axes, kind: Kind, rows: list[Row], scale: float) -> None:
    """Draw the base RTT below the smoothed RTT, or the capacity of the path above the goodput."""
    traced = [curves for row in rows for curves in row.median().curves()]
    if kind == "srtt":
        for times, base in _distinct([curves.base_rtt for curves in traced]):
            axes.plot(times, base, drawstyle="steps-post", **REFERENCE)
    elif kind == "goodput":
        for times, capacity in _distinct([curves.capacity for curves in traced if not curves.follows_file]):
            axes.plot(times, capacity / scale, drawstyle="steps-post", **REFERENCE)
        for times, capacity in _distinct([curves.capacity for curves in traced if curves.follows_file]):
            axes.fill_between(times, capacity / scale, step="post", **FILE)


def _distinct(curves: Sequence[Curve | None]) -> list[Curve]:
    """Return the different curves, at most :data:`MAX_REFERENCES`; points that change nothing are left out."""
    found: dict[tuple[tuple[float, float], ...], Curve] = {}
    for curve in curves:
        if curve is None or not len(curve[0]):
            continue
        times, values = curve
        kept = np.append(True, np.abs(np.diff(values)) > 1e-9 * values.max())
        kept[-1] = True
        points = times[kept], values[kept]
        # Flows may end at different times; the last point only ends the last step.
        key = tuple((round(x, 3), float(f"{y:.4g}")) for x, y in zip(*points, strict=True))[:-1]
        if key not in found or found[key][0][-1] < times[-1]:
            found[key] = points
    return list(found.values())[:MAX_REFERENCES]
