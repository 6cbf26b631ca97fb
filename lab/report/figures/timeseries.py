# SPDX-License-Identifier: Apache-2.0
"""Figures over time: congestion window, smoothed RTT and goodput."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation

from lab.analysis.events import Span, thinned
from lab.analysis.path import flow_path
from lab.analysis.series import decimate
from lab.evaluation.collected import inside, retransmissions
from lab.evaluation.trial import CURVE_BINS, Curve, FlowCurves
from lab.job.network import rate_steps
from lab.report.figures.drawn import (
    BANDS,
    RETRANSMISSIONS,
    SSTHRESH,
    Drawn,
    band_handles,
    draw_bands,
    last_moment,
    mark,
    shade_unmeasured,
    unmeasured_caption,
    unmeasured_handles,
)
from lab.report.figures.settings import styled
from lab.report.figures.style import GREY, PAGE_INCHES, Look, legend_columns
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

_Y_LABEL: dict[Kind, str] = {
    "cwnd": "Congestion window (segments)",
    "srtt": "Smoothed RTT (ms)",
    "goodput": "Goodput (Mbit/s)",
}


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
        and len({flow.bottleneck_bps for row in report.rows for item in row.used for flow in item.flows}) == 1
    )
    panels = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=share_y)
    ordered = [axes for line in panels for axes in line]
    end_s = last_moment(report)
    for axes, facet in zip(ordered, facets, strict=False):
        rows = list(facet.rows)
        for row in rows:
            _draw_row(axes, kind, row, alone=len(rows) == 1)
            _draw_inside(axes, kind, row)
            if kind == "cwnd":
                _draw_marks(axes, row, end_s)
                draw_bands(axes, row)
        _reference(axes, kind, rows)
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
            axes.set_ylabel(_Y_LABEL[kind])
        if place + columns >= len(facets):
            axes.set_xlabel("Time (s)")
            axes.tick_params(labelbottom=True)
    _legend(figure, report, kind, facets)
    return figure


def _draw_row(axes: Axes, kind: Kind, row: Row, *, alone: bool) -> None:
    look, median = row.series.look, row.median()
    colour = _colour(look, kind)
    others = [item for item in row.used if item is not median][:MAX_FAINT]
    for repetition in others:
        for curves in repetition.curves():
            x, y = decimate(*_curve(curves, kind), FAINT_BINS)
            axes.plot(x, y, color=colour, linewidth=0.5, alpha=0.3, zorder=2, **_held(kind))
    for curves in median.curves():
        x, y = _curve(curves, kind)
        axes.plot(
            x,
            y,
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
    """Return how to draw the curve: the window of a row was in force since the row before, so its curve has steps."""
    return {"drawstyle": "steps-pre"} if kind == "cwnd" else {}


def _draw_marks(axes: Axes, row: Row, end_s: float) -> None:
    """Mark retransmissions just above the curve of the congestion window."""
    above = axes.transData + ScaledTranslation(0, 3.5 / 72, axes.figure.dpi_scale_trans)
    for flow, curves in _marked(row):
        for kind, times in retransmissions(_trial(row), flow).items():
            shown = thinned(times, end_s, MARK_BINS)
            height = np.interp(shown, *curves.cwnd)
            axes.plot(shown, height, **mark(kind, _colour(row.series.look, "cwnd")), transform=above, zorder=5)


def _draw_inside(axes: Axes, kind: Kind, row: Row) -> None:
    """Draw BBR's bandwidth estimate beside the goodput, if the row has a single flow."""
    repetition, colour = row.median(), row.series.look.colour
    if len(repetition.flows) != 1:
        return
    algorithm = inside(repetition.evaluated.trial, repetition.flows[0].flow)
    if kind == "goodput" and algorithm.bandwidth is not None:
        x, y = decimate(*algorithm.bandwidth, CURVE_BINS)
        axes.plot(x, y, color=colour, linewidth=0.8, linestyle=ESTIMATE, alpha=0.9, zorder=3)


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


def _reference(axes: Axes, kind: Kind, rows: list[Row]) -> None:
    style: Any = {"color": GREY, "linewidth": 0.8, "linestyle": (0, (3, 2)), "zorder": 1}
    flows = [flow for row in rows for item in row.used for flow in item.flows]
    if kind == "srtt":
        levels = {round(flow.base_rtt_us / 1000, 3) for flow in flows if flow.base_rtt_us}
        for level in sorted(levels)[:3]:
            axes.axhline(level, **style)
    elif kind == "goodput":
        changing = {steps for row in rows for steps in _rates(row) if len(steps) > 1}
        for steps in sorted(changing)[:3]:
            ceiling = flows[0].ceiling / 1e6
            times = [at_ns / 1e9 for at_ns, _rate in steps]
            end_s = max(item.evaluated.trial.job["duration_ns"] for row in rows for item in row.used) / 1e9
            heights = [rate * ceiling for _at, rate in steps]
            axes.plot([*times, end_s], [*heights, heights[-1]], drawstyle="steps-post", **style)
        if not changing:
            for level in sorted({flow.bottleneck_bps * flow.ceiling / 1e6 for flow in flows if flow.bottleneck_bps})[
                :3
            ]:
                axes.axhline(level, **style)


def _rates(row: Row) -> Iterator[tuple[tuple[int, int], ...]]:
    """Yield the steps of the declared rate of each flow's bottleneck: (time in nanoseconds, rate in bit/s)."""
    trial = _trial(row)
    for flow in row.median().flows:
        asked = next(item for item in trial.job["flows"] if item["name"] == flow.flow)
        hop = flow_path(trial.job, asked).bottleneck
        yield tuple(rate_steps(hop.direction)) if hop else ()


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
    if kind == "srtt":
        handles.append(Line2D([], [], color=GREY, linewidth=0.8, linestyle=(0, (3, 2)), label="base RTT"))
    if kind == "goodput":
        handles.append(
            Line2D([], [], color=GREY, linewidth=0.8, linestyle=(0, (3, 2)), label="link capacity (payload)")
        )
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
        "cwnd": "Congestion window over time, read from the kernel at each ACK; it stays as it is between two ACKs. "
        "Dotted: slow-start threshold (ssthresh), while it is finite, for algorithms that use it. Each panel has its "
        "own scale."
        f"{_marks_caption(report)}",
        "srtt": "Smoothed RTT over time, read from the kernel at each ACK. Dashed grey: base RTT; what is above it is "
        "queueing delay.",
        "goodput": f"Goodput over time: payload that arrived at the receiver, in bins of {_bin_seconds(report)} s. "
        "Dashed grey: link capacity (payload), the link's rate minus all headers."
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


def _estimate_caption(report: Report) -> str:
    estimated = any(_estimated(row) for row in report.rows)
    return " Dotted: BBR's own estimate of the bottleneck bandwidth." if estimated else ""


def _estimated(row: Row) -> bool:
    flows = row.median().flows
    return len(flows) == 1 and inside(_trial(row), flows[0].flow).bandwidth is not None


def _bin_seconds(report: Report) -> str:
    widths = {curves.bin_s for row in report.rows for item in row.used for curves in item.curves()}
    return " to ".join(f"{width:g}" for width in sorted({min(widths), max(widths)})) if widths else "0.1"
