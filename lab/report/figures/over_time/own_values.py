# SPDX-License-Identifier: Apache-2.0
"""Figures of the values that algorithms of the user's own record over time, with a panel for each name."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter

from lab.analysis.series import decimate
from lab.evaluation.own_values import own_values
from lab.evaluation.trial import CURVE_BINS, Curve
from lab.report.figures.drawn import Drawn
from lab.report.figures.look.labels import cell_title
from lab.report.figures.look.settings import styled
from lab.report.figures.look.sizes import page_inches, panel_columns
from lab.report.figures.look.style import legend_columns
from lab.report.figures.over_time.marks import last_moment, shade_unmeasured
from lab.report.figures.over_time.panels import flow_colours, trial_of
from lab.report.model import Report, Row
from lab.words import listed

MAX_FIGURES = 6
"""Largest number of figures; the values of the remaining rows are only in the trials' files."""
MAX_NAMES = 12
"""Largest number of panels in a figure; further names are only in the trials' files."""
MAX_FLOWS = 6
"""Largest number of flows in a panel; further flows are only in the trials' files."""

_PANEL_INCHES = 1.5
_LARGE = 10_000
"""From this value on, the numbers of an axis have a prefix such as k or M."""

_Values = Mapping[str, Mapping[str, Curve]]
"""Name of a flow → name of a value → its curve."""


def own_value_figures(report: Report) -> Iterator[Drawn]:
    """Yield a figure for each row of results whose algorithm has recorded values, of its median repetition."""
    found = [(row, values) for row in report.rows if (values := _values_of(row))]
    for number, (row, values) in enumerate(found[:MAX_FIGURES], 1):
        name = f"own-values-{number}" if len(found) > 1 else "own-values"
        more = len(found) - MAX_FIGURES if number == MAX_FIGURES else 0
        with styled():
            yield _drawn(report, row, values, name, more)


def _values_of(row: Row) -> _Values:
    repetition = row.median()
    found = {flow.flow: own_values(repetition.evaluated.trial, flow.flow) for flow in repetition.flows}
    return {flow: values for flow, values in found.items() if values}


def _drawn(report: Report, row: Row, values: _Values, name: str, more: int) -> Drawn:
    names = list(dict.fromkeys(one for own in values.values() for one in own))
    shown, flows = names[:MAX_NAMES], list(values)[:MAX_FLOWS]
    columns = panel_columns(len(shown), 2, 3.0)
    lines = math.ceil(len(shown) / columns)
    figure = Figure(figsize=(page_inches(), _PANEL_INCHES * lines + 0.75), layout="constrained")
    ordered = [axes for line in figure.subplots(lines, columns, squeeze=False, sharex=True) for axes in line]
    colours = flow_colours(row, "cwnd", len(flows))
    end_s = last_moment(report)
    for place, axes in enumerate(ordered):
        if place >= len(shown):
            axes.set_visible(False)
            continue
        curves = [values[flow].get(shown[place]) for flow in flows]
        _draw_panel(axes, curves, colours, end_s)
        shade_unmeasured(axes, [row], end_s)
        axes.set_title(shown[place], loc="left")
        if place + columns >= len(shown):
            axes.set_xlabel("Time (s)")
            axes.tick_params(labelbottom=True)
    if len(flows) > 1:
        handles = [Line2D([], [], color=colour, label=flow) for flow, colour in zip(flows, colours, strict=True)]
        width = legend_columns(flows, figure.get_figwidth(), 6)
        figure.legend(handles=handles, loc="outside upper right", ncols=width, handlelength=2.2, columnspacing=1.4)
    return Drawn(name, figure, _caption(report, row, values, more), _alt(report, row, values, shown))


def _draw_panel(axes: Axes, curves: Sequence[Curve | None], colours: Sequence[str], end_s: float) -> None:
    low = high = 0.0
    for curve, colour in zip(curves, colours, strict=True):
        if curve is None:
            continue
        low, high = min(low, float(curve[1].min())), max(high, float(curve[1].max()))
        x, y = decimate(*curve, CURVE_BINS)
        axes.plot(x, y, color=colour, linewidth=0.9, drawstyle="steps-post", zorder=4)
    if max(-low, high) >= _LARGE:
        axes.yaxis.set_major_formatter(EngFormatter(sep=""))
    if low == 0:
        axes.set_ylim(bottom=0)
    axes.set_xlim(0, end_s * 1.01)


def _who(report: Report, row: Row) -> str:
    return ", ".join(filter(None, (row.series.label, cell_title(report, row.facet))))


def _caption(report: Report, row: Row, values: _Values, more: int) -> str:
    names = len({name for own in values.values() for name in own})
    sentences = [
        f"Values that the algorithm of {_who(report, row)} recorded with lab_trace at the sender, over time "
        f"({trial_of(row).id}). Each value holds until the next one."
    ]
    if names > MAX_NAMES:
        sentences.append(f"{names - MAX_NAMES} more names are in the trial's cc_trace.parquet.")
    if len(values) > MAX_FLOWS:
        sentences.append(f"{len(values) - MAX_FLOWS} more flows are in the trial's cc_trace.parquet.")
    if more:
        sentences.append(f"The values of {more} more rows of the results are in cc_trace.parquet of their trials.")
    return " ".join(sentences)


def _alt(report: Report, row: Row, values: _Values, names: Sequence[str]) -> str:
    ranges = []
    for name in names:
        all_values = np.concatenate([own[name][1] for own in values.values() if name in own])
        ranges.append(f"{name} from {all_values.min():.4g} to {all_values.max():.4g}")
    return f"Lines over time of values that the algorithm of {_who(report, row)} recorded: {listed(ranges)}."
