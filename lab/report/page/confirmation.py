# SPDX-License-Identifier: Apache-2.0
"""How another engine has confirmed the results of a run."""

from __future__ import annotations

from typing import Any

from lab.report.model import Report


def confirmation(report: Report) -> dict[str, Any] | None:
    """Return how another engine has confirmed the results, with texts for a table; None if none has tried to."""
    stored = report.run.confirmation
    if stored is None:
        return None
    lines = [
        {
            **item,
            "means": (f"{item['found']:.4g}", f"{item['confirming']:.4g}"),
            "difference": f"{item['confirming'] - item['found']:+.2g}",
            "chance": f"{item['chance']:.3g}",
        }
        for item in stored["comparisons"]
    ]
    return {**stored, "lines": lines, "agreeing": sum(item["agrees"] for item in lines)}
