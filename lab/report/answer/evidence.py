# SPDX-License-Identifier: Apache-2.0
"""What the sentences of an answer rest on: each comparison with its interval, effect size and corrected p-value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lab.analysis.order_statistics import CONFIDENCE, further_repetitions, sureness
from lab.report.answer.effects import SAME, Effect
from lab.report.answer.findings import Contrast, Finding
from lab.report.tables.results import number

SMALLEST_P = 0.001
"""p-values below are not told exactly: their size depends on assumptions that nobody can check."""
_DIGITS = 3
_LARGEST_EFFECT = 100


@dataclass(frozen=True)
class Evidence:
    """A comparison of two levels of a factor, as text."""

    quantity: str
    """What is compared, with its unit."""
    where: str
    """The levels of the other factors; empty if there are none."""
    first: str
    second: str
    first_mean: str
    second_mean: str
    difference: str
    """The ratio of the first to the second (``× 2.1``), or, for indices and shares, their difference (``+0.04``)."""
    interval: str
    """Its 95 % confidence interval; empty if there is none."""
    effect_size: str
    """Hedges' g of the paired differences, or of the logarithms of the ratios; empty if there is none."""
    p_value: str
    """Two-sided p-value, corrected for all comparisons of the finding; empty if there is none."""
    agreeing: str
    """In how many repetitions the difference has the direction of its mean, such as ``3 of 3``."""
    verdict: str
    """Whether the difference is clear, and how many repetitions it would take if it is not."""
    is_leading: bool
    """Whether it is the largest effect of its finding."""


def evidence(found: Sequence[Finding]) -> list[Evidence]:
    """Return the comparisons of all findings; those in which chance has no part are left out."""
    return [
        _evidence(finding, contrast)
        for finding in found
        for contrast in finding.contrasts
        if not contrast.effect.is_exact
    ]


def how_sure(repetitions: int) -> str:
    """Return in a sentence what this number of repetitions can show at most, whatever their distribution is.

    That all of them differ in the same direction has the probability 2 · 0.5ⁿ if the median of the differences is 0
    (the sign test).  This is the confidence that TriScale (R. Jacob et al., Journal of Systems Research 1(1), 2021)
    gives for the median: :func:`lab.analysis.order_statistics.sureness`.
    """
    sure, more = sureness(repetitions), further_repetitions(repetitions)
    text = (
        f"Without any assumption on how values are distributed, {repetitions} repetitions that all differ in the same "
        f"direction show with {number(100 * sure, 2, 1)} % confidence that the median difference has this direction"
    )
    if not more:
        return f"{text}."
    return f"{text}; {100 * CONFIDENCE:.0f} % takes {more} more."


def p_text(p_value: float | None) -> str:
    """Return a p-value as text, such as ``0.021`` or ``<0.001``; empty if there is none."""
    if p_value is None:
        return ""
    return f"<{SMALLEST_P}" if p_value < SMALLEST_P else number(p_value, 2, 3)


def effect_size_text(size: float | None) -> str:
    """Return an effect size as text; empty if there is none.

    Beyond 100 it only says that repetitions hardly differ.
    """
    if size is None:
        return ""
    if abs(size) > _LARGEST_EFFECT:
        return f"{'>' if size > 0 else '<−'}{_LARGEST_EFFECT}"
    return number(size, 2, 2)


def _evidence(finding: Finding, contrast: Contrast) -> Evidence:
    quantity, factor, effect = finding.measured.quantity, finding.factor, contrast.effect
    return Evidence(
        quantity=f"{quantity.name} ({quantity.unit})" if quantity.unit else quantity.name,
        where=", ".join(other.label(level) for other, level in contrast.where),
        first=factor.label(contrast.first.level),
        second=factor.label(contrast.last.level),
        first_mean=number(contrast.first.mean, quantity.digits),
        second_mean=number(contrast.last.mean, quantity.digits),
        difference=_size_text(effect, effect.size),
        interval=_interval_text(effect),
        effect_size=effect_size_text(effect.effect_size),
        p_value=p_text(effect.p_value),
        agreeing=f"{effect.agreeing} of {effect.pairs}",
        verdict=_verdict(effect),
        is_leading=contrast is finding.contrasts[0],
    )


def _size_text(effect: Effect, size: float | None) -> str:
    if size is None:
        return ""
    if effect.is_ratio:
        return f"× {number(size, _DIGITS)}"
    return f"{'+' if size > 0 else ''}{number(size, 2)}"


def _interval_text(effect: Effect) -> str:
    if effect.low is None or effect.high is None:
        return ""
    low, high = (number(limit, _DIGITS if effect.is_ratio else 2) for limit in (effect.low, effect.high))
    return f"{low} to {high}"


def _verdict(effect: Effect) -> str:
    verdict = effect.verdict
    if verdict == "few":
        return "too few repetitions"
    if verdict == "same":
        return f"the same to within {100 * SAME:.0f} %" if effect.is_ratio else "the same"
    if verdict != "unclear":
        return "clear"
    needed = effect.repetitions_needed()
    if needed is None:
        return "not clear"
    return f"not clear; {max(needed, effect.pairs + 1)} repetitions would be expected to do"
