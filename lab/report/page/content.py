# SPDX-License-Identifier: Apache-2.0
"""The content of the page's templates, except the figures."""

from __future__ import annotations

from typing import Any

from lab.job import kernels
from lab.report.answer.answer import answer
from lab.report.model import Report
from lab.report.page.confirmation import confirmation
from lab.report.page.provenance import notes, provenance, repeat_command
from lab.report.page.setup import covered, settings
from lab.report.page.verdict import concerns, overall_verdict
from lab.report.tables.events import event_tables
from lab.report.tables.results import result_columns, result_lines


def page_content(report: Report) -> dict[str, Any]:
    """Return the content of the templates, except the figures."""
    return {
        "report": report,
        "answer": answer(report),
        "verdict": overall_verdict(report),
        "counts": {name: report.count(name) for name in ("ok", "warn", "invalid")},
        "concerns": concerns(report),
        "columns": result_columns(report),
        "lines": result_lines(report),
        "settings": settings(report),
        "notes": notes(report),
        "provenance": provenance(report),
        "repeat": repeat_command(report),
        "needs_package": any(kernels.is_package(job["kernel"]) for job in report.jobs),
        "event_tables": event_tables(report),
        "confirmation": confirmation(report),
        "covered": covered(report),
    }
