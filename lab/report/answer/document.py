# SPDX-License-Identifier: Apache-2.0
"""The answer of a run as a document for other programs: ``report/answer.json``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, TypedDict

from lab.evaluation.axes import RunAxis
from lab.report.answer.answer import Answer
from lab.report.tables.columns import Column
from lab.report.tables.results import ResultLine

FORMAT = 1


class Cell(TypedDict):
    """A value of the results table, as text."""

    mean: str
    spread: str
    """The spread of the repetitions; may be empty."""
    is_best: bool
    """Whether no row that competes with this one is clearly better, and at least one is clearly worse."""


class Line(TypedDict):
    """A row of the results table."""

    cell: list[str]
    """Values of the cell on the axes of the table."""
    flow: str
    repetitions: int
    values: list[Cell]
    remarks: str


class AnswerDocument(TypedDict):
    """The content of ``answer.json``."""

    format: int
    sentences: list[str]
    basis: str
    explanations: list[str]
    """What the kernel did in each cell; those of the cells that the sentences are about come first."""
    evidence: list[dict[str, Any]]
    """The comparisons that the sentences rest on, as text: the fields of :class:`lab.report.answer.evidence.Evidence`.
    """
    axes: list[str]
    columns: list[str]
    lines: list[Line]


def answer_document(
    axes: Sequence[RunAxis],
    found: Answer,
    columns: Sequence[Column],
    lines: Sequence[ResultLine],
    marks: Sequence[frozenset[int]],
) -> AnswerDocument:
    """Return the answer, with the results table: its axes, columns, lines, and the columns in which a line is best."""
    return {
        "format": FORMAT,
        "sentences": list(found.sentences),
        "basis": found.basis,
        "explanations": [*found.explanations.leading, *found.explanations.others],
        "evidence": [asdict(item) for item in found.evidence],
        "axes": [axis.label for axis in axes],
        "columns": [f"{column.title} ({column.unit})" if column.unit else column.title for column in columns],
        "lines": [
            {
                "cell": list(line.where),
                "flow": line.label,
                "repetitions": line.n,
                "values": _cells(line.cells, marked),
                "remarks": line.remarks,
            }
            for line, marked in zip(lines, marks, strict=True)
        ],
    }


def _cells(texts: Sequence[tuple[str, str]], marked: frozenset[int]) -> list[Cell]:
    return [{"mean": mean, "spread": spread, "is_best": place in marked} for place, (mean, spread) in enumerate(texts)]
