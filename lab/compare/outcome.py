# SPDX-License-Identifier: Apache-2.0
"""The outcome of a comparison as texts and as a document, for all forms in which it is written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from lab.compare.differences import ORDER, Comparison, Difference
from lab.compare.inputs import causes, input_differences, old_kernel
from lab.compare.tolerances import Tolerances
from lab.compare.verdicts import CellOutcome, cell_outcomes, counts
from lab.report.answer.effects import Effect
from lab.report.answer.evidence import effect_size_text, how_sure, p_text
from lab.report.tables.results import number

FORMAT = 1
_TWICE = 2.0
_SHOWN = 40
"""The number of characters of a value of an input that are shown: digests are long."""


@dataclass(frozen=True)
class Line:
    """A metric of a cell, as text."""

    cell: str
    flow: str
    metric: str
    first: str
    second: str
    change: str
    effect_size: str
    """Hedges' g; empty where there is none."""
    p_value: str
    """Two-sided p-value, corrected for the number of cells (Holm); empty where there is none."""
    verdict: str


def lines(comparison: Comparison, *, everything: bool = False) -> list[Line]:
    """Return the metrics that have changed or may have; with *everything*, all of them."""
    chosen = (item for item in comparison.differences if everything or item.verdict not in ("same", "identical"))
    return [_line(item) for item in chosen]


def summary(comparison: Comparison) -> str:
    """Return in one sentence how many metrics have which verdict."""
    counts = [(comparison.count(verdict), verdict) for verdict in ORDER]
    told = [f"{count} {verdict}" for count, verdict in counts if count]
    total = len(comparison.differences)
    if not total:
        return "no metric of a cell is in both runs"
    if comparison.count("identical") == total:
        return f"all {total} metrics are unchanged: the trials are equal to the byte"
    return f"{total} metrics: {', '.join(told)}"


@dataclass(frozen=True)
class CellLine:
    """A cell, as text."""

    cell: str
    verdict: str
    why: str


def cell_summary(comparison: Comparison) -> str:
    """Return in one sentence how many cells have which verdict."""
    outcomes = cell_outcomes(comparison)
    if not outcomes:
        return "neither run has a cell"
    told = [f"{count} {verdict}" for verdict, count in counts(outcomes)]
    return f"{len(outcomes)} cell{'' if len(outcomes) == 1 else 's'}: {', '.join(told)}"


def cell_lines(comparison: Comparison, *, everything: bool = False) -> list[CellLine]:
    """Return the cells that have changed or cannot be compared; with *everything*, all of them."""
    unchanged = ("unchanged to the byte", "within tolerance")
    return [
        cell_line(outcome) for outcome in cell_outcomes(comparison) if everything or outcome.verdict not in unchanged
    ]


def cell_line(outcome: CellOutcome) -> CellLine:
    """Return the outcome of a cell as text."""
    return CellLine(place_text(outcome.cell) or "the only cell", outcome.verdict, outcome.why)


def what_changed(comparison: Comparison) -> str:
    """Return in one sentence what has changed of that on which results depend."""
    changed, same = causes(comparison.first, comparison.second)
    if not changed:
        return f"nothing on which results depend has changed: {', '.join(same)}"
    return f"changed: {', '.join(changed)}" + (f"; not changed: {', '.join(same)}" if same else "")


def remarks(comparison: Comparison) -> list[str]:
    """Return what a reader has to know: cells that only one run has, invalid trials, and too few repetitions."""
    found = [text for run in (comparison.first, comparison.second) for text in run.remarks]
    if comparison.first.is_baseline and comparison.first.experiment != comparison.second.experiment:
        found.append(f"{comparison.first.name} is the baseline of another experiment, {comparison.first.experiment}")
    kernel = old_kernel(comparison.first, comparison.second)
    if kernel is not None:
        found.append(f"the kernel of {comparison.first.name} can still run: `lab run … --set kernel={kernel}`")
    if _differs_without_cause(comparison):
        found.append(
            "records differ although nothing on which they depend does: `lab verify` runs trials again and says which "
            "record is wrong"
        )
    for run, places in ((comparison.first, comparison.only_in_first), (comparison.second, comparison.only_in_second)):
        if places:
            names = "; ".join(place_text(place) for place in places[:3]) + (" …" if len(places) > 3 else "")
            found.append(f"only {run.name} has {len(places)} of the cells: {names}")
        if run.left_out:
            found.append(f"{run.left_out} invalid trials of {run.name} are left out")
    if any(item.effect.verdict == "few" for item in comparison.differences):
        found.append("changes without an interval come from too few repetitions to exclude chance")
    found += _how_sure(comparison)
    if any(not item.is_paired and item.verdict != "identical" for item in comparison.differences):
        found.append("repetitions with different seeds were not compared in pairs")
    return found


def _how_sure(comparison: Comparison) -> list[str]:
    """Return how sure changes can be with these repetitions, and how many it takes where they are not clear."""
    tested = [
        item
        for item in comparison.differences
        if item.is_paired and item.verdict != "identical" and item.effect.p_value
    ]
    if not tested:
        return []
    found = [how_sure(max(item.effect.pairs for item in tested)).rstrip(".")]
    unclear = [item.effect for item in tested if item.verdict == "unclear"]
    if needed := [count for effect in unclear if (count := effect.repetitions_needed()) is not None]:
        count = max(*needed, max(effect.pairs for effect in unclear) + 1)
        some = "all" if len(needed) == len(unclear) else str(len(needed))
        which = "the unclear change" if len(unclear) == 1 else f"{some} of the {len(unclear)} unclear changes"
        found.append(f"with {count} repetitions, {which} would be expected to become clear")
    return found


def inputs(comparison: Comparison) -> list[str]:
    """Return what differs between the runs beside their results, and what does not, as text."""
    differing, same = input_differences(comparison.first, comparison.second)
    found = [f"{item.name}: {_short(item.first)} → {_short(item.second)}" for item in differing]
    return [*found, f"the same in both: {', '.join(same)}"] if same else found


def _differs_without_cause(comparison: Comparison) -> bool:
    """Return whether an exact engine has given other records for the same inputs."""
    runs = (comparison.first, comparison.second)
    if any(run.provenance.get("engine") not in ("vm", "uml") for run in runs) or causes(*runs)[0]:
        return False
    first, second = (run.cells() for run in runs)
    return any(
        one.seed == other.seed and one.digest and other.digest and one.digest != other.digest
        for cell, trials in first.items()
        for number, one in trials.items()
        if (other := second.get(cell, {}).get(number)) is not None
    )


def document(comparisons: Sequence[Comparison], tolerances: Tolerances) -> dict[str, Any]:
    """Return everything as a document for other programs."""
    return {
        "format": FORMAT,
        "tolerance": tolerances.default,
        "tolerances": dict(tolerances.by_metric),
        "comparisons": [
            {
                "first": comparison.first.name,
                "second": comparison.second.name,
                "summary": summary(comparison),
                "counts": {verdict: comparison.count(verdict) for verdict in ORDER},
                "cells": [
                    {"cell": dict(outcome.cell), "verdict": outcome.verdict, "why": outcome.why}
                    for outcome in cell_outcomes(comparison)
                ],
                "changed": causes(comparison.first, comparison.second)[0],
                "inputs": [vars(item) for item in input_differences(comparison.first, comparison.second)[0]],
                "remarks": remarks(comparison),
                "metrics": [_entry(item) for item in comparison.differences],
            }
            for comparison in comparisons
        ],
    }


def place_text(place: Iterable[tuple[str, str]]) -> str:
    """Return where metrics were measured as text."""
    return ", ".join(f"{name} {value}" for name, value in place)


def _line(item: Difference) -> Line:
    *cell, (_, group), (_, algorithm) = item.place
    column = item.column
    first, second = (number(value, column.digits, column.decimals) for value in (item.effect.second, item.effect.first))
    title = f"{column.title} ({column.unit})" if column.unit else column.title
    flow = group if group == algorithm else f"{group} ({algorithm})"
    return Line(place_text(cell), flow, title, first, second, _change(item.effect), *_tests(item), item.verdict)


def _tests(item: Difference) -> tuple[str, str]:
    if item.verdict == "identical" or item.effect.is_exact:
        return "", ""
    return effect_size_text(item.effect.effect_size), p_text(item.effect.p_value)


def _change(effect: Effect) -> str:
    if effect.size is None:
        return ""
    if effect.size >= _TWICE or effect.size <= 1 / _TWICE:
        text = f"× {number(effect.size, 2)}"
        interval = (
            "" if effect.low is None or effect.high is None else f"{number(effect.low, 2)}–{number(effect.high, 2)}"
        )
    else:
        text = f"{_signed(effect.size)} %"
        interval = (
            "" if effect.low is None or effect.high is None else f"{_signed(effect.low)} to {_signed(effect.high)}"
        )
    return f"{text} ({interval})" if interval else text


def _signed(ratio: float) -> str:
    percent = 100 * (ratio - 1)
    text = number(abs(percent), 2, 1)
    return text if text == "0" or not float(text) else f"{'+' if percent > 0 else '−'}{text}"


def _entry(item: Difference) -> dict[str, Any]:
    effect = item.effect
    return {
        "place": dict(item.place),
        "metric": item.column.key,
        "unit": item.column.unit,
        "first": effect.second,
        "second": effect.first,
        "ratio": effect.size,
        "low": effect.low,
        "high": effect.high,
        "p_value": effect.p_value,
        "effect_size": effect.effect_size,
        "agreeing": effect.agreeing if item.is_paired else None,
        "repetitions": effect.pairs,
        "is_paired": item.is_paired,
        "verdict": item.verdict,
    }


def _short(text: str) -> str:
    return (text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…") or "none"
