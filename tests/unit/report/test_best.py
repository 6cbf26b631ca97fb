# SPDX-License-Identifier: Apache-2.0
"""Which values of the results table are marked as the best."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from lab.report.answer.answer import answer
from lab.report.answer.best import best, direction
from lab.report.answer.document import answer_document
from lab.report.model import Report
from lab.report.tables.columns import COLUMNS
from lab.report.tables.results import result_columns, result_lines
from tests.data.capture import EXPERIMENTS


def test_each_column_with_a_better_direction_exists() -> None:
    directions = {column.key: direction(column) for column in COLUMNS}
    assert {directions[key] for key in ("goodput_mbps", "jain_index")} == {"higher"}
    assert {directions[key] for key in ("srtt_p95_ms", "queueing_mean_ms", "fct_p95_ms")} == {"lower"}
    assert directions["retransmits"] is None


@pytest.mark.parametrize("name", sorted(path.stem for path in EXPERIMENTS.glob("*.yaml")))
def test_what_is_marked_is_at_least_as_good_as_what_is_not(reports: Callable[[str], Report], name: str) -> None:
    report = reports(name)
    marks, columns = best(report), result_columns(report)
    assert len(marks) == len(report.rows)
    for number, column in enumerate(columns):
        means = [(column.estimate(row), number in own, row) for row, own in zip(report.rows, marks, strict=True)]
        for found, is_marked, row in means:
            for other, is_other_marked, competing in means:
                alike = (row.series.group, row.facet) == (competing.series.group, competing.facet)
                if is_marked and alike and not is_other_marked and found is not None and other is not None:
                    assert found.mean >= other.mean if direction(column) == "higher" else found.mean <= other.mean


def test_some_values_are_marked_but_not_all(reports: Callable[[str], Report]) -> None:
    report = reports("loss")
    marks, columns = best(report), result_columns(report)
    assert any(marks)
    for number, column in enumerate(columns):
        for facet in report.facets:
            of_cell = [number in own for row, own in zip(report.rows, marks, strict=True) if row.facet == facet]
            assert not all(of_cell)
            assert not any(of_cell) or direction(column) is not None


def test_the_document_has_the_whole_table(reports: Callable[[str], Report]) -> None:
    report = reports("loss")
    table = (result_columns(report), result_lines(report), best(report))
    document = json.loads(json.dumps(answer_document(report.facet_axes, answer(report), *table)))
    assert [len(line["values"]) for line in document["lines"]] == [len(document["columns"])] * len(report.rows)
    marked = [{place for place, value in enumerate(line["values"]) if value["is_best"]} for line in document["lines"]]
    assert marked == [set(own) for own in best(report)]
    assert document["sentences"] == list(answer(report).sentences)
