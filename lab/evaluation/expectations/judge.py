# SPDX-License-Identifier: Apache-2.0
"""Judge expectations: in each cell and for each flow, what was observed against what was expected."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from lab.analysis.checks.check import Check
from lab.analysis.intervals import ALL_EQUAL, CONFIDENCE, EQUAL, ONE, interval
from lab.analysis.randomness import randomness
from lab.analysis.statistics import student_t, summarise
from lab.errors import StoreError
from lab.evaluation.expectations.cells import Cell, Cells, Subject, cells_of, subjects
from lab.evaluation.expectations.over_time import states
from lab.evaluation.expectations.staying import Stayed, stayed
from lab.evaluation.expectations.values import Unknown, asked_flows, value_of, window_of
from lab.evaluation.trial import EvaluatedTrial
from lab.expect.errors import ExpectError
from lab.expect.meaning import Meaning, Term, understand
from lab.expect.quantities import DURATION, shown
from lab.expect.tolerance import NONE, Tolerance, tolerance
from lab.expect.tree import Comparison, Condition, Expression, Measure, Negative, Number

__all__ = ["Case", "Entry", "Outcome", "Verdict", "entries_of", "judged"]

Verdict = Literal["met", "not met", "cannot be judged"]

_EPSILON = 1e-9
"""Share of a value by which rounding may make two values differ that are equal."""
_SIGNS = {">=": "≥", "<=": "≤", "!=": "≠", "==": "=", ">": ">", "<": "<"}


@dataclass(frozen=True)
class Entry:
    """An expectation as the experiment has it."""

    that: str
    name: str = ""
    because: str = ""
    source: str = ""
    tolerance: str | None = None

    @property
    def title(self) -> str:
        """The name, or else the condition."""
        return self.name or self.that


@dataclass(frozen=True)
class Case:
    """A condition in one cell, for one flow."""

    cell: Mapping[str, str]
    """Label of an axis → the cell's value as text."""
    flow: str
    trials: tuple[str, ...]
    """The trials that were looked at."""
    verdict: Verdict
    reason: str = ""
    """Why it cannot be judged."""
    observed: str = ""
    interval: str = ""
    """The confidence interval of what was observed, that is, of the left side; empty if there is none."""
    expected: str = ""
    margin: str = ""
    """By how much the condition is met, or is missed if this begins with a minus; in brackets its own confidence
    interval, if the right side is measured, too."""
    rank: float = 0.0
    """The margin as a share of the expected value, by which cases are ordered: the smallest is the worst."""
    numbers: Mapping[str, Any] = field(default_factory=dict)
    """The same as numbers, in bits and seconds, for other programs."""

    @property
    def where(self) -> str:
        """The cell as text; empty if there is only one."""
        return ", ".join(f"{label} {text}" for label, text in self.cell.items())


@dataclass(frozen=True)
class Outcome:
    """The outcome of an expectation."""

    entry: Entry
    verdict: Verdict
    cases: tuple[Case, ...]
    """Those that cannot be judged first, then from the worst to the best."""
    reason: str = ""
    """Why the whole expectation cannot be judged; empty if it has cases."""

    @property
    def worst(self) -> Case | None:
        """The case that decides; None if there is none."""
        return self.cases[0] if self.cases else None


def entries_of(plan: Mapping[str, Any], what: str) -> list[Entry]:
    """Return the expectations of a plan.

    Raises:
        StoreError: They have not the shape that they have in a plan; the message names *what* is damaged.
    """
    found = []
    for number, raw in enumerate(plan.get("expect", [])):
        fields = {"that": raw} if isinstance(raw, str) else raw
        known = Entry.__dataclass_fields__
        if not isinstance(fields, Mapping) or "that" not in fields or fields.keys() - known.keys():
            raise StoreError(f"{what} is damaged: expect[{number}] is no expectation")
        if not all(isinstance(value, str) or value is None for value in fields.values()):
            raise StoreError(f"{what} is damaged: expect[{number}] has a field that is no text")
        found.append(Entry(**{name: value for name, value in fields.items() if value is not None}))
    return found


def judged(plan: Mapping[str, Any], evaluated: Sequence[EvaluatedTrial], entries: Sequence[Entry]) -> list[Outcome]:
    """Return the outcome of each expectation in a run with this plan and these trials.

    Raises:
        StoreError: A trial or the plan is damaged.
    """
    if not entries:
        return []
    cells = cells_of(plan, evaluated)
    setting = cells.setting()
    found = []
    for entry in entries:
        try:
            meaning = understand(entry.that, setting)
            allowed = NONE if entry.tolerance is None else tolerance(entry.tolerance, meaning)
        except ExpectError as error:
            reason = f"{error.message}; at character {error.column} of the condition"
            found.append(Outcome(entry, "cannot be judged", (), reason))
            continue
        except ValueError as error:
            found.append(Outcome(entry, "cannot be judged", (), f"tolerance: {error}"))
            continue
        found.append(_outcome(entry, meaning, allowed, cells))
    return found


def _outcome(entry: Entry, meaning: Meaning, allowed: Tolerance, cells: Cells) -> Outcome:
    cases = [_case(meaning, allowed, one) for one in subjects(meaning, cells)]
    if not cases:
        return Outcome(entry, "cannot be judged", (), "no cell of the run has what the condition names")
    order: tuple[Verdict, ...] = ("cannot be judged", "not met", "met")
    cases.sort(key=lambda case: (order.index(case.verdict), case.rank))
    # A condition that is missed somewhere is missed, whatever is not known of other cells.
    verdicts = {case.verdict for case in cases}
    verdict: Verdict = "not met" if "not met" in verdicts else cases[0].verdict
    if verdict == "not met":
        cases.sort(key=lambda case: (("not met", "cannot be judged", "met").index(case.verdict), case.rank))
    return Outcome(entry, verdict, tuple(cases))


def _case(meaning: Meaning, allowed: Tolerance, subject: Subject) -> Case:
    repetitions = list(subject.cell.planned)
    used = dict.fromkeys(
        cell.planned[number]
        for number in repetitions
        for cell, _flow in subject.places.values()
        if number in cell.planned
    )
    about: dict[str, Any] = {"cell": subject.cell.texts, "flow": subject.flow, "trials": tuple(used)}
    if not repetitions:
        return Case(**about, verdict="cannot be judged", reason="the plan has no trial of this cell")
    if subject.reason:
        return Case(**about, verdict="cannot be judged", reason=subject.reason)
    for number in repetitions:
        for cell, _flow in subject.places.values():
            if reason := _missing(cell, number):
                return Case(**about, verdict="cannot be judged", reason=reason)
    if meaning.state is not None:
        return _of_state(meaning, subject, repetitions, about)
    values: list[list[float]] = []
    for part in (meaning.condition.observed, *(one.limit for one in meaning.condition.comparisons)):
        found = [_value(part, meaning, subject, number) for number in repetitions]
        unknown = next((value for value in found if isinstance(value, Unknown)), None)
        if unknown is not None:
            return Case(**about, verdict="cannot be judged", reason=unknown.reason)
        values.append([value for value in found if not isinstance(value, Unknown)])
    return _compared(meaning, allowed, values, _is_exact(subject), about)


def _missing(cell: Cell, number: int) -> str:
    """Return why the trial of a repetition has no values; empty if it has."""
    planned = cell.planned.get(number)
    if planned is None:
        return f"the cell {cell.name} has no repetition {number}"
    result = cell.trials.get(number)
    if result is None:
        return f"the trial {planned} was not run"
    if not result.trial.ok:
        return f"the trial {planned} failed: {result.trial.error}"
    if result.verdict == "invalid":
        check: Check = next(check for check in result.checks if check.verdict == "invalid")
        return f"the trial {planned} is invalid: {check.title}: expected {check.asked}, found {check.found}"
    return ""


def _value(part: Expression, meaning: Meaning, subject: Subject, number: int) -> float | Unknown:
    if isinstance(part, Number):
        return part.value
    if isinstance(part, Measure):
        term = meaning.terms[part]
        cell, flow = subject.places[part]
        return value_of(term, cell.trials[number], flow)
    if isinstance(part, Negative):
        inner = _value(part.of, meaning, subject, number)
        return inner if isinstance(inner, Unknown) else -inner
    left, right = (_value(side, meaning, subject, number) for side in (part.left, part.right))
    if isinstance(left, Unknown) or isinstance(right, Unknown):
        return left if isinstance(left, Unknown) else right
    if part.operator == "/" and right == 0:
        return Unknown(f"{part.right} is 0, by which {part.left} would be divided")
    return _OPERATIONS[part.operator](left, right)


_OPERATIONS: Mapping[str, Callable[[float, float], float]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": lambda left, right: left / right,
}


def _is_exact(subject: Subject) -> bool:
    """Return whether nothing in the cells of a case is random, so that chance has no part in their values."""
    for cell in {id(cell): cell for cell, _flow in subject.places.values()}.values():
        trials = [result.trial for result in cell.trials.values()]
        record = trials[0].record
        if randomness([trial.job for trial in trials], record["engine"], record["kernel"]).can_differ:
            return False
    return True


# --- numbers -----------------------------------------------------------------------------------------------


def _compared(
    meaning: Meaning, allowed: Tolerance, values: Sequence[list[float]], is_exact: bool, about: Mapping[str, Any]
) -> Case:
    """Return the case in which *values* has, for each repetition, what was observed, and then each limit."""
    observed, *limits = values
    condition, dimension = meaning.condition, meaning.dimension
    as_percent = any(isinstance(one.limit, Number) and one.limit.text.endswith("%") for one in condition.comparisons)

    def text(value: float) -> str:
        return shown(value, dimension, as_percent=as_percent)

    mean = _mean(observed)
    # A condition on parts of what is measured may be about negative values; the measured ones never are.
    own = None if is_exact else confidence_interval(observed, condition.confidence or CONFIDENCE)
    if own is not None and isinstance(condition.observed, Measure):
        own = max(own[0], 0.0), own[1]
    judgements = [
        _judgement(one, observed, limit, allowed, condition.confidence, is_exact=is_exact)
        for one, limit in zip(condition.comparisons, limits, strict=True)
    ]
    reason = next((one.reason for one in judgements if one.reason), "")
    worst = min(judgements, key=lambda one: one.rank)
    verdict: Verdict = "cannot be judged" if reason else "met" if all(one.is_met for one in judgements) else "not met"
    about_numbers = {
        "observed": mean,
        "values": observed,
        "interval": None if own is None else list(own),
        "unit": _unit(meaning),
        "limits": [
            {
                "comparator": one.comparator,
                "value": judgement.limit,
                "margin": judgement.margin,
                "margin_interval": None if judgement.interval is None else list(judgement.interval),
            }
            for one, judgement in zip(condition.comparisons, judgements, strict=True)
        ],
    }
    parts = [
        f"{_SIGNS[one.comparator]} {text(found.limit)}"
        for one, found in zip(condition.comparisons, judgements, strict=True)
    ]
    about_margin = [_percent(worst.rank)] if worst.limit else []
    if worst.interval is not None:
        about_margin.append(f"{text(worst.interval[0])} to {text(worst.interval[1])}")
    share = f" ({'; '.join(about_margin)})" if about_margin else ""
    return Case(
        **about,
        verdict=verdict,
        reason=reason,
        observed=text(mean),
        interval="" if own is None else f"{text(own[0])} to {text(own[1])}",
        expected=" and ".join(parts) + (f" (tolerance {allowed.text})" if allowed.text else ""),
        # Of two numbers that are equal as expected, there is nothing to say.
        margin=text(worst.margin) + share + _at_confidence(condition, is_exact) if worst.margin else "",
        rank=worst.rank,
        numbers=about_numbers,
    )


@dataclass(frozen=True)
class _Judgement:
    is_met: bool
    limit: float
    margin: float
    """By how much the condition is met, in the worst case that the confidence allows; negative if it is missed."""
    reason: str = ""
    interval: tuple[float, float] | None = None
    """The confidence interval of the margin, if it is not that of the left side alone, and the margin not its end."""

    @property
    def rank(self) -> float:
        return self.margin / abs(self.limit) if self.limit else self.margin


def _judgement(
    one: Comparison,
    observed: Sequence[float],
    limits: Sequence[float],
    allowed: Tolerance,
    confidence: float | None,
    *,
    is_exact: bool,
) -> _Judgement:
    """Judge one comparison; with a *confidence*, by the unfavourable end of the interval of the difference.

    Repetitions of the same number have the same seed, so that the difference of the two sides is taken in each of them
    (:mod:`lab.analysis.paired`), and its interval is that of these differences.
    """
    differences = [value - limit for value, limit in zip(observed, limits, strict=True)]
    limit, difference = _mean(limits), _mean(differences)
    found = None if is_exact else confidence_interval(differences, confidence or CONFIDENCE)
    low, high, reason = difference, difference, ""
    if confidence is not None and not is_exact:
        if found is None:
            reason = f"there is no confidence interval: {ONE if len(differences) == 1 else ALL_EQUAL}"
        else:
            low, high = found
    tolerated = allowed.of(limit)
    rounding = _EPSILON * max(abs(limit), abs(_mean(observed)))
    margin = _least_margin(one.comparator, low, high, tolerated)
    is_strict = one.comparator in (">", "<", "!=")
    is_met = margin > rounding if is_strict else margin >= -rounding
    own = None
    if found is not None and confidence is None and max(limits) - min(limits) > rounding:
        least = _least_margin(one.comparator, *found, tolerated)
        own = least, _most_margin(one.comparator, *found, tolerated)
    return _Judgement(is_met and not reason, limit, 0.0 if abs(margin) <= rounding else margin, reason, own)


def _least_margin(comparator: str, low: float, high: float, tolerated: float) -> float:
    """Return the margin at the unfavourable end of the differences from *low* to *high*."""
    match comparator:
        case ">=" | ">":
            return low + tolerated
        case "<=" | "<":
            return tolerated - high
        case "==":
            return tolerated - max(abs(low), abs(high))
        case _:
            return max(low, -high) - tolerated


def _most_margin(comparator: str, low: float, high: float, tolerated: float) -> float:
    """Return the margin at the favourable end."""
    match comparator:
        case ">=" | ">":
            return high + tolerated
        case "<=" | "<":
            return tolerated - low
        case "==":
            return tolerated - max(low, -high, 0.0)
        case _:
            return max(abs(low), abs(high)) - tolerated


def confidence_interval(values: Sequence[float], confidence: float) -> tuple[float, float] | None:
    """Return the confidence interval of the mean of *values*; None for a single value and for equal ones.

    At 95 %, it is that of the report (:mod:`lab.analysis.intervals`), and otherwise Student's t.
    """
    if abs(confidence - CONFIDENCE) < _EPSILON:
        found = interval(values)
        return None if found is None or found.of_mean is None else (found.of_mean.low, found.of_mean.high)
    summary = summarise(values)
    if summary is None or not summary.sd or summary.sd <= EQUAL * max(map(abs, values)):
        return None
    half = student_t(confidence, summary.n - 1) * summary.sd / math.sqrt(summary.n)
    return summary.mean - half, summary.mean + half


def _at_confidence(condition: Condition, is_exact: bool) -> str:
    """Return what the margin of a condition with confidence is: that of the unfavourable end of the interval."""
    return "" if condition.confidence is None or is_exact else f" with {condition.confidence * 100:g} % confidence"


def _percent(share: float) -> str:
    percent = abs(share) * 100
    return (
        f"{'−' if share < 0 else ''}{percent:.0f} %" if percent >= 10 else f"{'−' if share < 0 else ''}{percent:.2g} %"
    )


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _unit(meaning: Meaning) -> str:
    data, time = meaning.dimension.data, meaning.dimension.time
    known = {(0, 0): "", (1, -1): "bit/s", (0, 1): "s", (1, 0): "bit"}
    return known.get((data, time), f"bit^{data} s^{time}")


# --- states ------------------------------------------------------------------------------------------------


def _of_state(meaning: Meaning, subject: Subject, repetitions: Iterable[int], about: Mapping[str, Any]) -> Case:
    term = meaning.subject
    (comparison,) = meaning.condition.comparisons
    assert meaning.state is not None
    found: list[Stayed] = []
    for number in repetitions:
        cell, who = subject.places[term.measure]
        trial = cell.trials[number].trial
        for asked in asked_flows(trial, who):
            spans = states(trial, asked["name"], term.source.name)
            if not spans:
                reason = f"{term.source.name} was not recorded for {who} in the trial {trial.id}"
                return Case(**about, verdict="cannot be judged", reason=reason)
            found.append(_stayed(meaning, term, spans, window_of(term, asked)))
    worst = min(found, key=lambda one: (one.holds, one.margin or 0.0))
    margin = "" if worst.margin is None else shown(worst.margin, DURATION)
    return Case(
        **about,
        verdict="met" if all(one.holds for one in found) else "not met",
        observed=worst.observed,
        expected=" ".join(filter(None, (str(comparison), str(meaning.condition.stay or "")))),
        margin=margin,
        rank=worst.margin or 0.0,
        numbers={"observed": [one.observed for one in found], "margin": worst.margin, "unit": "s"},
    )


def _stayed(meaning: Meaning, term: Term, spans: Sequence[Any], window: tuple[float, float]) -> Stayed:
    (comparison,) = meaning.condition.comparisons
    assert meaning.state is not None
    time = term.measure.time
    if time is None or time.end is not None:
        return stayed(spans, meaning.state, comparison.comparator, window, meaning.condition.stay)
    moment = time.start.value
    name = next((span.name for span in spans if span.start < moment <= span.end), "unknown")
    return Stayed((name == meaning.state) == (comparison.comparator == "=="), name, None)
