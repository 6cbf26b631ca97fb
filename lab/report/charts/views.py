# SPDX-License-Identifier: Apache-2.0
"""What the page's charts show: a view for each cell, with the curves of all series of the cell on common axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lab.evaluation.repetition import Repetition
from lab.evaluation.traces import traced
from lab.evaluation.trial import CURVE_BINS, Curve, FlowCurves
from lab.report.charts.flows import queue_lines, sampled, samples_of
from lab.report.charts.line import TICK_S, Line, points
from lab.report.charts.marks import Marks, marks_of
from lab.report.event_names import MAX_MARKED
from lab.report.figures.look.style import GREY, Look
from lab.report.model import Report, Row
from lab.report.windows import unmeasured

MAX_POINTS = 400_000
"""Largest number of points of all curves of a page, which keeps its charts below about 3 MB."""
MOST_BINS = 1500
"""Largest number of bins of a curve."""
LEAST_BINS = 60
"""Smallest number of bins of a curve."""
MAX_FLOWS = 12
"""Largest number of flows of a series that are drawn; more could not be told apart."""
_POINTS_IN_BIN = 4
_SOLID = ("cwnd", "in_flight", "srtt", "pacing_rate", "queue")
"""The charts whose lines have a point in each bin, and therefore no dashes."""


@dataclass(frozen=True)
class Charts:
    """All that the page's charts show."""

    end_s: float
    """End of the time axis, in seconds."""
    bins: int
    """Number of bins from each of which at most four points of a curve remain."""
    views: tuple[dict[str, Any], ...]
    kinds: tuple[dict[str, Any], ...]
    """Title, unit and number of decimals of each chart."""
    many_flows: bool
    """Whether some flows are left out."""

    @property
    def bin_ms(self) -> float:
        """Width of a bin, in milliseconds."""
        return self.end_s / self.bins * 1e3

    def as_json(self) -> dict[str, Any]:
        """Return what the page's script reads."""
        return {"end": self.end_s, "tick": TICK_S, "grey": GREY, "charts": self.kinds, "views": self.views}


def charts_of(report: Report) -> Charts | None:
    """Return the charts of *report*; None if no flow was traced."""
    rows = [row for row in report.rows if row.median().curves()]
    if not rows:
        return None
    bins = _bins(rows)
    facets = list(dict.fromkeys(row.facet for row in rows))
    views = [_view(report, [row for row in rows if row.facet == facet], bins) for facet in facets]
    drawn = {line["chart"] for view in views for line in view["lines"]}
    kinds = (
        {"id": "cwnd", "title": "Congestion window", "unit": "segments", "digits": 0},
        {"id": "in_flight", "title": "In flight", "unit": "segments", "digits": 0},
        {"id": "srtt", "title": "Smoothed RTT", "unit": "ms", "digits": 2},
        {"id": "goodput", "title": "Goodput", "unit": report.rate_unit[0], "digits": 3},
        {"id": "pacing_rate", "title": "Pacing rate", "unit": report.rate_unit[0], "digits": 3},
        {"id": "queue", "title": "Bottleneck queue", "unit": "packets", "digits": 1},
    )
    shown = tuple(kind for kind in kinds if kind["id"] in drawn)
    many = any(len(row.median().flows) > MAX_FLOWS for row in rows)
    return Charts(_end_s(report, rows), bins, tuple(views), shown, many)


def _bins(rows: list[Row]) -> int:
    """Return the number of bins with which the curves of *rows* have at most :data:`MAX_POINTS` points."""
    # Window, smoothed RTT, what is in flight, pacing rate and queue have as many points as remain in the bins; other
    # curves have few.
    curves = sum(4 * len(row.median().curves()[:MAX_FLOWS]) + 1 for row in rows)
    return max(LEAST_BINS, min(MOST_BINS, MAX_POINTS // (_POINTS_IN_BIN * curves)))


def _end_s(report: Report, rows: list[Row]) -> float:
    traced = [float(curves.cwnd[0][-1]) for row in rows for curves in row.median().curves()]
    return max([max(job["duration_ns"] for job in report.jobs) / 1e9, *traced])


def shown_repetitions(rows: list[Row]) -> list[Repetition]:
    """Return the repetition of each row that the charts show: the one with the median goodput.

    Flows that ran together are shown together: of rows of the same trials, the first one chooses for all of them.
    """
    chosen: dict[tuple[str, ...], str] = {}
    found = []
    for row in rows:
        trials = tuple(item.evaluated.trial.id for item in row.used)
        trial = chosen.setdefault(trials, row.median().evaluated.trial.id)
        found.append(row.used[trials.index(trial)])
    return found


def _view(report: Report, rows: list[Row], bins: int) -> dict[str, Any]:
    shown = shown_repetitions(rows)
    lines = [line for place, item in enumerate(shown) for line in _flow_lines(report, item, place, bins)]
    lines += _queues(shown, bins)
    lines += _references(report, shown)
    return {
        "title": report.facet_title(rows[0].facet),
        "series": [_series(row, item) for row, item in zip(rows, shown, strict=True)],
        "unmeasured": unmeasured(rows, _end_s(report, rows)),
        "lines": [line.as_json() for line in lines],
        "marks": [marks.as_json() for marks in _marks(shown, _end_s(report, rows), bins)],
    }


def _series(row: Row, shown: Repetition) -> dict[str, Any]:
    look = row.series.look
    return {
        "label": row.series.label,
        # As in the other figures: dashes only where curves have few points.
        "colours": {"goodput": look.colour} | dict.fromkeys(_SOLID, look.solid_colour),
        "dash": _dashes(look),
        "trial": shown.evaluated.trial.id,
    }


def _dashes(look: Look) -> list[float]:
    """Return the lengths of dashes and gaps, in line widths; empty for a solid line."""
    return [] if look.dashes == "solid" else list(look.dashes[1])


def _names(repetition: Repetition) -> list[str]:
    """Return the names of those flows that are drawn."""
    return [flow.flow for flow in repetition.flows if flow.flow in repetition.evaluated.curves][:MAX_FLOWS]


def _marks(shown: list[Repetition], end_s: float, bins: int) -> list[Marks]:
    """Return the marks on the windows of those series that have few flows."""
    return [
        marks
        for place, item in enumerate(shown)
        if len(names := _names(item)) <= MAX_MARKED
        for name in names
        for marks in marks_of(item.evaluated.trial, name, place, name if len(names) > 1 else "", end_s, bins)
    ]


def _flow_lines(report: Report, repetition: Repetition, place: int, bins: int) -> list[Line]:
    evaluated = repetition.evaluated
    names = _names(repetition)
    lines = []
    for name in names:
        curves = evaluated.curves[name]
        shown = name if len(names) > 1 else ""
        ticks, values = points(_detailed(repetition, name, curves, "cwnd", bins), bins, 0)
        lines.append(Line("cwnd", place, shown, "before", ticks, values))
        if curves.ssthresh is not None and len(curves.ssthresh[0]):
            ticks, values = points(_detailed(repetition, name, curves, "ssthresh", bins), bins, 0)
            lines.append(Line("cwnd", place, f"{shown} ssthresh".strip(), "before", ticks, values, minor=True))
        ticks, values = points(_detailed(repetition, name, curves, "srtt", bins), bins, 2)
        lines.append(Line("srtt", place, shown, "none", ticks, values))
        ticks, values = points(curves.goodput, bins, 3, report.rate_unit[1])
        lines.append(Line("goodput", place, shown, "after", ticks, values))
        for chart, digits, scale in (("in_flight", 0, 1), ("pacing_rate", 3, report.rate_unit[1])):
            ticks, values = points(traced(evaluated.trial, name, chart), bins, digits, scale)
            lines.append(Line(chart, place, shown, "before", ticks, values))
    return [line for line in lines if line.ticks]


def _detailed(repetition: Repetition, flow: str, curves: FlowCurves, chart: str, bins: int) -> Curve:
    """Return a curve with enough points for *bins*: those of the figures, or all that were recorded."""
    if bins <= CURVE_BINS:
        found: Curve = getattr(curves, chart)
        return found
    return sampled(samples_of(repetition.evaluated.trial)[flow], chart)


def _queues(shown: list[Repetition], bins: int) -> list[Line]:
    """Return the queues of the trials.  A queue has the colour of a series if no other series shares it."""
    sharing: dict[str, list[int]] = {}
    for place, repetition in enumerate(shown):
        sharing.setdefault(repetition.evaluated.trial.id, []).append(place)
    lines: list[Line] = []
    for places in sharing.values():
        flows = tuple(flow.flow for place in places for flow in shown[place].flows)
        series = places[0] if len(places) == 1 else None
        lines += queue_lines(shown[places[0]].evaluated.trial, flows, series, bins)
    return lines


def _references(report: Report, shown: list[Repetition]) -> list[Line]:
    """Return the base RTT and the capacity of the paths, each distinct one once."""
    found: dict[tuple[str, tuple[float, ...]], Line] = {}
    for repetition in shown:
        for curves in repetition.curves():
            for chart, name, curve, digits, scale in (
                ("srtt", "base RTT", curves.base_rtt, 2, 1.0),
                ("goodput", "link capacity (payload)", curves.capacity, 3, float(report.rate_unit[1])),
            ):
                if curve is not None and len(curve[0]):
                    ticks, values = points(curve, len(curve[0]), digits, scale)
                    line = Line(chart, None, name, "after", ticks, values)
                    key = (chart, tuple(np.unique(values).tolist()))
                    if key not in found or found[key].ticks[-1] < ticks[-1]:
                        found[key] = line
    return list(found.values())
