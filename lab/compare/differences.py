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
from lab.report.answer.best import direction
from lab.report.answer.effects import Effect, corrected, effect
from lab.report.tables.columns import Column

TOLERANCE = 0.05
"""Relative difference that is still no change, unless somebody asks for another one."""

Verdict = Literal["identical", "same", "unclear", "better", "worse", "changed"]
"""``identical``: the raw records are equal to the byte; ``changed``: neither higher nor lower values are better."""

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
    first: RunCells, second: RunCells, tolerance: float = TOLERANCE, *, everything: bool = False
) -> Comparison:
    """Compare two runs; *tolerance* is the relative difference that does not count as a change.

    The metrics are those that the page of a report shows, or, with *everything*, all that ``results.csv`` has.

    The p-values of each metric are corrected for the number of cells (Holm).
    """
    found: list[Difference] = []
    for column in _columns(first, second, everything=everything):
        places = [place for place in first.values if _has(first, place, column) and _has(second, place, column)]
        pairs = [(first.values[place][column.key], second.values[place][column.key]) for place in places]
        compared = [_effect(one, other) for one, other in pairs]
        effects = corrected([item for item, _is_paired in compared])
        for place, (one, other), (_, is_paired), adjusted in zip(places, pairs, compared, effects, strict=True):
            verdict = "identical" if _is_identical(one, other) else _verdict(adjusted, column, tolerance)
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
    return {key: value.digest for key, value in one.items()} == {key: value.digest for key, value in other.items()}


def _effect(one: Mapping[int, Value], other: Mapping[int, Value]) -> tuple[Effect, bool]:
    """Return how *other* differs from *one*, and whether their repetitions were compared in pairs."""
    shared = [number for number in one if number in other and one[number].seed == other[number].seed]
    if len(shared) == len(one) == len(other):
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
    verdict = found.verdict
    if verdict in ("same", "unclear"):
        return verdict
    if found.size is not None and 1 / (1 + tolerance) <= found.size <= 1 + tolerance:
        return "same"
    better = direction(column)
    if better is None:
        return "changed"
    return "better" if (found.first > found.second) == (better == "higher") else "worse"
