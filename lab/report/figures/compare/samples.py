# SPDX-License-Identifier: Apache-2.0
"""What distributions are made of: requests of probes, short flows, and values over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lab.analysis.ack_samples import Floats
from lab.evaluation.repetition import Repetition
from lab.evaluation.trial import COMPLETIONS, LATENCY
from lab.report.cells import cells_with
from lab.report.figures.compare.cell_looks import cell_looks
from lab.report.figures.compare.crowded import by_algorithm
from lab.report.figures.compare.distributions import MAX_CELLS, MAX_PANELS, Panel
from lab.report.figures.look.labels import cell_title, where_label
from lab.report.figures.over_time.curves import QUANTITIES, Kind, curves_of
from lab.report.model import Report
from lab.report.tables import completions, latency

PROBES = 2000
"""Number of times, at equal distances, at which the values over time of a flow are taken."""


@dataclass(frozen=True)
class Samples:
    """The values of which a figure shows the distributions."""

    panels: list[Panel]
    curves: list[Panel]
    """The same, but with a panel for each algorithm if one would have too many curves."""
    styles: list[dict[str, Any]]
    """Colour and dashes of the lines of each panel."""
    label: str
    """Label of the axis of the values."""
    share: str
    """Label of the axis of the shares."""
    caption: str
    is_delay: bool


def samples(report: Report, of: str) -> Samples | None:
    """Return the samples of ``latency``, ``completions`` or a quantity over time; None if there are none."""
    if of in ("latency", "completions"):
        return _events(report, of)
    return _over_time(report, of)  # type: ignore[arg-type]


def _events(report: Report, of: str) -> Samples | None:
    cells = cells_with(report, [LATENCY if of == "latency" else COMPLETIONS])
    shown = list(cells.items())[:MAX_CELLS]
    labels = [where_label(report, where) for where, _trials in shown]
    if of == "latency":
        names = [probe["name"] for trials in cells.values() for probe in trials[0].job["probes"]]
        read = [(name, [latency.of_cell(trials, name) for _where, trials in shown]) for name in dict.fromkeys(names)]
        texts = ("Round-trip time (ms)", "Share of requests")
        caption = "Round-trip times of the probes' requests, over all repetitions. Unanswered requests are left out."
    else:
        names = [name for trials in cells.values() for name in completions.groups_of(trials[0])]
        read = [
            (name, [completions.milliseconds(completions.of_cell(trials, name)) for _where, trials in shown])
            for name in dict.fromkeys(names)
        ]
        texts = ("Flow completion time (ms)", "Share of flows")
        caption = "Completion times of short flows, over all repetitions. Unfinished flows are left out."
    panels = [Panel(name, list(zip(labels, values, strict=True))) for name, values in read[:MAX_PANELS]]
    if not panels:
        return None
    styles = cell_looks(report, dict(shown))
    curves = by_algorithm(report, [where for where, _trials in shown], panels, styles)
    return Samples(panels, curves, styles, *texts, caption, is_delay=True)


def _over_time(report: Report, kind: Kind) -> Samples | None:
    quantity = QUANTITIES[kind]
    unit, scale = report.rate_unit if quantity.is_rate else ("", 1)
    panels = []
    for facet in report.facets[:MAX_PANELS]:
        rows = {row.series: row for row in report.rows_of(facet)}
        lines = []
        for series in report.series:
            values = [_held(item, kind) / scale for item in rows[series].used] if series in rows else []
            lines.append((series.label, np.concatenate(values) if values else np.zeros(0)))
        if any(len(values) for _label, values in lines):
            panels.append(Panel(cell_title(report, facet), lines))
    if not panels:
        return None
    styles = [{"color": series.look.colour, "linestyle": series.look.dashes} for series in report.series]
    caption = (
        f"{quantity.text} over time: the share of the time for which it had these values, over all flows and "
        "repetitions, each flow's first to last value."
    )
    return Samples(panels, panels, styles, quantity.label(unit), "Share of time", caption, is_delay=kind == "srtt")


def _held(repetition: Repetition, kind: Kind) -> Floats:
    """Return the values of a repetition's curves at equal distances of time."""
    side = "left" if QUANTITIES[kind].held.get("drawstyle") == "steps-pre" else "right"
    found = []
    for x, y in curves_of(repetition, kind):
        if len(x) > 1:
            times = np.linspace(x[0], x[-1], PROBES)
            place = np.searchsorted(x, times, side=side) - (side == "right")  # type: ignore[call-overload]
            found.append(y[np.clip(place, 0, len(y) - 1)])
    return np.concatenate(found) if found else np.zeros(0)


def all_values(found: Sequence[Panel]) -> Floats:
    """Return all values of the panels that are above zero."""
    values = np.concatenate([np.zeros(0), *(values for panel in found for _label, values in panel.lines)])
    positive: Floats = values[values > 0]
    return positive
