# SPDX-License-Identifier: Apache-2.0
"""Which values of the results table are the best of their column."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from lab.report.answer.effects import TOLD, effect
from lab.report.model import Report, Row
from lab.report.tables.columns import Column, ProbeColumn
from lab.report.tables.results import result_columns

_HIGHER = frozenset({"goodput_mbps", "share_of_link", "utilisation", "power", "jain_index", "jain_over_time"})
_LOWER = frozenset({
    "goodput_cv", "bottleneck_loss", "fct_median_ms", "fct_p95_ms", "slowdown_mean", "slowdown_p95", "datagrams_lost",
    "jitter_mean_us", "reordered", "harm_goodput", "harm_rtt", "convergence_s", "rate_rise_recovery_s",
    "recovery_mean_s",
})  # fmt: skip
_LOWER_OF = ("srtt_", "queueing_")

Direction = Literal["higher", "lower"]


def direction(column: Column) -> Direction | None:
    """Return which values of a column are better; None if neither are, as for retransmissions."""
    if column.key in _HIGHER:
        return "higher"
    is_lower = column.key in _LOWER or column.key.startswith(_LOWER_OF) or isinstance(column, ProbeColumn)
    return "lower" if is_lower else None


def best(report: Report) -> list[frozenset[int]]:
    """Return for each row of the results table the columns in which it is the best of those that it competes with.

    Rows compete if they are about the same flows in the same cell but for the algorithm and the kernel; if no two rows
    are, all rows about the same flows compete.  A row that is not clearly worse than the best one is marked as well.
    Where this holds for all of them, none is marked.
    """
    rows, columns = report.rows, result_columns(report)
    marks: list[set[int]] = [set() for _ in rows]
    for places in _competitions(rows):
        for number, column in enumerate(columns):
            for place in _best_of([rows[place] for place in places], column):
                marks[places[place]].add(number)
    return [frozenset(found) for found in marks]


def _competitions(rows: Sequence[Row]) -> list[list[int]]:
    """Return the places of the rows that compete with each other."""
    by_cell: dict[tuple[object, ...], list[int]] = {}
    for place, row in enumerate(rows):
        by_cell.setdefault((row.series.group, row.facet), []).append(place)
    if all(len(places) == 1 for places in by_cell.values()):
        by_cell = {}
        for place, row in enumerate(rows):
            by_cell.setdefault((row.series.group,), []).append(place)
    return [places for places in by_cell.values() if len(places) > 1]


def _best_of(rows: Sequence[Row], column: Column) -> list[int]:
    """Return which of *rows* are the best in *column*; none if no row is clearly worse than another."""
    better = direction(column)
    if better is None:
        return []
    values = [row.by_repetition(column.value) for row in rows]
    means = {place: math.fsum(own.values()) / len(own) for place, own in enumerate(values) if own}
    if len(means) < 2:
        return []
    first = (max if better == "higher" else min)(means, key=means.__getitem__)
    worse = {place for place in means if place != first and _differs(values[first], values[place])}
    return [place for place in means if place not in worse] if worse else []


def _differs(first: Mapping[Any, float], second: Mapping[Any, float]) -> bool:
    if not first.keys() & second.keys():
        return False
    return effect(first, second, is_ratio=True).verdict in TOLD
