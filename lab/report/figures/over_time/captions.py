# SPDX-License-Identifier: Apache-2.0
"""Legends and captions of the figures over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from lab.analysis.events import Span
from lab.evaluation.collected import inside, retransmissions
from lab.report.event_names import RETRANSMISSIONS
from lab.report.figures.look.style import GREY, legend_columns
from lab.report.figures.over_time.curves import QUANTITIES, Kind, curves_of
from lab.report.figures.over_time.envelope import dense_curves
from lab.report.figures.over_time.marks import (
    BANDS,
    SSTHRESH,
    band_handles,
    last_moment,
    mark,
    unmeasured_caption,
    unmeasured_handles,
)
from lab.report.figures.over_time.panels import (
    MAX_FAINT,
    Panel,
    Shared,
    colour_of,
    dashes_of,
    has_shades,
    has_titles_for_series,
    is_direct,
    marked,
    trial_of,
)
from lab.report.model import Report, Row

ESTIMATE: Any = (0, (1, 1.2))
"""Line style of BBR's bandwidth estimate."""
REFERENCE: Any = {"color": GREY, "linewidth": 0.8, "linestyle": (0, (3, 2)), "zorder": 1}
"""Style of the base RTT, and of a capacity that is constant or follows a schedule."""
FAIR: Any = {"color": GREY, "linewidth": 0.9, "linestyle": (0, (1, 1)), "zorder": 1.5}
"""Style of the fair share."""
FILE: Any = {"color": "#e2e2e2", "linewidth": 0, "zorder": 0.5}
"""Style of the area below the capacity of a capacity file."""


def add_legend(figure: Figure, report: Report, kind: Kind, facets: Sequence[Panel], *, fair: bool) -> None:
    """Add the legend above the panels.  If a panel has labels beside its lines, series are not listed."""
    rows = [row for facet in facets for row in facet.rows]
    handles: list[Artist] = [
        Line2D(
            [],
            [],
            color=colour_of(series.look, kind),
            linestyle=dashes_of(series.look, kind),
            label=series.label,
        )
        for series in report.series
        if not (is_direct(facets, kind) or has_titles_for_series(facets))
        and any(row.series == series and curves_of(row.median(), kind) for row in rows)
    ]
    if kind == "cwnd" and any(_has_threshold(row, last_moment(report)) for row in rows):
        handles.append(Line2D([], [], color=GREY, linewidth=0.8, linestyle=SSTHRESH, label="ssthresh"))
    if kind == "cwnd":
        handles += _mark_handles(rows)
    traced = [curves for row in rows for curves in row.median().curves()]
    if kind == "srtt" and any(curves.base_rtt is not None for curves in traced):
        handles.append(Line2D([], [], label="base RTT", **REFERENCE))
    if kind == "goodput" and any(curves.capacity is not None and not curves.follows_file for curves in traced):
        handles.append(Line2D([], [], label="link capacity (payload)", **REFERENCE))
    if kind == "goodput" and any(curves.follows_file for curves in traced):
        handles.append(Patch(label="link capacity (payload)", **FILE))
    if kind == "goodput" and any(_estimated(row) for row in rows):
        handles.append(Line2D([], [], color=GREY, linewidth=0.8, linestyle=ESTIMATE, label="BBR's bandwidth estimate"))
    if fair:
        handles.append(Line2D([], [], label="fair share", **FAIR))
    handles += unmeasured_handles(facet.rows for facet in facets)
    columns = legend_columns([str(handle.get_label()) for handle in handles], figure.get_figwidth(), 6)
    if not handles:
        return
    figure.legend(handles=handles, loc="outside upper right", ncols=columns, handlelength=2.2, columnspacing=1.4)


def _has_threshold(row: Row, end_s: float) -> bool:
    """Return whether ssthresh is drawn for some flow of a row; it is not if the window is drawn as an envelope."""
    pairs = zip(row.median().curves(), dense_curves(row, "cwnd", end_s), strict=True)
    return any(flow.ssthresh is not None and whole is None for flow, whole in pairs)


def _mark_handles(rows: Sequence[Row]) -> list[Artist]:
    """Return the legend entries for the markers and bands that appear in the figure."""
    kinds = {kind for row in rows for flow, _curves in marked(row) for kind in retransmissions(trial_of(row), flow)}
    marks: list[Artist] = [
        Line2D([], [], **mark(kind, GREY), label=label) for kind, label in RETRANSMISSIONS.items() if kind in kinds
    ]
    return [*marks, *band_handles({span.name for row in rows for span in _modes(row)})]


def _modes(row: Row) -> tuple[Span, ...]:
    flows = row.median().flows
    return inside(trial_of(row), flows[0].flow).modes if len(flows) == 1 else ()


def caption(report: Report, kind: Kind, panels: Sequence[Panel], *, fair: bool, shared: Shared) -> str:
    """Return the caption of a figure over time."""
    window = "read from the kernel at each ACK and at each timeout; in between, it stays as it is."
    what = {
        "cwnd": f"Congestion window over time, {window} Dotted: slow-start threshold (ssthresh), while it is finite, "
        f"for algorithms that use it.{_marks_caption(report)}",
        "srtt": "Smoothed RTT over time, read from the kernel at each ACK. Dashed grey: base RTT, the lowest that the "
        "path can have at that time. The smoothed RTT takes some round trips to follow a change of it.",
        "goodput": f"Goodput over time: payload that arrived at the receiver, in bins of {_bin_seconds(report)} s. "
        f"{_capacity_caption(report)}"
        f"{_estimate_caption(report)}",
        "queue": "Mean number of packets in the queue of the bottleneck over time, in the bins of the kernel's counts, "
        "with the packets of all flows.",
        "pacing_rate": f"Pacing rate of the sender's socket over time, {window}",
        "in_flight": f"Segments in flight over time (tcp_packets_in_flight() in the kernel), {window}",
    }[kind]
    parts = [what.rstrip(), unmeasured_caption(panel.rows for panel in panels).strip()]
    if fair:
        parts.append("Dotted grey: fair share, the capacity divided by the number of flows that run.")
    if len(panels) > 1 and shared != "all":
        which = {"row": "The panels of each row share", "col": "The panels of each column share"}
        parts.append(f"{which.get(shared, 'Each panel has')} a scale of {'their' if shared in which else 'its'} own.")
    if has_shades(panels):
        parts.append("Shades from dark to light: the flows of a series, in the order in which they start.")
    if _has_envelope(report, kind, panels):
        parts.append(
            "Pale areas with a line: the extremes and the median of a curve that swings too often for the figure."
        )
    return " ".join([*filter(None, parts), *_repetitions(report, panels)])


def _repetitions(report: Report, panels: Sequence[Panel]) -> list[str]:
    most = max((len(row.used) for row in report.rows), default=1)
    if most == 1:
        return []
    if has_shades(panels):
        return ["Lines: the repetition with the median goodput."]
    faint = "other repetitions" if most - 1 <= MAX_FAINT else f"up to {MAX_FAINT} other repetitions"
    return [f"Strong lines: the repetition with the median goodput; faint lines: {faint}."]


def _has_envelope(report: Report, kind: Kind, panels: Sequence[Panel]) -> bool:
    end_s = last_moment(report)
    found = [curve for panel in panels for row in panel.rows for curve in dense_curves(row, kind, end_s)]
    return any(curve is not None for curve in found)


def alt(report: Report, kind: Kind, panels: Sequence[Panel]) -> str:
    """Return a text that says what the figure shows to somebody who does not see it."""
    quantity = QUANTITIES[kind]
    unit, scale = report.rate_unit if quantity.is_rate else ("", 1)
    parts = []
    for series in report.series:
        rows = [row for panel in panels for row in panel.rows if row.series == series]
        values = [y / scale for row in rows for _x, y in curves_of(row.median(), kind) if len(y)]
        if values:
            parts.append(f"{series.label}: {min(y.min() for y in values):.3g} to {max(y.max() for y in values):.3g}")
    titles = "; ".join(panel.title for panel in panels if panel.title)
    in_panels = f", in {len(panels)} panels ({titles})" if len(panels) > 1 else ""
    return f"{quantity.label(unit)} over time, from 0 to {last_moment(report):.4g} s{in_panels}. {'; '.join(parts)}."


def _marks_caption(report: Report) -> str:
    found = any(retransmissions(trial_of(row), flow) for row in report.rows for flow, _curves in marked(row))
    marks = " Markers: retransmissions, of which those that would overlap are left out." if found else ""
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
    return len(flows) == 1 and inside(trial_of(row), flows[0].flow).bandwidth is not None


def _bin_seconds(report: Report) -> str:
    widths = {curves.bin_s for row in report.rows for item in row.used for curves in item.curves()}
    return " to ".join(f"{width:g}" for width in sorted({min(widths), max(widths)})) if widths else "0.1"
