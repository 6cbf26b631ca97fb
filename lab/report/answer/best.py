# SPDX-License-Identifier: Apache-2.0
"""Which values of the results table are the best of their column."""

from __future__ import annotations

from collections.abc import Sequence

from lab.evaluation.repetition import Measure
from lab.report.answer.effects import TOLD, effect
from lab.report.model import Report, Row
from lab.report.tables.results import Column, result_columns

HIGHER = frozenset({"goodput_mbps", "share_of_link", "jain_index"})
LOWER = frozenset({
    "srtt_mean_ms", "srtt_p95_ms", "queueing_mean_ms", "queueing_p95_ms", "fct_median_ms", "fct_p95_ms",
    "datagrams_lost", "jitter_mean_us", "reordered",
})  # fmt: skip
"""Keys of the columns in which a higher or a lower value is better; of others, such as retransmissions, neither is."""


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
    if column.key not in HIGHER | LOWER:
        return []
    values = [_by_repetition(row, column.measure) for row in rows]
    means = {place: sum(own.values()) / len(own) for place, own in enumerate(values) if own}
    if len(means) < 2:
        return []
    first = (max if column.key in HIGHER else min)(means, key=means.__getitem__)
    worse = {place for place in means if place != first and _differs(values[first], values[place])}
    return [place for place in means if place not in worse] if worse else []


def _differs(first: dict[int, float], second: dict[int, float]) -> bool:
    if not first.keys() & second.keys():
        return False
    return effect(first, second, is_ratio=True).verdict in TOLD


def _by_repetition(row: Row, measure: Measure) -> dict[int, float]:
    found = {}
    for repetition in row.used:
        value = repetition.value(measure)
        if value is not None:
            found[repetition.evaluated.trial.identity.repetition] = value
    return found
