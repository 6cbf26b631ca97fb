# SPDX-License-Identifier: Apache-2.0
"""Figures over time: congestion window, smoothed RTT and goodput."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.transforms import ScaledTranslation

from lab.analysis.events import Span, thinned
from lab.analysis.series import decimate
from lab.evaluation.collected import inside, retransmissions
from lab.evaluation.trial import CURVE_BINS, Curve, FlowCurves
from lab.report.figures.drawn import Drawn
from lab.report.figures.look.settings import styled
from lab.report.figures.look.style import GREY, PAGE_INCHES, Look, legend_columns
from lab.report.figures.over_time.marks import (
    BANDS,
    HELD,
    RETRANSMISSIONS,
    SSTHRESH,
    band_handles,
    draw_bands,
    last_moment,
    mark,
    shade_unmeasured,
    unmeasured_caption,
    unmeasured_handles,
    window_after,
)
from lab.report.model import Report, Row
from lab.store.trial import TrialResult

MAX_PANELS = 6
"""Largest number of panels in a figure."""
FAINT_BINS = 150
"""Number of bins to which faint curves are reduced."""
MAX_FAINT = 6
"""Largest number of repetitions that are drawn faintly; more would only make a grey cloud."""

Kind = Literal["cwnd", "srtt", "goodput"]
"""The quantity that a figure shows."""


MARK_BINS = 90
"""Largest number of markers of each kind on a curve."""
MAX_MARKED = 4
"""If a row has more flows than this, their curves have no markers, because they could not be distinguished."""

ESTIMATE: Any = (0, (1, 1.2))
"""Line style of BBR's bandwidth estimate."""

_REFERENCE: Any = {"color": GREY, "linewidth": 0.8, "linestyle": (0, (3, 2)), "zorder": 1}
"""Style of the base RTT, and of a capacity that is constant or follows a schedule."""
_FILE: Any = {"color": "#e2e2e2", "linewidth": 0, "zorder": 0.5}
"""Style of the area below the capacity of a capacity file."""
MAX_REFERENCES = 3
"""Largest number of base RTTs or capacities in a panel."""


def _y_label(kind: Kind, unit: str) -> str:
    return {
        "cwnd": "Congestion window (segments)",
        "srtt": "Smoothed RTT (ms)",
        "goodput": f"Goodput ({unit})",
    }[kind]


def time_figures(report: Report) -> Iterator[Drawn]:
    """Yield the figures over time, with at most :data:`MAX_PANELS` panels each; none if no flow was traced."""
    panels = _panels(report)
    kinds: tuple[Kind, ...] = ("cwnd", "srtt", "goodput")
    for kind in kinds:
        for first in range(0, len(panels), MAX_PANELS):
            part = panels[first : first + MAX_PANELS]
            number = f"-{first // MAX_PANELS + 1}" if len(panels) > MAX_PANELS else ""
            with styled():
                figure = _figure(report, kind, part)
            yield Drawn(f"{kind}{number}", figure, _caption(report, kind, part))


@dataclass(frozen=True)
class Panel:
    """The rows that are drawn on the same axes."""

    title: str
    rows: tuple[Row, ...]


def _panels(report: Report) -> list[Panel]:
    """Return a panel for each facet, or, if a series has several flows, for each series of each facet."""
    traced = [row for row in report.rows if row.median().curves()]
    many = any(len(row.median().flows) > 1 for row in traced)
    panels = []
    for facet in dict.fromkeys(row.facet for row in traced):
        rows = [row for row in report.rows_of(facet) if row.median().curves()]
        title = report.facet_title(facet)
        if many and len(rows) > 1:
            panels += [Panel(", ".join(filter(None, (row.series.label, title))), (row,)) for row in rows]
        else:
            panels.append(Panel(title, tuple(report.rows_of(facet))))
    return panels


def _figure(report: Report, kind: Kind, facets: list[Panel]) -> Figure:
    columns = min(3, len(facets)) if len(facets) != 4 else 2
    lines = math.ceil(len(facets) / columns)
    height = 2.5 if lines == 1 and columns <= 2 else 2.15
    figure = Figure(figsize=(PAGE_INCHES, height * lines + 0.25), layout="constrained")
    share_y = (
        kind != "cwnd"
        and len({f"{flow.bottleneck_bps or 0:.2g}" for row in report.rows for item in row.used for flow in item.flows})
        == 1
    )
    unit, scale = report.rate_unit if kind == "goodput" else ("", 1)
    panels = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=share_y)
    ordered = [axes for line in panels for axes in line]
    end_s = last_moment(report)
    for axes, facet in zip(ordered, facets, strict=False):
        rows = list(facet.rows)
        for row in rows:
            _draw_row(axes, kind, row, scale, alone=len(rows) == 1)
            _draw_inside(axes, kind, row, scale)
            if kind == "cwnd":
                _draw_marks(axes, row, end_s)
                draw_bands(axes, row)
        _reference(axes, kind, rows, scale)
        shade_unmeasured(axes, rows, end_s)
        title = facet.title
        if rows and all(row.verdict == "invalid" for row in rows):
            title += "  (invalid)"
        axes.set_title(title, loc="left")
    # Setting a limit ends autoscaling, of shared axes too, so it must come after everything is drawn.
    for axes in ordered[: len(facets)]:
        axes.set_ylim(bottom=0)
        axes.set_xlim(0, end_s * 1.01)
    for axes in ordered[len(facets) :]:
        axes.set_visible(False)
    for place, axes in enumerate(ordered[: len(facets)]):
        if place % columns == 0:
            axes.set_ylabel(_y_label(kind, unit))
        if place + columns >= len(facets):
            axes.set_xlabel("Time (s)")
            axes.tick_params(labelbottom=True)
    _legend(figure, report, kind, facets)
    return figure


def _draw_row(axes: Axes, kind: Kind, row: Row, scale: float, *, alone: bool) -> None:
    look, median = row.series.look, row.median()
    colour = _colour(look, kind)
    others = [item for item in row.used if item is not median][:MAX_FAINT]
    for repetition in others:
        for curves in repetition.curves():
            x, y = decimate(*_curve(curves, kind), FAINT_BINS)
            axes.plot(x, y / scale, color=colour, linewidth=0.5, alpha=0.3, zorder=2, **_held(kind))
    for curves in median.curves():
        x, y = _curve(curves, kind)
        axes.plot(
            x,
            y / scale,
            color=colour,
            linewidth=0.9,
            linestyle="solid" if alone else _dense(look.dashes, kind),
            zorder=4,
            **_held(kind),
        )
        if kind == "cwnd" and curves.ssthresh is not None:
            axes.plot(
                *curves.ssthresh, color=colour, linewidth=0.8, linestyle=SSTHRESH, alpha=0.8, zorder=3, **_held(kind)
            )


def _held(kind: Kind) -> dict[str, Any]:
    """Return how to draw the curve: with steps if each value was in force for some time."""
    if kind == "srtt":
        return {}
    return dict(HELD) if kind == "cwnd" else {"drawstyle": "steps-post"}


def _draw_marks(axes: Axes, row: Row, end_s: float) -> None:
    """Mark retransmissions just above the curve of the congestion window."""
    above = axes.transData + ScaledTranslation(0, 3.5 / 72, axes.figure.dpi_scale_trans)
    for flow, curves in _marked(row):
        for kind, times in retransmissions(_trial(row), flow).items():
            shown = thinned(times, end_s, MARK_BINS)
            height, look = window_after(curves, shown), mark(kind, _colour(row.series.look, "cwnd"))
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


def _marked(row: Row) -> list[tuple[str, FlowCurves]]:
    """Return the flows whose retransmissions are marked on their curves, and these curves."""
    repetition = row.median()
    if len(repetition.flows) > MAX_MARKED:
        return []
    curves = repetition.evaluated.curves
    return [(flow.flow, curves[flow.flow]) for flow in repetition.flows if flow.flow in curves]


def _trial(row: Row) -> TrialResult:
    return row.median().evaluated.trial


def _colour(look: Look, kind: Kind) -> str:
    """Return the colour of a curve: where all curves are solid, series of the same colour have different tints."""
    return look.colour if kind == "goodput" else look.solid_colour


def _dense(dashes: Any, kind: Kind) -> Any:
    """Return the line style of a curve: *dashes* for goodput, and otherwise solid.

    The other curves have a point for each pixel, so gaps between dashes would hide their extrema.
    """
    return dashes if kind == "goodput" else "solid"


def _curve(curves: FlowCurves, kind: Kind) -> Curve:
    found: Curve = getattr(curves, kind)
    return found


def _reference(axes: Axes, kind: Kind, rows: list[Row], scale: float) -> None:
    """Draw the base RTT below the smoothed RTT, or the capacity of the path above the goodput."""
    traced = [curves for row in rows for curves in row.median().curves()]
    if kind == "srtt":
        for times, base in _distinct([curves.base_rtt for curves in traced]):
            axes.plot(times, base, drawstyle="steps-post", **_REFERENCE)
    elif kind == "goodput":
        for times, capacity in _distinct([curves.capacity for curves in traced if not curves.follows_file]):
            axes.plot(times, capacity / scale, drawstyle="steps-post", **_REFERENCE)
        for times, capacity in _distinct([curves.capacity for curves in traced if curves.follows_file]):
            axes.fill_between(times, capacity / scale, step="post", **_FILE)


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


def _legend(figure: Figure, report: Report, kind: Kind, facets: list[Panel]) -> None:
    rows = [row for facet in facets for row in facet.rows]
    handles: list[Artist] = [
        Line2D(
            [],
            [],
            color=_colour(series.look, kind),
            linestyle=_dense(series.look.dashes, kind),
            label=series.label,
        )
        for series in report.series
        if any(row.series == series and row.median().curves() for row in rows)
    ]
    if kind == "cwnd" and any(curves.ssthresh for row in rows for curves in row.median().curves()):
        handles.append(Line2D([], [], color=GREY, linewidth=0.8, linestyle=SSTHRESH, label="ssthresh"))
    if kind == "cwnd":
        handles += _mark_handles(rows)
    traced = [curves for row in rows for curves in row.median().curves()]
    if kind == "srtt" and any(curves.base_rtt is not None for curves in traced):
        handles.append(Line2D([], [], label="base RTT", **_REFERENCE))
    if kind == "goodput" and any(curves.capacity is not None and not curves.follows_file for curves in traced):
        handles.append(Line2D([], [], label="link capacity (payload)", **_REFERENCE))
    if kind == "goodput" and any(curves.follows_file for curves in traced):
        handles.append(Patch(label="link capacity (payload)", **_FILE))
    if kind == "goodput" and any(_estimated(row) for row in rows):
        handles.append(Line2D([], [], color=GREY, linewidth=0.8, linestyle=ESTIMATE, label="BBR's bandwidth estimate"))
    handles += unmeasured_handles(facet.rows for facet in facets)
    columns = legend_columns([str(handle.get_label()) for handle in handles], figure.get_figwidth(), 6)
    figure.legend(handles=handles, loc="outside upper right", ncols=columns, handlelength=2.2, columnspacing=1.4)


def _mark_handles(rows: list[Row]) -> list[Artist]:
    """Return the legend entries for the markers and bands that appear in the figure."""
    kinds = {kind for row in rows for flow, _curves in _marked(row) for kind in retransmissions(_trial(row), flow)}
    marks: list[Artist] = [
        Line2D([], [], **mark(kind, GREY), label=label) for kind, label in RETRANSMISSIONS.items() if kind in kinds
    ]
    return [*marks, *band_handles({span.name for row in rows for span in _modes(row)})]


def _modes(row: Row) -> tuple[Span, ...]:
    flows = row.median().flows
    return inside(_trial(row), flows[0].flow).modes if len(flows) == 1 else ()


def _caption(report: Report, kind: Kind, panels: list[Panel]) -> str:
    what = {
        "cwnd": "Congestion window over time, read from the kernel at each ACK and at each timeout; in between, it "
        "stays as it is. "
        "Dotted: slow-start threshold (ssthresh), while it is finite, for algorithms that use it. Each panel has its "
        "own scale."
        f"{_marks_caption(report)}",
        "srtt": "Smoothed RTT over time, read from the kernel at each ACK. Dashed grey: base RTT, the lowest that the "
        "path can have at that time. The smoothed RTT takes some round trips to follow a change of it.",
        "goodput": f"Goodput over time: payload that arrived at the receiver, in bins of {_bin_seconds(report)} s. "
        f"{_capacity_caption(report)}"
        f"{_estimate_caption(report)}",
    }[kind] + unmeasured_caption(panel.rows for panel in panels)
    most = max((len(row.used) for row in report.rows), default=1)
    if most == 1:
        return what
    faint = "other repetitions" if most - 1 <= MAX_FAINT else f"up to {MAX_FAINT} other repetitions"
    return f"{what} Strong lines: the repetition with the median goodput; faint lines: {faint}."


def _marks_caption(report: Report) -> str:
    marked = any(retransmissions(_trial(row), flow) for row in report.rows for flow, _curves in _marked(row))
    marks = f" Markers: retransmissions, at most {MARK_BINS} of each kind on a curve." if marked else ""
    shaded = any(span.name in BANDS for row in report.rows for span in _modes(row))
    return marks + (" Shaded: BBR is in Startup, Drain or ProbeRTT, not in ProbeBW." if shaded else "")


def _capacity_caption(report: Report) -> str:
    traced = [curves for row in report.rows for curves in row.median().curves()]
    parts = []
    if any(curves.capacity is not None and not curves.follows_file for curves in traced):
        parts.append("Dashed grey: link capacity (payload), the link's rate minus all headers.")
    if any(curves.follows_file for curves in traced):
        parts.append(
            "Grey area: link capacity (payload) in the same bins, which is what the opportunities of the capacity file "
            "can carry, minus all headers."
        )
    return " ".join(parts)


def _estimate_caption(report: Report) -> str:
    estimated = any(_estimated(row) for row in report.rows)
    return " Dotted: BBR's own estimate of the bottleneck bandwidth, which can be wrong." if estimated else ""


def _estimated(row: Row) -> bool:
    flows = row.median().flows
    return len(flows) == 1 and inside(_trial(row), flows[0].flow).bandwidth is not None


def _bin_seconds(report: Report) -> str:
    widths = {curves.bin_s for row in report.rows for item in row.used for curves in item.curves()}
    return " to ".join(f"{width:g}" for width in sorted({min(widths), max(widths)})) if widths else "0.1"
