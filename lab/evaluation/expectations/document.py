# SPDX-License-Identifier: Apache-2.0
"""The outcome of a run's expectations as a document for other programs: ``report/expectations.json``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

from lab.evaluation.expectations.judge import Case, Outcome

__all__ = ["FORMAT", "CaseDocument", "ExpectationDocument", "ExpectationsDocument", "document", "sentence"]

FORMAT = 1


class CaseDocument(TypedDict):
    """A condition in one cell, for one flow."""

    cell: dict[str, str]
    flow: str
    trials: list[str]
    verdict: str
    reason: str
    """Why it cannot be judged."""
    observed: str
    interval: str
    expected: str
    margin: str
    numbers: dict[str, Any]
    """``observed`` (the mean), ``values`` (of the repetitions), ``interval``, and ``limits``, each with its ``margin``,
    in ``unit``; empty if the condition cannot be judged."""


class ExpectationDocument(TypedDict):
    """One expectation; ``cases`` begins with the one that decides."""

    that: str
    name: str
    because: str
    source: str
    tolerance: str | None
    verdict: str
    sentence: str
    """What was observed and what was expected, in one line."""
    cases: list[CaseDocument]


class ExpectationsDocument(TypedDict):
    """The content of ``expectations.json``."""

    format: int
    counts: dict[str, int]
    """Each verdict → the number of expectations that have it."""
    expectations: list[ExpectationDocument]


def document(outcomes: Sequence[Outcome]) -> ExpectationsDocument:
    """Return the outcomes as plain values."""
    verdicts = [one.verdict for one in outcomes]
    return {
        "format": FORMAT,
        "counts": {name: verdicts.count(name) for name in ("met", "not met", "cannot be judged")},
        "expectations": [
            {
                "that": one.entry.that,
                "name": one.entry.title,
                "because": one.entry.because,
                "source": one.entry.source,
                "tolerance": one.entry.tolerance,
                "verdict": one.verdict,
                "sentence": sentence(one),
                "cases": [_case(case) for case in one.cases],
            }
            for one in outcomes
        ],
    }


def sentence(one: Outcome) -> str:
    """Return what was observed in the case that decides, and what was expected, in one line."""
    worst = one.worst
    if worst is None:
        return one.reason
    number = sum(case.verdict == one.verdict for case in one.cases)
    of = (
        ""
        if len(one.cases) == 1
        else f"; {one.verdict} in {number} of {len(one.cases)} cases, of which this is the worst"
    )
    where = _where(one, worst)
    if worst.verdict == "cannot be judged":
        return f"{worst.reason}{where}{of}"
    interval = f" ({worst.interval})" if worst.interval else ""
    margin = f", margin {worst.margin}" if worst.margin else ""
    return f"found {worst.observed}{interval}, expected {worst.expected}{margin}{where}{of}"


def _where(one: Outcome, case: Case) -> str:
    """Return the cell and the flow of a case, if there are several."""
    flows = {other.flow for other in one.cases}
    parts = [case.where, f"flow {case.flow}" if len(flows) > 1 else ""]
    text = ", ".join(filter(None, parts))
    return f", at {text}" if text else ""


def _case(case: Case) -> CaseDocument:
    return {
        "cell": dict(case.cell),
        "flow": case.flow,
        "trials": list(case.trials),
        "verdict": case.verdict,
        "reason": case.reason,
        "observed": case.observed,
        "interval": case.interval,
        "expected": case.expected,
        "margin": case.margin,
        "numbers": dict(case.numbers),
    }
