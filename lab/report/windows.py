# SPDX-License-Identifier: Apache-2.0
"""The measured windows of flows and probes, as text for captions and tables and as times for figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lab.analysis.metrics import FlowMetrics
from lab.job.protocol import Flow
from lab.job.windows import Asked, declared_window, is_cut, is_measured
from lab.report.model import Report, Row
from lab.units import format_duration


def any_cut(report: Report) -> bool:
    """Return whether only a part of the time of some flow is measured."""
    return any(is_cut(flow) for job in report.jobs for flow in job["flows"])


def text(asked: Iterable[Asked]) -> str:
    """Return the windows as text, such as ``5 s to end``, without repetitions; empty if nothing is measured."""
    return ", ".join(dict.fromkeys(_text(one) for one in asked if is_measured(one)))


def row_text(row: Row) -> str:
    """Return the windows of the flows of a row as text."""
    return text(flow for item in row.used for flow in _flows_of(item.evaluated.trial.job["flows"], item.flows))


def of_values(report: Report) -> str:
    """Return a sentence, with a space before it, that says to which window means belong; empty if nothing is cut."""
    if not any_cut(report):
        return ""
    windows = text(flow for job in report.jobs for flow in job["flows"])
    several = ", as the table of results says for each flow" if "," in windows else ""
    return f" Measured window: {windows}{several}."


def probes_text(report: Report) -> str:
    """Return the windows of the probes as text; empty if none is cut."""
    probes = [probe for job in report.jobs for probe in job["probes"]]
    return text(probes) if any(map(is_cut, probes)) else ""


def short_flows_text(report: Report) -> str:
    """Return the windows of the short flows as text; empty if none is cut."""
    flows = [flow for job in report.jobs for flow in job["flows"] if flow["arrivals"] is not None]
    return text(flows) if any(map(is_cut, flows)) else ""


def measured_by_any(flows: Sequence[Flow]) -> tuple[int, int]:
    """Return when the first measured window of *flows* starts and when the last one ends, in nanoseconds."""
    windows = [flow["measured"] for flow in flows if is_measured(flow)]
    return min(window["start_ns"] for window in windows), max(window["end_ns"] for window in windows)


def queues_text(report: Report) -> str:
    """Return the time that means of a queue cover as text, such as ``5 s to 30 s``; empty if nothing is cut."""
    if not any_cut(report):
        return ""
    bounds = dict.fromkeys(measured_by_any(job["flows"]) for job in report.jobs)
    return ", ".join(f"{format_duration(start)} to {format_duration(end)}" for start, end in bounds)


def unmeasured(rows: Sequence[Row], end_s: float) -> list[tuple[float, float]]:
    """Return the parts of the time axis, in seconds, that no flow of the medians of *rows* is measured in.

    Parts in which none of the flows runs are left out, so that the result is empty if no flow is cut.
    """
    flows = [flow for row in rows for flow in _flows_of(row.median().evaluated.trial.job["flows"], row.median().flows)]
    if not any(map(is_measured, flows)) or not any(map(is_cut, flows)):
        return []
    begins, ends = (bound / 1e9 for bound in measured_by_any(flows))
    first = min(flow["start_ns"] for flow in flows) / 1e9
    last = max(flow["start_ns"] + flow["duration_ns"] for flow in flows) / 1e9
    return [(0.0, begins)] * (first < begins) + [(ends, end_s * 1.01)] * (ends < last)


def _flows_of(flows: Iterable[Flow], measured: Iterable[FlowMetrics]) -> list[Flow]:
    names = {one.flow for one in measured}
    return [flow for flow in flows if flow["name"] in names]


def _text(asked: Asked) -> str:
    window, declared = asked["measured"], declared_window(asked)
    start = "start" if window["start_ns"] == declared["start_ns"] else format_duration(window["start_ns"])
    end = "end" if window["end_ns"] == declared["end_ns"] else format_duration(window["end_ns"])
    return f"{start} to {end}"
