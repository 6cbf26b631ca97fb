# SPDX-License-Identifier: Apache-2.0
"""Say findings in English sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lab.report.answer.effects import SAME, TOLD, Effect
from lab.report.answer.findings import Contrast, Finding, Group, Where
from lab.report.answer.observations import Factor, Measured, Quantity
from lab.report.tables.results import number
from lab.words import listed

_LISTED = 3
"""The number of further conditions that a sentence lists; of more, it says how many there are."""
_TWICE = 1.95
"""From this ratio on, differences are told as multiples, below it in percent."""
_WITHIN = f"to within {SAME:.0%}".replace("%", " %")


def sentence(finding: Finding) -> str:
    """Return the finding in one or a few sentences."""
    return _trend(finding) if finding.is_trend else _contrast(finding)


def statement(measured: Measured) -> str:
    """Return the values of a quantity that has nothing to be compared with."""
    values = [item.value for item in measured.observations]
    shares = [item.share for item in measured.observations if item.share is not None]
    group = Group(
        "", math.fsum(values) / len(values), min(values), max(values), (min(shares), max(shares)) if shares else None
    )
    text = _capital(f"{measured.quantity.name} is {_value(measured.quantity, group)}")
    if group.low != group.high:
        low, high = (number(value, measured.quantity.digits) for value in (group.low, group.high))
        text += f", from {low} to {high} over {len(values)} repetitions"
    return f"{text}."


# --- contrasts: levels without an order --------------------------------------------------------------------


def _contrast(finding: Finding) -> str:
    lead, *others = finding.contrasts
    if lead.effect.verdict in ("same", "unclear"):
        return _without_effect(finding)
    text = _joined(_where(lead.where), _lead(finding, lead)) + "."
    # The names of algorithms, flows and disciplines stay as they are.
    text = text if text.startswith(finding.factor.levels) else _capital(text)
    if len(lead.groups) > 2:
        text += _next_best(finding.measured.quantity, finding.factor, lead)
    return text + _rest(finding, lead, others)


def _lead(finding: Finding, lead: Contrast) -> str:
    quantity, factor = finding.measured.quantity, finding.factor
    first, last = lead.first, lead.last
    if len(lead.groups) == 2:
        values = f"{_value(quantity, first)} against {_value(quantity, last)}"
        return f"{_comparison(quantity, factor, first.level, last.level, lead.effect)}: {values}"
    high, low = _superlatives(quantity)
    text = (
        f"{quantity.name} is {high} {factor.at(first.level)}, {_value(quantity, first)}, and {low} "
        f"{factor.at(last.level)}, {_value(quantity, last)}"
    )
    return text if lead.effect.size is None or not quantity.is_ratio else f"{text}: {_factor(lead.effect)}"


def _comparison(quantity: Quantity, factor: Factor, first: str, last: str, effect: Effect) -> str:
    """Return in which way the first level is more than the last one."""
    positive, comparative = _adjectives(quantity)
    if effect.size is None or not quantity.is_ratio:
        return f"{quantity.name} is {comparative} {factor.at(first)} than {factor.at(last)}"
    if _is_actor(quantity, factor):
        if effect.size >= _TWICE:
            return f"{first} gets {_times(effect)} the goodput of {last}"
        return f"{first} gets {_percent(effect)} more goodput than {last}"
    if effect.size >= _TWICE:
        return f"{quantity.name} is {_times(effect)} as {positive} {factor.at(first)} as {factor.at(last)}"
    return f"{quantity.name} is {_percent(effect)} {comparative} {factor.at(first)} than {factor.at(last)}"


def _next_best(quantity: Quantity, factor: Factor, lead: Contrast) -> str:
    """Return whether the best level is clearly better than the next one."""
    is_high = quantity.better == "higher"
    best, second = (lead.groups[0], lead.groups[1]) if is_high else (lead.groups[-1], lead.groups[-2])
    verdict = (lead.lead if is_high else lead.trail).verdict
    value = _value(quantity, second)
    if verdict in TOLD:
        return f" Next is {factor.label(second.level)}, {value}."
    if verdict == "same":
        return f" As good {_WITHIN} is {factor.label(second.level)}, {value}."
    return (
        f" Between {factor.label(best.level)} and {factor.label(second.level)}, {value}, there is no clear difference."
    )


def _rest(finding: Finding, lead: Contrast, others: Sequence[Contrast]) -> str:
    """Return what holds under the other conditions."""
    clear = [item for item in others if item.effect.verdict in TOLD]
    alike = [item for item in clear if len(item.groups) == 2 and item.first.level == lead.first.level]
    reverse = [item for item in clear if len(item.groups) == 2 and item.first.level != lead.first.level]
    several = [item for item in clear if len(item.groups) > 2]
    quantity, factor = finding.measured.quantity, finding.factor
    text = ""
    if alike:
        text += f" {_capital(_listed([(item.where, _size(quantity, factor, item.effect)) for item in alike]))}."
    if reverse:
        item = reverse[0]
        wheres = "" if len(reverse) == 1 else f" (and the same way in {len(reverse) - 1} more)"
        comparison = _comparison(quantity, factor, item.first.level, item.last.level, item.effect)
        text += f" {_capital(_joined(_where(item.where), f'it is the other way round: {comparison}'))}{wheres}."
    if several:
        ranges = [
            (
                item.where,
                f"from {_value(quantity, item.last, short=True)} ({factor.label(item.last.level)}) to "
                f"{_value(quantity, item.first, short=True)} ({factor.label(item.first.level)})",
            )
            for item in several
        ]
        text += f" {_capital(_listed(ranges))}."
    same = [item.where for item in others if item.effect.verdict == "same"]
    unclear = [item.where for item in others if item.effect.verdict == "unclear"]
    for wheres_, what in ((same, f"it is the same {_WITHIN}"), (unclear, "the difference is not clear")):
        if wheres_:
            text += f" {_capital(_joined(_wheres(wheres_), what))}."
    return text


def _without_effect(finding: Finding) -> str:
    quantity, factor = finding.measured.quantity, finding.factor
    same = [item for item in finding.contrasts if item.effect.verdict == "same"]
    unclear = [item for item in finding.contrasts if item.effect.verdict == "unclear"]
    levels = sorted({group.level for one in finding.contrasts for group in one.groups}, key=factor.levels.index)
    names = listed(map(factor.label, levels), is_serial=True)
    text, number_of = "", len(finding.contrasts)
    everywhere = f", under all {number_of} conditions" if number_of > 1 and not (same and unclear) else ""
    if same:
        where = "" if not unclear else _wheres([item.where for item in same])
        values = f", {_value(quantity, same[0].first)}" if len(same) == 1 else ""
        what = f"{quantity.name} is the same {_WITHIN} for {names}{values}{everywhere}"
        text = f"{_capital(_joined(where, what))}."
    if unclear:
        where = "" if not same else _wheres([item.where for item in unclear])
        what = f"there is no clear difference in {quantity.name} between {names}{everywhere}"
        text += f"{' ' if text else ''}{_capital(_joined(where, what))}."
    return text


# --- trends: levels that are numbers -----------------------------------------------------------------------


def _trend(finding: Finding) -> str:
    quantity, factor = finding.measured.quantity, finding.factor
    parts = [_course(quantity, factor, item) for item in finding.contrasts[: _LISTED + 1]]
    more = len(finding.contrasts) - len(parts)
    ends = finding.contrasts[0]
    subject = f"from {factor.name} {ends.last.level} to {ends.first.level}, {quantity.name} {'; it '.join(parts)}"
    return _capital(subject) + (f", and so on for {more} more conditions." if more else ".")


def _course(quantity: Quantity, factor: Factor, item: Contrast) -> str:
    """Return how a quantity goes from the first level of a factor to the last one under one condition."""
    verdict = item.effect.verdict
    where = f" {_where(item.where)}" if item.where else ""
    old, new = _value(quantity, item.last, short=True), _value(quantity, item.first)
    if verdict == "same":
        text = f"stays the same {_WITHIN}{where}, {new}"
    elif verdict == "unclear":
        text = f"does not clearly change{where} ({old} and {_value(quantity, item.first, short=True)})"
    else:
        text = f"{'falls' if item.first.mean < item.last.mean else 'rises'} from {old} to {new}{where}"
        if quantity.is_ratio and item.effect.size is not None:
            text += f", by {_factor(item.effect)}"
    if item.turning is not None:
        kind = "maximum" if item.turning.mean > max(item.first.mean, item.last.mean) else "minimum"
        text += f", with a {kind} of {_value(quantity, item.turning)} at {factor.name} {item.turning.level}"
    return text


# --- parts of sentences ------------------------------------------------------------------------------------


def _value(quantity: Quantity, group: Group, *, short: bool = False) -> str:
    text = number(group.mean, quantity.digits) + (f" {quantity.unit}" if quantity.unit else "")
    if short or group.shares is None:
        return text
    low, high = (f"{100 * share:.0f}" for share in group.shares)
    return f"{text} ({low if low == high else f'{low}–{high}'} % of the link)"


def _times(effect: Effect) -> str:
    assert effect.size is not None
    return f"{number(effect.size, 2)} times{_interval(effect, 1.0, 0.0, '')}"


def _percent(effect: Effect) -> str:
    assert effect.size is not None
    return f"{number(100 * (effect.size - 1), 2, 0)} %{_interval(effect, 100.0, 1.0, ' %')}"


def _factor(effect: Effect) -> str:
    """Return the size of an effect as a factor above 1, whichever direction it has."""
    assert effect.size is not None
    size, low, high = effect.size, effect.low, effect.high
    if size < 1:
        size = 1 / size
        low, high = (1 / high, 1 / low) if low and high else (None, None)
    spread = "" if low is None or high is None else _range(number(low, 2), number(high, 2))
    return f"a factor of {number(size, 2)}{spread}"


def _size(quantity: Quantity, factor: Factor, effect: Effect) -> str:
    """Return how large an effect is, without what differs."""
    if effect.size is None:
        return "likewise"
    if not effect.is_ratio:
        return f"by {number(effect.size, 2)}"
    more = "more" if _is_actor(quantity, factor) else _adjectives(quantity)[1]
    return _times(effect) if effect.size >= _TWICE else f"{_percent(effect)} {more}"


def _interval(effect: Effect, scale: float, zero: float, unit: str) -> str:
    if effect.low is None or effect.high is None:
        return ""
    low, high = (number(scale * (end - zero), 2, 0 if scale > 1 else 6) for end in (effect.low, effect.high))
    return _range(low, high, unit)


def _range(low: str, high: str, unit: str = "") -> str:
    return "" if low == high else f" ({low}–{high}{unit})" if not low.startswith("−") else f" ({low} to {high}{unit})"


def _is_actor(quantity: Quantity, factor: Factor) -> bool:
    return quantity.is_share_of_link and factor.kind in ("algorithm", "flows")


def _adjectives(quantity: Quantity) -> tuple[str, str]:
    return (
        ("high", "higher")
        if quantity.better == "higher"
        else ("long", "longer")
        if quantity.unit in ("ms", "s", "µs")
        else ("large", "larger")
    )


def _superlatives(quantity: Quantity) -> tuple[str, str]:
    return ("longest", "shortest") if quantity.unit in ("ms", "s", "µs") else ("highest", "lowest")


def _where(where: Where) -> str:
    return " and ".join(factor.at(level) for factor, level in where)


def _wheres(wheres: Sequence[Where]) -> str:
    """Return several conditions as text, or only their number if they are many."""
    if len(wheres) > _LISTED:
        return f"under {len(wheres)} conditions"
    return listed(map(_where, wheres), is_serial=True)


def _listed(items: Sequence[tuple[Where, str]]) -> str:
    texts = [f"{_where(where)}, {what}" if where else what for where, what in items[:_LISTED]]
    more = len(items) - len(texts)
    return "; ".join(texts) + (f"; and {more} more" if more else "")


def _joined(where: str, what: str) -> str:
    return f"{where}, {what}" if where else what


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
