# SPDX-License-Identifier: Apache-2.0
"""Judge whether the results with a kernel are good or bad."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from lab.bisect.search import Verdict
from lab.compare.cells import run_cells
from lab.compare.differences import differences
from lab.compare.outcome import cell_line
from lab.compare.tolerances import Tolerances
from lab.compare.verdicts import NOT_COMPARED, CellOutcome, CellVerdict, cell_outcomes
from lab.errors import StoreError
from lab.store.files import read_json
from lab.store.run import Run

_SHOWN = 2
"""The number of cells that a judgement names."""


@dataclass(frozen=True)
class Judgement:
    """Whether the results with a kernel are good or bad, and why."""

    verdict: Verdict
    why: str


class Judge(Protocol):
    """Judges runs, whose reports have been written, and of which no trial has failed."""

    def judge(self, run: Run, good: Run) -> Judgement:
        """Return whether *run* is bad; *good* is the run with the kernel that is known to be good."""


@dataclass(frozen=True)
class ComparisonJudge:
    """Compares each run with that of the good kernel: it is bad if a metric is worse beyond the tolerance."""

    tolerances: Tolerances
    any_change: bool = False
    """Whether a run is also bad if a metric is better, or has changed and is neither better nor worse."""

    def judge(self, run: Run, good: Run) -> Judgement:
        outcomes = cell_outcomes(
            differences(run_cells(good.path), run_cells(run.path), self.tolerances, everything=True)
        )
        not_compared = [outcome for outcome in outcomes if outcome.verdict in NOT_COMPARED]
        if not_compared:
            return Judgement("skipped", _told(not_compared))
        wanted: tuple[CellVerdict, ...] = ("worse", "better", "changed") if self.any_change else ("worse",)
        bad = [outcome for outcome in outcomes if outcome.verdict in wanted]
        if bad:
            return Judgement("bad", _told(bad))
        what = "has changed" if self.any_change else "is worse"
        return Judgement("good", f"compared with the good kernel, no metric {what} by more than the tolerance")


@dataclass(frozen=True)
class ConditionJudge:
    """Goes by the outcome of the experiment's expectations, which the report of each run has."""

    def judge(self, run: Run, good: Run) -> Judgement:
        expectations = _expectations(run)
        for wanted, verdict in (("not met", "bad"), ("cannot be judged", "skipped")):
            found = [one for one in expectations if one["verdict"] == wanted]
            if found:
                told = "; ".join(f"{one['name']}: {one['sentence']}" for one in found[:_SHOWN])
                return Judgement("bad" if verdict == "bad" else "skipped", told)
        return Judgement("good", "; ".join(str(one["sentence"]) for one in expectations[:_SHOWN]))


def _expectations(run: Run) -> list[dict[str, Any]]:
    """Return the outcomes in ``report/expectations.json``, of which there is at least one.

    Raises:
        StoreError: The report has none.
    """
    path = run.report_dir / "expectations.json"
    document = read_json(path)
    found = document.get("expectations") if isinstance(document, dict) else None
    if not found:
        raise StoreError(f"{path} has no expectations, by which the run could be judged")
    return list(found)


def _told(outcomes: list[CellOutcome]) -> str:
    lines = [cell_line(outcome) for outcome in outcomes[:_SHOWN]]
    texts = [f"{line.cell}: {line.why if line.why.startswith(line.verdict) else line.verdict}" for line in lines]
    more = len(outcomes) - len(texts)
    return "; ".join([*texts, *([f"and {more} more cells"] if more else [])])
