# SPDX-License-Identifier: Apache-2.0
"""The colours, markers and labels that figures over time have in common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from numpy.typing import NDArray

from lab.analysis.ack_samples import Floats
from lab.analysis.events import Span
from lab.evaluation.collected import inside
from lab.evaluation.trial import FlowCurves
from lab.report.figures.look.style import INK
from lab.report.model import Report, Row
from lab.report.windows import unmeasured

BANDS = {"Startup": "#f4e3d7", "Drain": "#dfe8d8", "ProbeRTT": "#cfcfcf"}
"""Colours of the bands behind BBR's curve.  ProbeBW, in which BBR spends most of its time, has no band."""

SSTHRESH: Any = (0, (1, 1.5))
"""Line style of ssthresh."""
WINDOW_MAX: Any = (0, (5, 2))
"""Line style of CUBIC's W_max."""

HELD: Any = {"drawstyle": "steps-pre"}
"""How to draw the window and what depends on it: the values of a row were in force since the row before."""

MARKERS: dict[str, dict[str, Any]] = {
    "fast": {"marker": "v", "markersize": 3.4, "markeredgewidth": 0},
    "timeout": {"marker": "x", "markersize": 5, "markeredgewidth": 1.1},
    "tlp": {"marker": "P", "markersize": 4.6, "markeredgewidth": 0},
}
"""Kind of a retransmission → its marker."""
OTHER_MARKER: dict[str, Any] = {"marker": ".", "markersize": 4, "markeredgewidth": 0}
"""Marker of all other kinds of retransmissions."""


def last_moment(report: Report) -> float:
    """Return the end of the time axis in seconds.  All figures have the same, so that they can be compared."""
    traced = [float(curves.cwnd[0][-1]) for row in report.rows for curves in row.median().curves()]
    return max([max(job["duration_ns"] for job in report.jobs) / 1e9, *traced])


def window_after(curves: FlowCurves, times: NDArray[Any]) -> Floats:
    """Return the congestion window that a flow has after the events at *times*, in seconds.

    A retransmission and the row of its timeout have the same cause, but not always the same nanosecond.
    """
    seconds, window = curves.cwnd
    place = np.searchsorted(seconds, np.asarray(times, dtype=np.float64) + 1e-4, side="left")
    found: Floats = window[np.minimum(place, len(window) - 1)]
    return found


def draw_bands(axes: Axes, row: Row) -> set[str]:
    """Shade BBR's modes behind the curve of a row with a single flow; return the names of the shaded modes."""
    repetition = row.median()
    if len(repetition.flows) != 1:
        return set()
    shown: list[Span] = [
        span for span in inside(repetition.evaluated.trial, repetition.flows[0].flow).modes if span.name in BANDS
    ]
    for span in shown:
        axes.axvspan(span.start, span.end, color=BANDS[span.name], linewidth=0, zorder=0)
    return {span.name for span in shown}


UNMEASURED = "#efefef"
"""Colour of the parts of the time axis that are not in the measured window."""


def shade_unmeasured(axes: Axes, rows: Sequence[Row], end_s: float) -> None:
    """Shade the parts of the time axis, which ends at *end_s*, in which no flow of *rows* is measured."""
    for start, end in unmeasured(rows, end_s):
        axes.axvspan(start, end, color=UNMEASURED, linewidth=0, zorder=-1)


def unmeasured_handles(panels: Iterable[Sequence[Row]]) -> list[Patch]:
    """Return the legend entry for what :func:`shade_unmeasured` shades in *panels*; none if that is nothing."""
    is_shaded = any(unmeasured(rows, 0.0) for rows in panels)
    return [Patch(color=UNMEASURED, label="not measured")] if is_shaded else []


def unmeasured_caption(panels: Iterable[Sequence[Row]]) -> str:
    """Return a sentence, with a space before it, about what is shaded in *panels*; empty if nothing is."""
    if not unmeasured_handles(panels):
        return ""
    return " Light grey background: outside of the measured window."


def band_handles(names: set[str]) -> list[Patch]:
    """Return the legend entries for the bands of BBR's modes *names*."""
    return [Patch(color=colour, label=f"BBR {mode}") for mode, colour in BANDS.items() if mode in names]


def mark(kind: str, colour: str = INK) -> dict[str, Any]:
    """Return the style of the marker for a retransmission of *kind*."""
    return {"color": colour, "linestyle": "none", **MARKERS.get(kind, OTHER_MARKER)}
