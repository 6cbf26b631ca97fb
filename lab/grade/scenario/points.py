# SPDX-License-Identifier: Apache-2.0
"""Give points for what was observed.  This module does no I/O.

Points are rounded to hundredths, so that the last bits of a floating-point number, in which processors may differ, have
no part in them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Literal

from lab.evaluation.expectations.judge import Case, Outcome
from lab.expect.quantities import DURATION, NUMBER, RATE, SIZE, parsed, shown
from lab.grade.assignment.check import error_share
from lab.grade.assignment.schema import Criterion
from lab.units import show

__all__ = [
    "Given",
    "Verdict",
    "answered",
    "chosen",
    "judged_condition",
    "judged_scale",
    "nothing",
    "rounded",
    "waiting",
]

Verdict = Literal["full", "part", "none", "failed", "waiting"]
"""All points; some of them; none; nothing could be looked at; a person has to give them."""

_DIMENSIONS = {"": NUMBER, "s": DURATION, "bit/s": RATE, "bit": SIZE}
"""Unit of the numbers of a judged condition → their dimension."""


@dataclass(frozen=True)
class Given:
    """The points that a criterion gives, and why."""

    points: float
    verdict: Verdict
    observed: str = ""
    full: str = ""
    """What gives all points."""
    none: str = ""
    """What gives no points; empty for a condition."""
    margin: str = ""
    """By how much all points are reached, or are missed if this begins with a minus."""
    where: str = ""
    """The cell and flow of the case that decides, if there are several."""
    reason: str = ""
    """Why nothing could be looked at, or what a person has said."""
    answer: str = ""
    """What the student has answered."""
    cases: tuple[Mapping[str, Any], ...] = field(default=())
    """The share of the points in each case, with its cell and flow, the worst first."""

    def document(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {**asdict(self), "cases": [dict(case) for case in self.cases]}


def rounded(points: float) -> float:
    """Return points rounded to hundredths."""
    # First to nine digits: a share of one half must not depend on the last bit of a quotient.
    return float(Decimal(f"{points:.9f}").quantize(Decimal("0.01"), ROUND_HALF_EVEN))


def nothing(reason: str) -> Given:
    """Return that there are no points because nothing could be looked at."""
    return Given(0.0, "failed", reason=reason)


def waiting(answer: str) -> Given:
    """Return that a person has to give points for an answer; without one, that there are none."""
    if not answer.strip():
        return Given(0.0, "none", reason="found no answer")
    return Given(0.0, "waiting", answer=answer)


def judged_condition(criterion: Criterion, outcome: Outcome) -> Given:
    """Return the points for a condition."""
    if not outcome.cases:
        return nothing(outcome.reason)
    cases = [(1.0 if case.verdict == "met" else 0.0, case) for case in outcome.cases]
    return _given(criterion, cases, lambda case: (case.expected, "", case.margin))


def judged_scale(criterion: Criterion, full: Outcome, none: Outcome) -> Given:
    """Return the points for a value on a scale, of which *full* and *none* compare the value with the two ends."""
    for outcome in (full, none):
        if not outcome.cases:
            return nothing(outcome.reason)
    ends = {_key(case): case for case in none.cases}
    cases = []
    texts: dict[tuple[Any, ...], tuple[str, str, str]] = {}
    for case in full.cases:
        other = ends.get(_key(case))
        if other is None or "cannot be judged" in (case.verdict, other.verdict) or not case.numbers:
            cases.append((0.0, case if other is None or case.reason else other))
            continue
        observed, high, low = case.numbers["observed"], _limit(case), _limit(other)
        cases.append((_share(observed, low, high), case))
        rising = high >= low
        sign, against = ("≥", "≤") if rising else ("≤", "≥")
        margin = observed - high if rising else high - observed
        of = _dimension(case)
        percent = (criterion.full or "").rstrip().endswith("%")
        texts[_key(case)] = (
            f"{sign} {shown(high, of, as_percent=percent)}",
            f"{against} {shown(low, of, as_percent=percent)}",
            shown(margin, of, as_percent=percent),
        )
    return _given(criterion, cases, lambda case: texts.get(_key(case), ("", "", "")))


def _given(
    criterion: Criterion, cases: Sequence[tuple[float, Case]], texts: Callable[[Case], tuple[str, str, str]]
) -> Given:
    """Return the points for a criterion with the share of the points in each case."""
    ordered = sorted(cases, key=lambda one: (one[0], one[1].verdict != "cannot be judged"))
    share = ordered[0][0] if criterion.over == "worst" else math.fsum(one for one, _case in cases) / len(cases)
    worst = ordered[0][1]
    full, none, margin = texts(worst)
    is_failed = all(case.verdict == "cannot be judged" for _share_, case in cases)
    points = rounded(criterion.points * share)
    return Given(
        points,
        "failed" if is_failed else _verdict(points, criterion.points),
        observed=worst.observed,
        full=full,
        none=none,
        margin=margin,
        where=_where(worst, [case for _share_, case in cases]),
        reason=worst.reason,
        cases=tuple(
            {
                "cell": dict(case.cell),
                "flow": case.flow,
                "share": round(one, 6),
                "observed": case.observed,
                "reason": case.reason,
                "trials": list(case.trials),
            }
            for one, case in ordered
        ),
    )


def _verdict(points: float, most: float) -> Verdict:
    return "full" if points >= most else "part" if points > 0 else "none"


def _share(observed: float, low: float, high: float) -> float:
    """Return where a value is on the way from the end without points (0) to the one with all points (1)."""
    if high == low:
        return 1.0 if observed >= high else 0.0
    return min(1.0, max(0.0, (observed - low) / (high - low)))


def _key(case: Case) -> tuple[Any, ...]:
    return tuple(sorted(case.cell.items())), case.flow


def _limit(case: Case) -> float:
    return float(case.numbers["limits"][0]["value"])


def _dimension(case: Case) -> Any:
    return _DIMENSIONS.get(case.numbers["unit"], NUMBER)


def _where(case: Case, cases: Sequence[Case]) -> str:
    flows = {other.flow for other in cases}
    cells = {tuple(sorted(other.cell.items())) for other in cases}
    parts = [case.where if len(cells) > 1 else "", f"flow {case.flow}" if len(flows) > 1 else ""]
    return ", ".join(filter(None, parts))


def answered(criterion: Criterion, outcome: Outcome, answer: str) -> Given:
    """Return the points for an answer that is compared with what was measured."""
    if outcome.worst is None or outcome.worst.verdict == "cannot be judged":
        return nothing(outcome.reason or (outcome.worst.reason if outcome.worst else ""))
    case = outcome.worst
    truth, dimension = float(case.numbers["observed"]), _dimension(case)
    full, none = error_share(criterion.full or ""), error_share(criterion.none or "")
    assert full is not None, "check_assignment() has looked at it"
    assert none is not None, "check_assignment() has looked at it"
    # What was measured is not told: the answer is to be found with an experiment.
    nobody = Given(0.0, "none", full=f"within {criterion.full} of it", none=f"off by {criterion.none} or more")
    if not answer:
        return replace(nobody, reason="found no answer")
    found = parsed(answer.strip())
    if found is None or found[1] != dimension:
        return replace(nobody, answer=answer, reason=f"found the answer {show(answer, 60)}; expected {dimension}")
    off = abs(found[0] - truth)
    error = off / abs(truth) if truth else (0.0 if off == 0 else math.inf)
    points = rounded(criterion.points * _share(-error, -none, -full))
    verdict = _verdict(points, criterion.points)
    side = "" if verdict == "full" else "too large" if found[0] > truth else "too small"
    return replace(nobody, points=points, verdict=verdict, observed=answer.strip(), margin=side, answer=answer)


def chosen(criterion: Criterion, answer: str) -> Given:
    """Return the points for an answer of which one is right.  The right one is not told."""
    assert criterion.choice is not None
    if not answer:
        return Given(0.0, "none", reason="found no answer")
    is_right = " ".join(answer.casefold().split()) == " ".join(criterion.choice.casefold().split())
    return Given(
        criterion.points if is_right else 0.0,
        "full" if is_right else "none",
        observed=answer.strip(),
        full="the right answer",
        answer=answer,
    )
