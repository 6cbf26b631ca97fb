# SPDX-License-Identifier: Apache-2.0
"""Find what is worth saying about the numbers of a run: which level of a factor does better, where, and how clearly."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from lab.report.answer.effects import TOLD, Effect, corrected, effect, times
from lab.report.answer.observations import Factor, Measured, Observation

MOST_FINDINGS = 5
"""The number of findings that are told; the tables and figures have all others."""

_MOST_OF_A_QUANTITY = 2
_TREND = 0.8
"""How much a trend counts beside a contrast of the same size, which says more about what is compared."""

Where = tuple[tuple[Factor, str], ...]
"""The levels of the other factors, under which two levels of one factor are compared."""


@dataclass(frozen=True)
class Group:
    """The observations at one level of a factor."""

    level: str
    mean: float
    low: float
    """The smallest value of a repetition."""
    high: float
    shares: tuple[float, float] | None
    """The smallest and the largest share of the link; None if the quantity is no rate, or the link has no rate."""


@dataclass(frozen=True)
class Contrast:
    """The two extreme levels of a factor under one condition."""

    where: Where
    groups: tuple[Group, ...]
    """All levels, the highest mean first; for a trend, the last and the first level of the factor."""
    effect: Effect
    """How the first group differs from the last."""
    lead: Effect
    """How the first group differs from the second; the same as ``effect`` if there are two."""
    trail: Effect
    """How the last but one group differs from the last; the same as ``effect`` if there are two."""
    turning: Group | None = None
    """For a trend, a level in between that is beyond both ends; None without one."""

    @property
    def first(self) -> Group:
        """The group that the effect is about."""
        return self.groups[0]

    @property
    def last(self) -> Group:
        """The group that the first one is compared with."""
        return self.groups[-1]


@dataclass(frozen=True)
class Finding:
    """What one factor does to one quantity, under each condition."""

    measured: Measured
    factor: Factor
    contrasts: tuple[Contrast, ...]
    """The largest effect first."""

    @property
    def is_trend(self) -> bool:
        """Whether the levels are numbers, of which the ends are compared."""
        return self.factor.kind == "numeric"

    @property
    def is_clear(self) -> bool:
        """Whether at least one effect is told: it is more than chance explains, or nobody can tell that."""
        return any(contrast.effect.verdict in TOLD for contrast in self.contrasts)


def findings(measured: Sequence[Measured]) -> list[Finding]:
    """Return at most :data:`MOST_FINDINGS` findings, the quantities in the given order, and the largest effects first.

    Of each quantity, a finding that shows no clear effect is only returned if no other does, or if it is about kernels.
    """
    found = [_corrected(finding) for one in measured for finding in _of(one)]
    chosen: list[Finding] = []
    for one in measured:
        own = [finding for finding in found if finding.measured is one]
        own.sort(key=lambda finding: (not finding.is_clear, -_clear_magnitude(finding)))
        # Who compares kernels wants to know that they do not differ, too.
        told = [finding for finding in own if finding.factor.kind == "kernel"]
        told += [finding for finding in own if finding.is_clear and finding not in told]
        chosen += (told or own[:1])[:_MOST_OF_A_QUANTITY]
    # Each quantity has its first finding before any has its second.
    rank = {id(finding): _rank(finding, chosen) for finding in chosen}
    kept = sorted(chosen, key=lambda finding: rank[id(finding)])[:MOST_FINDINGS]
    return [finding for finding in chosen if finding in kept]


def _rank(finding: Finding, chosen: Sequence[Finding]) -> int:
    own = [other for other in chosen if other.measured is finding.measured]
    return next(place for place, other in enumerate(own) if other is finding)


def _clear_magnitude(finding: Finding) -> float:
    sizes = [item.effect.magnitude for item in finding.contrasts if item.effect.verdict in TOLD]
    return max(sizes, default=0.0) * (_TREND if finding.is_trend else 1.0)


def _of(measured: Measured) -> Iterator[Finding]:
    for factor in measured.factors:
        contrasts = [
            contrast
            for where, by_level in _conditions(measured, factor)
            if len(by_level) > 1
            and (contrast := (_trend if factor.kind == "numeric" else _contrast)(measured, where, by_level)) is not None
        ]
        if contrasts:
            yield Finding(measured, factor, tuple(contrasts))


def _conditions(measured: Measured, factor: Factor) -> Iterator[tuple[Where, Mapping[str, list[Observation]]]]:
    """Yield each combination of the other factors' levels, with the observations at each level of *factor*."""
    others = [other for other in measured.factors if other is not factor]
    for levels in itertools.product(*(other.levels for other in others)):
        where = tuple(zip(others, levels, strict=True))
        own = [item for item in measured.observations if all(item.levels.get(o.name) == level for o, level in where)]
        by_level = {level: [o for o in own if o.levels.get(factor.name) == level] for level in factor.levels}
        present = {level: items for level, items in by_level.items() if items}
        if present:
            yield where, present


def _contrast(measured: Measured, where: Where, by_level: Mapping[str, list[Observation]]) -> Contrast | None:
    groups = sorted((_group(level, items) for level, items in by_level.items()), key=lambda group: -group.mean)
    names = [group.level for group in groups]
    pairs = [(names[0], names[-1]), (names[0], names[1]), (names[-2], names[-1])]
    effects = [_effect(measured, by_level[first], by_level[second]) for first, second in pairs]
    whole, lead, trail = effects
    if whole is None or lead is None or trail is None:
        return None
    # The extremes of several levels differ more than two levels do that somebody chose before.
    tests = len(names) * (len(names) - 1) // 2
    whole, lead, trail = (times(found, tests) for found in (whole, lead, trail))
    return Contrast(where, tuple(groups), whole, lead, trail)


def _trend(measured: Measured, where: Where, by_level: Mapping[str, list[Observation]]) -> Contrast | None:
    levels = list(by_level)
    first, last = _group(levels[0], by_level[levels[0]]), _group(levels[-1], by_level[levels[-1]])
    whole = _effect(measured, by_level[levels[-1]], by_level[levels[0]])
    if whole is None:
        return None
    between = [_group(level, by_level[level]) for level in levels[1:-1]]
    ends = min(first.mean, last.mean), max(first.mean, last.mean)
    beyond = [group for group in between if group.high < ends[0] or group.low > ends[1]]
    turning = None
    for group in sorted(beyond, key=lambda group: -abs(group.mean - (first.mean + last.mean) / 2)):
        against = [_effect(measured, by_level[group.level], by_level[end.level]) for end in (first, last)]
        if all(found is not None and times(found, len(between)).verdict in ("more", "less") for found in against):
            turning = group
            break
    return Contrast(where, (last, first), whole, whole, whole, turning)


def _effect(measured: Measured, first: Sequence[Observation], second: Sequence[Observation]) -> Effect | None:
    groups = [{item.repetition: item.value for item in items} for items in (first, second)]
    if not groups[0].keys() & groups[1].keys():
        return None
    is_exact = all(item.is_exact for items in (first, second) for item in items)
    return effect(*groups, is_ratio=measured.quantity.is_ratio, is_exact=is_exact)


def _group(level: str, items: Sequence[Observation]) -> Group:
    values = [item.value for item in items]
    shares = [item.share for item in items if item.share is not None]
    return Group(
        level,
        math.fsum(values) / len(values),
        min(values),
        max(values),
        (min(shares), max(shares)) if len(shares) == len(values) else None,
    )


def _corrected(finding: Finding) -> Finding:
    """Return the finding with p-values that are corrected for the number of its comparisons, the largest effect first.

    A finding answers one question, of which the comparisons under several conditions are one family.
    """
    wholes = corrected([contrast.effect for contrast in finding.contrasts])
    count = len(finding.contrasts)
    own = [
        replace(
            contrast,
            effect=whole,
            lead=whole if contrast.lead == contrast.effect else times(contrast.lead, count),
            trail=whole if contrast.trail == contrast.effect else times(contrast.trail, count),
        )
        for contrast, whole in zip(finding.contrasts, wholes, strict=True)
    ]
    own.sort(key=lambda item: (item.effect.verdict not in TOLD, -item.effect.magnitude))
    return replace(finding, contrasts=tuple(own))
