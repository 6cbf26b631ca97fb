# SPDX-License-Identifier: Apache-2.0
"""What a comparison says about whole cells: unchanged to the byte, within tolerance, worse, better and so on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from lab.compare.cells import Cell, RunCells, TrialState
from lab.compare.differences import Comparison, Difference

CellVerdict = Literal[
    "invalid", "missing", "new", "worse", "better", "changed", "unclear", "within tolerance", "unchanged to the byte"
]
"""``invalid``: trials of the cell failed or did not measure what they should; ``missing``: only the first run has the
cell, or trials of it have not been run; ``new``: only the second run has it; ``changed``: a metric of which neither
higher nor lower values are better has changed; ``unclear``: the repetitions differ so much that this may be chance.
"""

ORDER: tuple[CellVerdict, ...] = (
    "invalid", "missing", "new", "worse", "better", "changed", "unclear", "within tolerance", "unchanged to the byte",
)  # fmt: skip
NOT_COMPARED: tuple[CellVerdict, ...] = ("invalid", "missing", "new")
FAILING: tuple[CellVerdict, ...] = (*NOT_COMPARED, "worse")
"""The verdicts with which a comparison is no success."""


@dataclass(frozen=True)
class CellOutcome:
    """How a cell differs between two runs."""

    cell: Cell
    verdict: CellVerdict
    why: str
    """What the verdict comes from; empty if it says everything."""


def cell_outcomes(comparison: Comparison) -> tuple[CellOutcome, ...]:
    """Return the outcome of each cell that one of the runs has, in the order of the first run."""
    first, second = comparison.first.cells(), comparison.second.cells()
    own: dict[Cell, list[Difference]] = {}
    for item in comparison.differences:
        own.setdefault(item.place[:-2], []).append(item)
    return tuple(
        _outcome(comparison, cell, first.get(cell), second.get(cell), own.get(cell, ()))
        for cell in dict.fromkeys((*first, *second))
    )


def failing(outcomes: Iterable[CellOutcome], *, common_only: bool = False) -> list[CellOutcome]:
    """Return the cells that keep the comparison from being a success.

    With *common_only*, cells that only one of the runs has do not count.
    """
    wanted = [verdict for verdict in FAILING if not common_only or verdict not in ("missing", "new")]
    return [outcome for outcome in outcomes if outcome.verdict in wanted]


def counts(outcomes: Sequence[CellOutcome]) -> list[tuple[CellVerdict, int]]:
    """Return how many cells have which verdict, the worst first."""
    found = Counter(outcome.verdict for outcome in outcomes)
    return [(verdict, found[verdict]) for verdict in ORDER if found[verdict]]


def _outcome(
    comparison: Comparison,
    cell: Cell,
    first: Mapping[int, TrialState] | None,
    second: Mapping[int, TrialState] | None,
    differences: Sequence[Difference],
) -> CellOutcome:
    if second is None or first is None:
        run = comparison.second if second is None else comparison.first
        return CellOutcome(cell, "missing" if second is None else "new", f"{run.name} does not have this cell")
    for run, trials in ((comparison.second, second), (comparison.first, first)):
        problem = _problem(run, trials)
        if problem is not None:
            return CellOutcome(cell, *problem)
    if first == second and all(trial.digest for trial in first.values()):
        if all(item.verdict == "identical" for item in differences):
            return CellOutcome(cell, "unchanged to the byte", "")
        return CellOutcome(cell, *_of(differences, "the records are equal to the byte, but lab computes "))
    if len(first) != len(second):
        found = f"{len(second)} repetition{'' if len(second) == 1 else 's'} instead of {len(first)}; "
        return CellOutcome(cell, *_of(differences, found))
    return CellOutcome(cell, *_of(differences, ""))


def _problem(run: RunCells, trials: Mapping[int, TrialState]) -> tuple[CellVerdict, str] | None:
    """Return why trials of a cell cannot be compared; None if all can."""
    verdicts = Counter(trial.verdict for trial in trials.values())
    bad = [f"{verdicts[verdict]} {verdict}" for verdict in ("invalid", "failed", "missing") if verdicts[verdict]]
    if not bad:
        return None
    what: CellVerdict = "invalid" if verdicts["invalid"] or verdicts["failed"] else "missing"
    return what, f"of {len(trials)} trials of {run.name}, {' and '.join(bad)}"


def _of(differences: Sequence[Difference], prefix: str) -> tuple[CellVerdict, str]:
    """Return the verdict on a cell whose trials can be compared, with the metrics that it comes from."""
    verdicts = [item.verdict for item in differences]
    for verdict in ("worse", "better", "changed", "unclear"):
        if verdict in verdicts:
            told = [f"{verdict}: {_names(differences, verdict)}"]
            if verdict == "worse" and "better" in verdicts:
                told.append(f"better: {_names(differences, 'better')}")
            return verdict, prefix + "; ".join(told)
    return "within tolerance", prefix.removesuffix("; ") if differences else f"{prefix}no metric is in both runs"


def _names(differences: Sequence[Difference], verdict: str) -> str:
    flows = {item.place[-2] for item in differences}
    found: dict[str, list[str]] = {}
    for item in differences:
        if item.verdict == verdict:
            found.setdefault(item.column.title, []).append(item.place[-2][1])
    return ", ".join(title if len(flows) == 1 else f"{title} of {' and '.join(of)}" for title, of in found.items())
