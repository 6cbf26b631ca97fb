# SPDX-License-Identifier: Apache-2.0
"""The content of the templates: of both, and of the page alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lab.job import kernels
from lab.report.answer.answer import answer
from lab.report.answer.best import best
from lab.report.charts.views import MAX_FLOWS, Charts, charts_of
from lab.report.figures.picture import Picture
from lab.report.model import Report
from lab.report.page.confirmation import confirmation
from lab.report.page.pictures import shown_pictures
from lab.report.page.provenance import notes, provenance, repeat_command
from lab.report.page.setup import covered, settings
from lab.report.page.trials import trial_lines
from lab.report.page.verdict import concerns, overall_verdict
from lab.report.tables.events import event_tables
from lab.report.tables.parts import RESULT_COLUMNS, parts
from lab.report.tables.results import result_columns, result_lines
from lab.report.windows import any_cut


def page_content(report: Report) -> dict[str, Any]:
    """Return what the page and the summary say."""
    return {
        "report": report,
        "answer": answer(report),
        "verdict": overall_verdict(report),
        "counts": {name: report.count(name) for name in ("ok", "warn", "invalid")},
        "concerns": concerns(report),
        "columns": result_columns(report),
        "lines": result_lines(report),
        "marks": best(report),
        "settings": settings(report),
        "notes": notes(report),
        "provenance": provenance(report),
        "repeat": repeat_command(report),
        "needs_package": any(kernels.is_package(job["kernel"]) for job in report.jobs),
        "event_tables": event_tables(report),
        "confirmation": confirmation(report),
        "covered": covered(report),
    }


def page_only(report: Report, pictures: Sequence[Picture], folder: Path) -> dict[str, Any]:
    """Return what only the page has: the figures, whose files are in *folder*, the charts and the trials' files."""
    charts = charts_of(report)
    # Of each row, the axes, the flow, perhaps the window, and the number of repetitions stay.
    keys = len(report.facet_axes) + 2 + any_cut(report)
    return {
        "result_parts": parts(keys, len(result_columns(report)), RESULT_COLUMNS),
        "pictures": shown_pictures(pictures, folder),
        "charts": charts,
        "chart_caption": chart_caption(report, charts) if charts else "",
        "trial_lines": trial_lines(report),
    }


def chart_caption(report: Report, charts: Charts) -> str:
    """Return what the charts show, and how many points of the recorded ones."""
    parts = [
        f"{_repetitions(report)}The congestion window, what is in flight, the smoothed RTT and the pacing rate are "
        "read from the kernel at each ACK; the queue is the mean number of packets in bins of 10 ms. Dashed grey: base "
        "RTT and link capacity (payload). Dotted: ssthresh.",
        f"So that the page stays small, at most four points remain of each {_milliseconds(charts.bin_ms)}: the first, "
        "the lowest, the highest and the last one. No peak is lost.",
    ]
    if any(view["marks"] for view in charts.views):
        parts.append(
            "Marks on the congestion window: packets that were sent again or dropped, at most one of each kind in as "
            "long a time."
        )
    if charts.many_flows:
        parts.append(f"Of more than {MAX_FLOWS} flows of a series, the first {MAX_FLOWS} are drawn.")
    return " ".join(parts)


def _repetitions(report: Report) -> str:
    """Return which repetition the charts show, with a space behind it; empty if there is only one."""
    if all(len(row.used) == 1 for row in report.rows):
        return ""
    trials = [tuple(item.evaluated.trial.id for item in row.used) for row in report.rows]
    more = " Flows that ran together are those of the same trial." if len(set(trials)) < len(trials) else ""
    return f"Each curve is that of the repetition with the median goodput.{more} "


def _milliseconds(value: float) -> str:
    return f"{value:.3g} ms"
