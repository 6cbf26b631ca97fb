# SPDX-License-Identifier: Apache-2.0
"""Figures over time: congestion window, round-trip time, goodput."""

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
from matplotlib.patches import Patch
from numpy.typing import NDArray

from lab.analysis.series import decimate
from lab.report.evaluate import CURVE_BINS, Curve, FlowCurves
from lab.report.kernel import bottleneck_queue, modes, retransmissions
from lab.report.model import Report, Row
from lab.report.style import GREY, PAGE_INCHES, styled
from lab.store import TrialResult

MAX_PANELS = 6
FAINT_BINS = 150
MAX_FAINT = 6
"""More repetitions than this would only make a grey cloud."""

Kind = Literal["cwnd", "queue", "srtt", "goodput"]


@dataclass(frozen=True)
class Drawn:
    """A finished figure."""

    name: str
    figure: Figure
    caption: str


MARK_BINS = 120

_MARKERS = {"fast": "|", "timeout": "x", "tlp": "+"}
_OTHER = "."
_MARK_LABELS = {
    "fast": "fast retransmit",
    "timeout": "timeout",
    "tlp": "tail loss probe",
    "synack": "SYN-ACK again",
    "other": "other retransmission",
}
_BANDS = {"Startup": "#f4e3d7", "Drain": "#dfe8d8", "ProbeRTT": "#cfcfcf"}
"""Behind BBR's curve; ProbeBW, the mode of most of the time, has none."""

_Y_LABEL: dict[Kind, str] = {
    "cwnd": "Congestion window (segments)",
    "queue": "Queue (packets)",
    "srtt": "Smoothed RTT (ms)",
    "goodput": "Goodput (Mbit/s)",
}


def time_figures(report: Report) -> Iterator[Drawn]:
    """Yield the figures over time, at most :data:`MAX_PANELS` panels each; nothing when no flow was traced."""
    facets = [facet for facet in report.facets if any(row.median().curves() for row in report.rows_of(facet))]
    kinds: tuple[Kind, ...] = ("cwnd", "queue", "srtt", "goodput")
    for kind in kinds:
        if kind == "queue" and all(bottleneck_queue(_trial(row)) is None for row in report.rows):
            continue
        for first in range(0, len(facets), MAX_PANELS):
            part = facets[first : first + MAX_PANELS]
            number = f"-{first // MAX_PANELS + 1}" if len(facets) > MAX_PANELS else ""
            with styled():
                figure = _figure(report, kind, part)
            yield Drawn(f"{kind}{number}", figure, _caption(report, kind))


def _figure(report: Report, kind: Kind, facets: list[tuple[str, ...]]) -> Figure:
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
    for axes, facet in zip(ordered, facets, strict=False):
        rows = report.rows_of(facet)
        for row in rows:
            _draw_row(axes, kind, row)
            if kind == "cwnd":
                _draw_marks(axes, row)
        _reference(axes, kind, rows)
        title = report.facet_title(facet)
        if rows and all(row.verdict == "invalid" for row in rows):
            title += "  (invalid)"
        axes.set_title(title, loc="left")
    # After all is drawn: it ends autoscaling, of shared axes too.
    # All figures have the same axis of time, so that they can be read one below the other.
    end_s = max(job["duration_ns"] for job in report.jobs) / 1e9
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


def _draw_row(axes: Axes, kind: Kind, row: Row) -> None:
    look, median = row.series.look, row.median()
    if kind == "queue":
        queue = bottleneck_queue(_trial(row))
        if queue is not None:
            x, y = decimate(*queue, CURVE_BINS)
            axes.plot(x, y, color=look.colour, linewidth=0.8, drawstyle="steps-post", zorder=4)
        return
    others = [item for item in row.used if item is not median][:MAX_FAINT]
    for repetition in others:
        for curves in repetition.curves():
            x, y = decimate(*_curve(curves, kind), FAINT_BINS)
            axes.plot(x, y, color=look.colour, linewidth=0.5, alpha=0.3, zorder=2)
    for curves in median.curves():
        x, y = _curve(curves, kind)
        axes.plot(x, y, color=look.colour, linewidth=0.9, linestyle=_dense(look.dashes, kind), zorder=4)
        if kind == "cwnd" and curves.ssthresh is not None:
            axes.plot(*curves.ssthresh, color=look.colour, linewidth=0.8, linestyle=(0, (1, 1.5)), alpha=0.8, zorder=3)


def _draw_marks(axes: Axes, row: Row) -> None:
    """Retransmissions on the curve of the window, and BBR's modes behind it."""
    median, colour = row.median(), row.series.look.colour
    for flow in median.flows:
        curves = median.evaluated.curves.get(flow.flow)
        if curves is None:
            continue
        seconds, cwnd = curves.cwnd
        for kind, times in retransmissions(_trial(row), flow.flow).items():
            shown = _thinned(times)
            marker = _MARKERS.get(kind, _OTHER)
            height = np.interp(shown, seconds, cwnd)
            axes.plot(shown, height, marker, color=colour, markersize=6, markeredgewidth=1, zorder=5)
    if len(median.flows) == 1:
        for span in modes(_trial(row), median.flows[0].flow):
            if span.mode in _BANDS:
                axes.axvspan(span.start, span.end, color=_BANDS[span.mode], linewidth=0, zorder=0)


def _thinned(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """At most one mark in every :data:`MARK_BINS`-th of the time: more would run together."""
    if not len(times):
        return times
    width = max(float(times[-1] - times[0]), 1e-9) / MARK_BINS
    _bins, first = np.unique(((times - times[0]) / width).astype(np.int64), return_index=True)
    return times[first]


def _trial(row: Row) -> TrialResult:
    return row.median().evaluated.trial


def _dense(dashes: Any, kind: Kind) -> Any:
    """Return the line style: a curve with a point per pixel must be solid, or its extrema fall into the gaps."""
    return dashes if kind == "goodput" else "solid"


def _curve(curves: FlowCurves, kind: Kind) -> Curve:
    found: Curve = getattr(curves, kind)
    return found


def _reference(axes: Axes, kind: Kind, rows: list[Row]) -> None:
    flows = [flow for row in rows for item in row.used for flow in item.flows]
    if kind == "srtt":
        levels = {round(flow.base_rtt_us / 1000, 3) for flow in flows if flow.base_rtt_us}
    elif kind == "goodput":
        levels = {flow.bottleneck_bps * flow.ceiling / 1e6 for flow in flows if flow.bottleneck_bps}
    else:
        return
    for level in sorted(levels)[:3]:
        axes.axhline(level, color=GREY, linewidth=0.8, linestyle=(0, (3, 2)), zorder=1)


def _legend(figure: Figure, report: Report, kind: Kind, facets: list[tuple[str, ...]]) -> None:
    rows = [row for facet in facets for row in report.rows_of(facet)]
    handles: list[Artist] = [
        Line2D([], [], color=series.look.colour, linestyle=_dense(series.look.dashes, kind), label=series.label)
        for series in report.series
        if any(row.series == series for row in rows)
    ]
    if kind == "cwnd" and any(curves.ssthresh for row in rows for curves in row.median().curves()):
        handles.append(Line2D([], [], color=GREY, linewidth=0.8, linestyle=(0, (1, 1.5)), label="ssthresh"))
    if kind == "cwnd":
        handles += _mark_handles(rows)
    if kind == "srtt":
        handles.append(Line2D([], [], color=GREY, linewidth=0.8, linestyle=(0, (3, 2)), label="base RTT"))
    if kind == "goodput":
        handles.append(
            Line2D([], [], color=GREY, linewidth=0.8, linestyle=(0, (3, 2)), label="most the link can carry")
        )
    columns = min(len(handles), 6)
    figure.legend(handles=handles, loc="outside upper right", ncols=columns, handlelength=2.2, columnspacing=1.4)


def _mark_handles(rows: list[Row]) -> list[Artist]:
    """What marks and bands mean, of those that there are."""
    kinds: set[str] = set()
    names: set[str] = set()
    for row in rows:
        for flow in row.median().flows:
            kinds |= retransmissions(_trial(row), flow.flow).keys()
            names |= {span.mode for span in modes(_trial(row), flow.flow)} if len(row.median().flows) == 1 else set()
    marks: list[Artist] = [
        Line2D([], [], color=GREY, linestyle="none", marker=_MARKERS.get(kind, _OTHER), markersize=6, label=label)
        for kind, label in _MARK_LABELS.items()
        if kind in kinds
    ]
    return marks + [Patch(color=colour, label=f"BBR {mode}") for mode, colour in _BANDS.items() if mode in names]


def _caption(report: Report, kind: Kind) -> str:
    what = {
        "cwnd": "Congestion window over time, from the kernel at every ACK. Dotted: slow-start threshold, where it is "
        "finite and the algorithm uses it. Panels have their own scales. Marks, where they were recorded, are "
        "retransmissions, thinned where they would run together; shaded are BBR's modes but for ProbeBW.",
        "queue": "The bottleneck's queue in the direction of the data, from the kernel whenever it changes: the "
        "repetition with the median goodput.",
        "srtt": "Smoothed round-trip time over time, from the kernel at every ACK. What is above the dashed line is "
        "queueing.",
        "goodput": f"Delivered payload (acknowledged to the sender) in bins of {_bin_seconds(report)} s. Dashed: the "
        "link's rate less headers.",
    }[kind]
    most = max((len(row.used) for row in report.rows), default=1)
    repeated = " Bold: the repetition with the median goodput; faint: the others." if most > 1 else ""
    return what + repeated


def _bin_seconds(report: Report) -> str:
    widths = {curves.bin_s for row in report.rows for item in row.used for curves in item.curves()}
    return " to ".join(f"{width:g}" for width in sorted({min(widths), max(widths)})) if widths else "0.1"
