# SPDX-License-Identifier: Apache-2.0
"""The expectations of the experiment and their outcomes, for the templates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lab.evaluation.expectations.document import sentence
from lab.evaluation.expectations.judge import Outcome

_CLASSES = {"met": "ok", "not met": "invalid", "cannot be judged": "invalid"}
"""Verdict → the class that gives it its colour."""


def expectations(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the outcomes for the templates, with their number by verdict."""
    verdicts = [one.verdict for one in outcomes]
    return {
        "expectations": [
            {
                "outcome": one,
                "class": _CLASSES[one.verdict],
                "classes": _CLASSES,
                "sentence": sentence(one),
                "axes": list(one.cases[0].cell) if one.cases else [],
            }
            for one in outcomes
        ],
        "expected_counts": {"met": verdicts.count("met")},
    }
