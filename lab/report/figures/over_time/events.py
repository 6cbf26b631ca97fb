# SPDX-License-Identifier: Apache-2.0
"""Figures of events: congestion window, retransmissions, drops and the bottleneck queue on a common time axis."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from lab.analysis.events import held_at, thinned
from lab.analysis.series import decimate
from lab.evaluation.collected import (
    QueueOccupancy,
    Seconds,
    bottleneck_queues,
    drops_at,
    flow_drops,
    inside,
    marked_arrivals,
    merged,
    recorded,
    retransmissions,
    stitched,
)
from lab.evaluation.trial import CURVE_BINS
from lab.report.event_names import DROPS, RETRANSMISSIONS
from lab.report.figures.drawn import Drawn
from lab.report.figures.look.settings import styled
from lab.report.figures.look.style import GREY, INK, PAGE_INCHES, shades
from lab.report.figures.over_time.envelope import dense_curves, draw_envelope
from lab.report.figures.over_time.marks import (
    HELD,
    SSTHRESH,
    WINDOW_MAX,
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
from lab.words import listed

MAX_FIGURES = 12
"""Largest number of figures; the remaining cells are not drawn."""

MANY_FLOWS = 8
"""With more flows than this, the curves are thinner and have fewer points."""
FAINT_BINS = 150
"""Number of bins to which the curves of many flows are reduced."""
TICK_BINS = 400
"""Largest number of ticks in a line of the strip of events; more could not be distinguished."""
MARK_BINS = 75
"""Largest number of markers of each kind on the curves of all columns of a figure."""

DROP_MARK: dict[str, Any] = {
    "color": INK,
    "linestyle": "none",
    "marker": "o",
    "markersize": 3.4,
    "markerfacecolor": "white",
    "markeredgewidth": 0.7,
}
"""Style of the marker for a dropped packet of the flow."""
MARK_LABEL = "ECN mark"
"""Label of the strip's line with the packets that arrived with the mark Congestion Experienced."""
_STRIP_INCHES = 0.125
"""Height of a line in the strip of events."""
_LIMIT: Any = {"color": GREY, "linewidth": 0.8, "linestyle": (0, (3, 2)), "zorder": 1}
"""Style of the limit of a queue."""
_QUEUE_DROPS: dict[str, dict[str, Any]] = {
    "queue_overflow": {"marker": "x", "markersize": 4, "markeredgewidth": 0.9},
    "aqm": {"marker": "D", "markersize": 3, "markeredgewidth": 0.8, "markerfacecolor": "white"},
}
"""Cause of a drop at the bottleneck queue → the style of its marker."""


def event_figures(report: Report) -> Iterator[Drawn]:
    """Yield the figures of the cells whose retransmissions, drops or queues were recorded.

    A figure has a column for each series.
    """
    pages = _pages(report)
    for number, rows in enumerate(pages[:MAX_FIGURES], 1):
        with styled():
            figure = _figure(report, rows)
        name = f"events-{number}" if len(pages) > 1 else "events"
        left_out = len(pages) - MAX_FIGURES if number == MAX_FIGURES else 0
        yield Drawn(name, figure, _caption(rows, left_out), _alt(report, rows))


def _pages(report: Report) -> list[list[Row]]:
    """Return the rows of each figure, which are drawn side by side.

    They are series of the same cell, or, if the experiment has only one series, two cells.
    """
    rows = [row for row in report.rows if row.median().curves() and _has_events(_trial(row))]
    if not rows:
        return []
    most = max(sum(row.facet == other.facet for other in rows) for row in rows)
    if most == 1:
        return [rows[first : first + 2] for first in range(0, len(rows), 2)]
    pages = []
    for facet in dict.fromkeys(row.facet for row in rows):
        in_facet = [row for row in rows if row.facet == facet]
        columns = 3 if len(in_facet) % 3 == 0 or len(in_facet) > 4 else 2
        pages += [in_facet[first : first + columns] for first in range(0, len(in_facet), columns)]
    return pages


def _has_events(trial: TrialResult) -> bool:
    return any(recorded(trial, collector) for collector in ("retrans", "drops", "queue"))


def _trial(row: Row) -> TrialResult:
    return row.median().evaluated.trial


def _flows(row: Row) -> list[str]:
    return [flow.flow for flow in row.median().flows]


def _figure(report: Report, rows: Sequence[Row]) -> Figure:
    strip = _strip_rows(rows)
    queues = [_queue(row) for row in rows]
    heights = [1.75]
    if strip:
        heights.append(_STRIP_INCHES * len(strip) + 0.02)
    if any(queues):
        heights.append(1.15)
    layout = ConstrainedLayoutEngine(h_pad=0.02, hspace=0.0)
    figure = Figure(figsize=(PAGE_INCHES, math.fsum(heights) + 0.85), layout=layout)
    grid = GridSpec(len(heights), len(rows), figure=figure, height_ratios=heights)
    end_s = last_moment(report)
    columns: list[list[Axes]] = []
    for column, (row, queue) in enumerate(zip(rows, queues, strict=True)):
        panels: list[Axes] = []
        for line in range(len(heights)):
            share_y = columns[0][line] if columns else None
            panels.append(figure.add_subplot(grid[line, column], sharex=panels[0] if panels else None, sharey=share_y))
        columns.append(panels)
        _draw_window(panels[0], row, end_s, MARK_BINS // len(rows))
        if strip:
            _draw_strip(panels[1], row, strip, end_s, labels=column == 0)
        if queue:
            _draw_queue(panels[-1], row, queue, end_s, MARK_BINS // len(rows), labels=column == len(rows) - 1)
        for axes in panels:
            shade_unmeasured(axes, [row], end_s)
        _finish(panels, end_s, first=column == 0, queue=any(queues))
        panels[0].set_title(_title(report, row), loc="left")
    for panels in columns:
        panels[0].set_ylim(bottom=0)
        if any(queues):
            panels[-1].set_ylim(bottom=0)
    figure.legend(
        handles=_handles(rows, queues), loc="outside upper right", ncols=6, handlelength=2.0, columnspacing=1.2
    )
    return figure


def _title(report: Report, row: Row) -> str:
    return ", ".join(filter(None, (row.series.label, report.facet_title(row.facet))))


def _finish(panels: Sequence[Axes], end_s: float, *, first: bool, queue: bool) -> None:
    for axes in panels[:-1]:
        axes.tick_params(labelbottom=False)
    if not first:
        for axes in panels:
            axes.tick_params(labelleft=False)
    else:
        panels[0].set_ylabel("Window (segments)")
        if queue:
            panels[-1].set_ylabel("Queue (packets)")
    panels[0].set_xlim(0, end_s * 1.01)
    panels[-1].set_xlabel("Time (s)")


# --- the window --------------------------------------------------------------------------------------------


def _draw_window(axes: Axes, row: Row, end_s: float, most_marks: int) -> None:
    median, colour = row.median(), row.series.look.colour
    draw_bands(axes, row)
    curves = median.curves()
    dense = dense_curves(row, "cwnd", end_s)
    if len(curves) > 1:
        many = len(curves) > MANY_FLOWS
        colours = [colour] * len(curves) if many else shades(colour, len(curves))
        for flow, whole, own in zip(curves, dense, colours, strict=True):
            if whole is not None and not many:
                draw_envelope(axes, whole, 1.0, own)
                continue
            x, y = decimate(*flow.cwnd, FAINT_BINS) if many else flow.cwnd
            width, alpha = (0.5, 0.5) if many else (0.8, 0.8)
            axes.plot(x, y, color=own, linewidth=width, alpha=alpha, zorder=4, **HELD)
        return
    (only,) = curves
    if dense[0] is not None:
        draw_envelope(axes, dense[0], 1.0, colour)
    else:
        axes.plot(*only.cwnd, color=colour, linewidth=0.9, zorder=4, **HELD)
    if only.ssthresh is not None:
        axes.plot(*only.ssthresh, color=colour, linewidth=0.8, linestyle=SSTHRESH, alpha=0.8, zorder=3, **HELD)
    algorithm = inside(_trial(row), _flows(row)[0])
    if algorithm.window_max is not None:
        x, y = decimate(*algorithm.window_max, CURVE_BINS)
        axes.plot(x, y, color=GREY, linewidth=0.8, linestyle=WINDOW_MAX, zorder=3, **HELD)
    shown = thinned(_lost(row), end_s, most_marks)
    axes.plot(shown, window_after(only, shown), **DROP_MARK, zorder=5)
    for kind, times in retransmissions(_trial(row), _flows(row)[0]).items():
        shown = thinned(times, end_s, most_marks)
        axes.plot(shown, window_after(only, shown), **mark(kind), zorder=6)


def _lost(row: Row) -> Seconds:
    """Return the times at which packets of a row's single flow were dropped for one of the causes in :data:`DROPS`.

    Packets that arrived after their socket was closed are not among them.
    """
    drops = flow_drops(_trial(row), _flows(row)[0])
    return np.sort(np.concatenate([np.zeros(0), *(times for cause, times in drops.items() if cause in DROPS)]))


# --- the strip of events -----------------------------------------------------------------------------------


def _events(row: Row) -> dict[str, Seconds]:
    """Return the times of all retransmissions, drops and ECN marks of a row's flows, by label."""
    trial, flows = _trial(row), _flows(row)
    retransmitted = merged(*(retransmissions(trial, flow) for flow in flows))
    dropped = merged(*(flow_drops(trial, flow) for flow in flows))
    times = {label: retransmitted[kind] for kind, label in RETRANSMISSIONS.items() if kind in retransmitted}
    times |= {label: dropped[cause] for cause, label in DROPS.items() if cause in dropped}
    marks = merged(*({MARK_LABEL: marked_arrivals(trial, flow)} for flow in flows))
    return times | {label: found for label, found in marks.items() if len(found)}


def _strip_rows(rows: Sequence[Row]) -> list[str]:
    """Return the labels of the strip's lines: all kinds of events in any column, in a fixed order."""
    found = {label for row in rows for label in _events(row)}
    return [label for label in (*RETRANSMISSIONS.values(), *DROPS.values(), MARK_LABEL) if label in found]


def _draw_strip(axes: Axes, row: Row, strip: Sequence[str], end_s: float, *, labels: bool) -> None:
    events = _events(row)
    for line, label in enumerate(strip):
        times = events.get(label, np.zeros(0))
        shown = thinned(times, end_s, TICK_BINS)
        axes.vlines(shown, line - 0.36, line + 0.36, color=INK, linewidth=0.55, zorder=3)
        axes.annotate(
            f"{len(times):,}",
            (1, line),
            xycoords=axes.get_yaxis_transform(),
            xytext=(3, 0),
            textcoords="offset points",
            fontsize=6.5,
            color=GREY,
            va="center",
            annotation_clip=False,
        )
        if line:
            axes.axhline(line - 0.5, color="#e6e6e6", linewidth=0.5, zorder=1)
    axes.grid(axis="y", visible=False)
    axes.set_yticks(range(len(strip)), strip, fontsize=6.5)
    axes.tick_params(axis="y", length=0, labelleft=labels)
    axes.tick_params(axis="x", length=0)
    axes.set_ylim(len(strip) - 0.5, -0.5)
    axes.spines["left"].set_visible(False)


# --- the queue ---------------------------------------------------------------------------------------------


def _queue(row: Row) -> tuple[QueueOccupancy, ...]:
    queues = bottleneck_queues(_trial(row), _flows(row)[0])
    return queues if any(len(queue.seconds) for queue in queues) else ()


def _draw_queue(
    axes: Axes, row: Row, queues: Sequence[QueueOccupancy], end_s: float, most_marks: int, *, labels: bool
) -> None:
    seconds, packets = stitched(queues)
    x, y = decimate(np.append(seconds, end_s), np.append(packets, packets[-1:]), CURVE_BINS)
    # The queue holds the packets of all flows, so it does not have the colour of an algorithm.
    axes.fill_between(x, y, step="post", color="#b9b9b9", linewidth=0, zorder=2)
    axes.plot(x, y, color="#777777", linewidth=0.5, drawstyle="steps-post", zorder=3)
    last = max(until for queue in queues for _since, until in queue.is_bottleneck)
    for queue in queues:
        _draw_limit(axes, queue, max(packets.max(), 1))
        for cause, times in drops_at(_trial(row), queue.node, queue.interface).items():
            if cause in _QUEUE_DROPS:
                # Packets are still dropped while connections are closed.
                inside = [
                    times[(times >= since) & (times < (np.inf if until == last else until))]
                    for since, until in queue.is_bottleneck
                ]
                shown = thinned(np.concatenate([np.zeros(0), *inside]), end_s, most_marks)
                height = held_at(seconds, packets, shown)
                axes.plot(shown, height, color=INK, linestyle="none", zorder=5, **_QUEUE_DROPS[cause])
    if len(queues) > 1:
        return
    (queue,) = queues
    full = queue.full_packet_ms
    if full is None:
        return

    def to_ms(number: Any) -> Any:
        return number * full

    def to_packets(milliseconds: Any) -> Any:
        return milliseconds / full

    other = axes.secondary_yaxis("right", functions=(to_ms, to_packets))
    other.spines["right"].set_visible(labels)
    other.tick_params(axis="y", labelright=labels, right=labels)
    if labels:
        other.set_ylabel("Delay (ms)")


def _draw_limit(axes: Axes, queue: QueueOccupancy, most_packets: float) -> None:
    """Draw the limit of a queue while its link is the bottleneck, unless it is far above what was in the queue."""
    if queue.limit is None:
        return
    times, limits = queue.limit
    for since, until in queue.is_bottleneck:
        edges = np.array([since, *times[(times > since) & (times < until)], until])
        heights = held_at(times, limits, edges[:-1], before=limits[0])
        if heights.min() < 3 * most_packets:
            heights = np.append(heights, heights[-1])
            axes.plot(edges, heights, drawstyle="steps-post", **_LIMIT)


# --- legend and caption ------------------------------------------------------------------------------------


def _handles(rows: Sequence[Row], queues: Sequence[tuple[QueueOccupancy, ...]]) -> list[Artist]:
    handles: list[Artist] = []
    alone = [row for row in rows if len(row.median().curves()) == 1]
    if any(row.median().curves()[0].ssthresh is not None for row in alone):
        handles.append(Line2D([], [], color=GREY, linewidth=0.8, linestyle=SSTHRESH, label="ssthresh"))
    algorithms = [inside(_trial(row), _flows(row)[0]) for row in alone]
    if any(algorithm.window_max is not None for algorithm in algorithms):
        handles.append(Line2D([], [], color=GREY, linewidth=0.8, linestyle=WINDOW_MAX, label="CUBIC's W_max"))
    kinds = {kind for row in alone for kind in retransmissions(_trial(row), _flows(row)[0])}
    handles += [Line2D([], [], **mark(kind), label=label) for kind, label in RETRANSMISSIONS.items() if kind in kinds]
    if any(len(_lost(row)) for row in alone):
        handles.append(Line2D([], [], **DROP_MARK, label="packet dropped"))
    causes = {
        cause
        for row, found in zip(rows, queues, strict=True)
        for queue in found
        for cause in drops_at(_trial(row), queue.node, queue.interface)
    }
    for cause, style in _QUEUE_DROPS.items():
        if cause in causes:
            handles.append(Line2D([], [], color=INK, linestyle="none", label=DROPS[cause], **style))
    if any(queue.limit is not None for found in queues for queue in found):
        handles.append(Line2D([], [], color=GREY, linewidth=0.8, linestyle=(0, (3, 2)), label="queue limit"))
    handles += band_handles({span.name for algorithm in algorithms for span in algorithm.modes})
    return handles + unmeasured_handles([row] for row in rows)


def _caption(rows: Sequence[Row], left_out: int) -> str:
    trials = list(dict.fromkeys(_trial(row).id for row in rows))
    which = "each the repetition" if len(trials) > 1 else "the repetition"
    parts = [f"Events in {listed(trials)}, {which} with the median goodput of its cell."]
    parts.append("Top: congestion window.")
    if any(_events(row) for row in rows):
        parts.append(
            "Middle: a tick for each retransmission, each drop and each ECN mark of the flows' packets, and their "
            "number at the right. Ticks that would overlap are left out."
        )
    moves = any(len(_queue(row)) > 1 for row in rows)
    if any(_queue(row) for row in rows):
        parts.append(
            "Bottom: the bottleneck queue in the direction of the data, with the packets of all flows. The scale at "
            "the right, for links with a constant rate, is the time to send as many full-sized packets."
            + (" Where the bottleneck moves to another link, it is the queue of this link." if moves else "")
        )
    parts.append(
        "Markers on the curves: events of each kind, of which those that would overlap are left out."
        f"{unmeasured_caption([[row] for row in rows])}"
    )
    if left_out > 0:
        parts.append(f"{left_out} more figures of this kind are left out.")
    return " ".join(parts)


def _alt(report: Report, rows: Sequence[Row]) -> str:
    """Return a text that says what the figure shows to somebody who does not see it."""
    parts = []
    for row in rows:
        windows = [curves.cwnd[1] for curves in row.median().curves()]
        low, high = min(float(one.min()) for one in windows), max(float(one.max()) for one in windows)
        said = [f"window from {low:.0f} to {high:.0f} segments"]
        said += [f"{len(times):,} times {label}" for label, times in _events(row).items()]
        queues = [float(queue.packets.max()) for queue in _queue(row) if len(queue.packets)]
        said += [f"queue up to {max(queues):.0f} packets"] if queues else []
        parts.append(f"{_title(report, row)}: {listed(said)}")
    return (
        f"Congestion window, events and bottleneck queue over time, from 0 to {last_moment(report):.4g} s, side by "
        f"side on the same axes. {'; '.join(parts)}."
    )
