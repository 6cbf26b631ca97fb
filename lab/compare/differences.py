# SPDX-License-Identifier: Apache-2.0
"""Compare the metrics of two runs cell by cell."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from lab.analysis.comparison import compare
from lab.compare.cells import Place, RunCells, Value
from lab.compare.tolerances import DEFAULT_TOLERANCES, Tolerances
from lab.report.answer.best import direction
from lab.report.answer.effects import ALPHA, Effect, corrected, effect
from lab.report.tables.columns import Column

ROUNDING = 1e-9
"""Relative difference of values that are computed from the same record in another order, or written to a file."""
NEGLIGIBLE = 1e-6
"""Standard deviation of the logarithms of ratios up to which all repetitions have changed by the same factor.

Student's t does not apply to them, and the exact test, which does, finds no difference with fewer than six repetitions.
"""

Verdict = Literal["identical", "same", "unclear", "better", "worse", "changed"]
"""``identical``: the raw records are equal to the byte, and so is what is computed from them; ``changed``: neither
higher nor lower values are better."""

ORDER: tuple[Verdict, ...] = ("worse", "better", "changed", "unclear", "same", "identical")


@dataclass(frozen=True)
class Difference:
    """One metric of one cell in two runs."""

    place: Place
    column: Column
    effect: Effect
    """How the later run differs from the first one."""
    verdict: Verdict
    is_paired: bool
    """Whether the repetitions were compared in pairs, because they have the same seeds."""


@dataclass(frozen=True)
class Comparison:
    """How a run differs from the first one."""

    first: RunCells
    second: RunCells
    differences: tuple[Difference, ...]
    """The worst first, and then in the order of the first run."""
    only_in_first: tuple[Place, ...]
    """The cells of the first run that the second one does not have."""
    only_in_second: tuple[Place, ...]

    def count(self, verdict: Verdict) -> int:
        """Return the number of metrics with this verdict."""
        return Counter(item.verdict for item in self.differences)[verdict]


def differences(
    first: RunCells, second: RunCells, tolerances: Tolerances = DEFAULT_TOLERANCES, *, everything: bool = False
) -> Comparison:
    """Compare two runs; *tolerances* are the relative differences that do not count as a change.

    Metrics of trials that are equal to the byte are compared without any statistics.

    The metrics are those that the page of a report shows, or, with *everything*, all that ``results.csv`` has.

    The p-values of each metric are corrected for the number of cells (Holm).
    """
    found: list[Difference] = []
    for column in _columns(first, second, everything=everything):
        places = [place for place in first.values if _has(first, place, column) and _has(second, place, column)]
        both = {place: (first.values[place][column.key], second.values[place][column.key]) for place in places}
        found += [
            Difference(place, column, _no_effect(one), "identical", is_paired=True)
            for place, (one, other) in both.items()
            if _is_identical(one, other)
        ]
        differing = {place: pair for place, pair in both.items() if not _is_identical(*pair)}
        compared = [_effect(one, other) for one, other in differing.values()]
        effects = corrected([item for item, _is_paired in compared])
        for place, (_, is_paired), adjusted in zip(differing, compared, effects, strict=True):
            verdict = _verdict(adjusted, column, tolerances.of(column.key))
            found.append(Difference(place, column, adjusted, verdict, is_paired))
    places_in_order = {place: number for number, place in enumerate(first.values)}
    found.sort(key=lambda item: (ORDER.index(item.verdict), places_in_order[item.place]))
    return Comparison(
        first,
        second,
        tuple(found),
        tuple(place for place in first.values if place not in second.values),
        tuple(place for place in second.values if place not in first.values),
    )


def _columns(first: RunCells, second: RunCells, *, everything: bool) -> list[Column]:
    """Return the columns that both runs have; the share of the link is not among them, as it says what goodput says."""
    both = [column for key, column in first.columns.items() if key in second.columns and key != "share_of_link"]
    # What all flows of a cell do together is what a single one does.
    has_several = len({place[:-2] for place in first.values}) < len(first.values)
    left_out = ("no",) if has_several else ("no", "together")
    return [column for column in both if everything or column.shown not in left_out]


def _has(run: RunCells, place: Place, column: Column) -> bool:
    return column.key in run.values.get(place, {})


def _is_identical(one: Mapping[int, Value], other: Mapping[int, Value]) -> bool:
    """Return whether the trials are equal to the byte, and this version computes the same from them as before."""
    return one.keys() == other.keys() and all(
        value.digest == other[key].digest != "" and math.isclose(value.value, other[key].value, rel_tol=ROUNDING)
        for key, value in one.items()
    )


def _no_effect(values: Mapping[int, Value]) -> Effect:
    mean = math.fsum(value.value for value in values.values()) / len(values)
    return Effect(mean, mean, 1.0, 1.0, 1.0, None, True, len(values), is_exact=True)


def _effect(one: Mapping[int, Value], other: Mapping[int, Value]) -> tuple[Effect, bool]:
    """Return how *other* differs from *one*, and whether their repetitions were compared in pairs.

    If some repetitions have the same seeds, the others are left out: they would add more chance than knowledge.
    """
    shared = [number for number in one if number in other and one[number].seed == other[number].seed]
    if shared:
        first, second = ({number: run[number].value for number in shared} for run in (other, one))
        return effect(first, second, is_ratio=True), True
    return _unpaired([value.value for value in other.values()], [value.value for value in one.values()]), False


def _unpaired(later: Sequence[float], earlier: Sequence[float]) -> Effect:
    """Compare values whose repetitions have nothing to do with each other (Welch's test on their logarithms)."""
    means = math.fsum(later) / len(later), math.fsum(earlier) / len(earlier)
    pairs = min(len(later), len(earlier))
    if min(*later, *earlier) <= 0:
        found = compare(later, earlier, 0.95)
        return Effect(*means, 1.0 if means[0] == means[1] else None, None, None, found.p_value, True, pairs)
    found = compare([math.log(value) for value in later], [math.log(value) for value in earlier], 0.95)
    size = found.first - found.second
    low, high = (None, None) if found.margin is None else (math.exp(size - found.margin), math.exp(size + found.margin))
    return Effect(*means, math.exp(size), low, high, found.p_value, True, pairs)


def _verdict(found: Effect, column: Column, tolerance: float) -> Verdict:
    """Return the verdict on a metric of trials that are not equal.

    A change is told from chance only where there are enough repetitions to do so, and where they have not all changed
    alike.
    """
    largest = 1 + tolerance

    def is_within(size: float | None) -> bool:
        return size is not None and 1 / largest <= size <= largest

    is_certain = found.is_exact or (found.deviation is not None and found.deviation <= NEGLIGIBLE)
    if is_within(found.size) and (is_certain or found.p_value is None or found.p_value <= ALPHA):
        return "same"
    if is_within(found.low) and is_within(found.high):
        return "same"
    if not is_certain and found.p_value is not None and found.p_value > ALPHA:
        return "unclear"
    better = direction(column)
    if better is None:
        return "changed"
    return "better" if (found.first > found.second) == (better == "higher") else "worse"
