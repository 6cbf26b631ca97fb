# SPDX-License-Identifier: Apache-2.0
"""Texts in the place of figures, for readers who do not see them: what is compared over what, and in which range."""

from __future__ import annotations

from collections.abc import Callable

from lab.analysis.ack_samples import Floats
from lab.evaluation.repetition import Measure
from lab.evaluation.trial import FlowCurves
from lab.report.figures.picture import Picture
from lab.report.model import Report
from lab.units import format_duration
from lab.words import listed

_MOST_NAMED = 6
"""Largest number of values of an axis that are listed; of more, the first and the last are named."""


def alt_text(report: Report, picture: Picture) -> str:
    """Return the text for one figure of *report*.

    Figures that this module does not know are described by what the report compares.
    """
    kind = picture.name.rstrip("0123456789").rstrip("-")
    describe = _KINDS.get(kind) or (_against if kind.startswith("goodput-vs-") else None)
    if describe is None:
        describe = _SECTIONS.get(picture.section, _comparison)
    return describe(report, picture)


def _topology(report: Report, _picture: Picture) -> str:
    nodes = {node["name"]: node for job in report.jobs for node in job["nodes"]}
    hosts = [name for name, node in nodes.items() if node["role"] == "host"]
    others = [name for name in nodes if name not in hosts]
    middle = f", connected by {listed(others)}" if others else ""
    return f"Diagram of the network: the hosts {listed(hosts)}{middle}, with the rate, delay and queue of each link."


def _cwnd(report: Report, picture: Picture) -> str:
    return _over_time(report, picture, "the congestion window", lambda curves: curves.cwnd[1], 1, "segments", 0)


def _srtt(report: Report, picture: Picture) -> str:
    return _over_time(report, picture, "the smoothed RTT", lambda curves: curves.srtt[1], 1, "ms", 1)


def _goodput(report: Report, picture: Picture) -> str:
    unit, scale = report.rate_unit
    return _over_time(report, picture, "the goodput", lambda curves: curves.goodput[1], scale, unit, 1)


def _over_time(
    report: Report,
    picture: Picture,
    what: str,
    values: Callable[[FlowCurves], Floats],
    scale: float,
    unit: str,
    digits: int,
) -> str:
    """Return what is compared over time, and the range of each series over all panels."""
    ranges = []
    for series in report.series:
        rows = [row for row in report.rows if row.series == series]
        found = [values(curves) for row in rows for curves in row.median().curves()]
        known = [one / scale for one in found if len(one)]
        if known:
            low, high = min(one.min() for one in known), max(one.max() for one in known)
            ranges.append(f"{series.label} from {low:,.{digits}f} to {high:,.{digits}f} {unit}")
    until = _end(report)
    number = picture.name.rpartition("-")[2]
    part = f", part {number}," if number.isdigit() else ""
    over = f"from 0 to {until}{_panels(report)}"
    return f"Line charts{part} of {what} of {_series(report)} {over}. Range: {'; '.join(ranges)}."


def _against(report: Report, _picture: Picture) -> str:
    return f"Chart of the mean goodput of {_series(report)} against {_axes(report)}. {_goodputs(report)}"


def _by_cell(report: Report, _picture: Picture) -> str:
    over = f" for each value of {_axes(report)}" if report.facet_axes else ""
    return f"Chart of the goodput of {_series(report)}{over}. {_goodputs(report)}"


def _power(report: Report, _picture: Picture) -> str:
    delays = _range(report, lambda row: None if row.srtt_mean_us is None else row.srtt_mean_us / 1000, "ms")
    over = f", one point for each value of {_axes(report)}" if report.facet_axes else ""
    delayed = f" Mean smoothed RTT: {delays}." if delays else ""
    return f"Scatter chart of the goodput against the delay of {_series(report)}{over}. {_goodputs(report)}{delayed}"


def _comparison(report: Report, _picture: Picture) -> str:
    over = f" over {_axes(report)}" if report.facet_axes else ""
    return f"Chart that compares {_series(report)}{over}. {_goodputs(report)}"


def _completions(report: Report, picture: Picture) -> str:
    times = _range(report, lambda row: None if row.fct_median_us is None else row.fct_median_us / 1000, "ms")
    kind = "Chart of the completion time against the size" if "size" in picture.name else "Cumulative distributions of"
    what = " of short flows" if "size" in picture.name else " the completion time of short flows"
    return f"{kind}{what}{_cells(report)}.{f' Median in each cell: {times}.' if times else ''}"


def _latency(report: Report, _picture: Picture) -> str:
    probes = list(dict.fromkeys(probe["name"] for job in report.jobs for probe in job["probes"]))
    return f"Cumulative distributions of the round-trip time that {listed(probes)} measured{_cells(report)}."


def _events(report: Report, picture: Picture) -> str:
    until = _end(report)
    where = _trials_in(report, picture.caption)
    return (
        f"Charts over time, from 0 to {until}, of the congestion window, of retransmissions and drops and of the "
        f"bottleneck queue{where}, side by side on the same axes."
    )


def _states(report: Report, picture: Picture) -> str:
    where = _trials_in(report, picture.caption)
    return f"Bars over time that show in which TCP state both ends of each connection were{where}."


def _trials_in(report: Report, caption: str) -> str:
    """Return the trials that a caption names, after the word *in*; empty if it names none."""
    words = {word.rstrip(",.") for word in caption.split()}
    trials = [result.trial.id for result in report.done if result.trial.id in words]
    return f" in {listed(trials)}" if trials else ""


_KINDS: dict[str, Callable[[Report, Picture], str]] = {
    "topology": _topology,
    "cwnd": _cwnd,
    "srtt": _srtt,
    "goodput": _goodput,
    "goodput-by-cell": _by_cell,
    "goodput-vs-delay": _power,
    "completions": _completions,
    "completions-size": _completions,
    "latency": _latency,
    "events": _events,
    "states": _states,
}
"""Name of a figure, without its number → how it is described."""
_SECTIONS: dict[str, Callable[[Report, Picture], str]] = {"events": _events, "states": _states}
"""The same for figures with other names, by the section of the page."""


def _end(report: Report) -> str:
    return format_duration(max(job["duration_ns"] for job in report.jobs), 3)


def _series(report: Report) -> str:
    return listed([series.label for series in report.series]) or "all flows"


def _axes(report: Report) -> str:
    """Return the axes other than that of the algorithm, each with its values."""
    named = []
    for axis in report.facet_axes:
        texts = [axis.text(value) for value in axis.values]
        shown = listed(texts) if len(texts) <= _MOST_NAMED else f"{len(texts)} values from {texts[0]} to {texts[-1]}"
        named.append(f"{axis.label} ({shown})")
    return listed(named) or "the cells"


def _panels(report: Report) -> str:
    return f", with a panel for each value of {_axes(report)}" if report.facet_axes else ""


def _cells(report: Report) -> str:
    axes = [axis.label for axis in report.axes]
    return f", with a line for each combination of {listed(axes)}" if axes else ""


def _goodputs(report: Report) -> str:
    unit, scale = report.rate_unit
    found = _range(report, lambda row: None if row.goodput_bps is None else row.goodput_bps / scale, unit)
    return f"Mean goodput: {found}." if found else ""


def _range(report: Report, measure: Measure, unit: str) -> str:
    """Return between which means the cells of each series are; empty if there are none."""
    ranges = []
    for series in report.series:
        summaries = [row.summary(measure) for row in report.rows if row.series == series]
        means = [summary.mean for summary in summaries if summary is not None]
        if means:
            low, high = f"{min(means):.3g}", f"{max(means):.3g}"
            ranges.append(f"{series.label} {low} {unit}" if low == high else f"{series.label} {low} to {high} {unit}")
    return "; ".join(ranges)
