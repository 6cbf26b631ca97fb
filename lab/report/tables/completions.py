# SPDX-License-Identifier: Apache-2.0
"""The table of flow completion times of short flows, with a line for each group in each cell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lab.analysis.completions import Completions
from lab.analysis.statistics import spread
from lab.evaluation.trial import COMPLETIONS, completions_of
from lab.job.windows import is_cut
from lab.report.cells import Where, cells_with
from lab.report.model import Report
from lab.report.tables.table import EventTable, axes_of_cells, decimal, number, quantiles, table, text
from lab.report.windows import short_flows_text
from lab.store.trial import TrialResult


@dataclass(frozen=True)
class CompletionLine:
    """The flows of one group of short flows in all trials of a cell."""

    where: Where
    group: str
    trials: int
    """Number of trials."""
    flows: int
    """Number of flows."""
    unfinished: int
    """Number of flows that did not complete; they have no completion time."""
    mean_kb: float
    """Mean number of bytes that arrived per flow, in kB."""
    retransmissions: int
    """Number of retransmitted segments of all flows."""
    mean_ms: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    max_ms: float | None


@lru_cache(maxsize=4)
def completion_lines(report: Report) -> list[CompletionLine]:
    """Return a line for each group of short flows in each cell, over all trials of the cell."""
    found = []
    for where, trials in cells_with(report, [COMPLETIONS]).items():
        for group in groups_of(trials[0]):
            flows = of_cell(trials, group)
            times = milliseconds(flows)
            values = spread(times[times > 0])
            found.append(
                CompletionLine(
                    where,
                    group,
                    trials=len(trials),
                    flows=len(flows),
                    unfinished=int((times == 0).sum()),
                    mean_kb=float(flows.bytes.mean() / 1000) if len(flows) else 0.0,
                    retransmissions=int(flows.retransmissions.sum()),
                    mean_ms=float(times[times > 0].mean()) if (times > 0).any() else None,
                    p50_ms=values.p50,
                    p95_ms=values.p95,
                    p99_ms=values.p99,
                    max_ms=values.max,
                )
            )
    return found


def groups_of(trial: TrialResult) -> list[str]:
    """Return the names of the groups of short flows in a trial."""
    return [flow["name"] for flow in trial.job["flows"] if flow["arrivals"] is not None]


def of_cell(trials: Sequence[TrialResult], group: str) -> Completions:
    """Return the short flows of *group* that started within the measured window, in all trials of a cell."""
    parts = [_measured(trial, group) for trial in trials]
    return Completions(
        began_ns=np.concatenate([part.began_ns for part in parts]),
        fct_ns=np.concatenate([part.fct_ns for part in parts]),
        bytes=np.concatenate([part.bytes for part in parts]),
        retransmissions=np.concatenate([part.retransmissions for part in parts]),
    )


def _measured(trial: TrialResult, group: str) -> Completions:
    (asked,) = (flow for flow in trial.job["flows"] if flow["name"] == group)
    flows = completions_of(trial, group)
    return flows.started_in(asked["measured"]) if is_cut(asked) else flows


def started_when(report: Report) -> str:
    """Return a sentence, with a space before it, that says which flows are left out; empty if all are there."""
    windows = short_flows_text(report)
    return f" Only flows that started within the measured window ({windows}) are included." if windows else ""


def milliseconds(flows: Completions) -> NDArray[np.float64]:
    """Return the completion time of each flow in milliseconds; 0 if the flow did not complete."""
    found: NDArray[np.float64] = flows.fct_ns / 1e6
    return found


def completion_tables(report: Report) -> Iterator[EventTable]:
    """Yield the table of completion times, if there were short flows."""
    if lines := completion_lines(report):
        yield table(
            "completions",
            "Flow completion times",
            "Completion times of short flows, over all trials of a cell. A flow's time runs from the request for its "
            "connection until the receiver has the last byte; unfinished flows are left out of the times."
            f"{started_when(report)}",
            axes_of_cells(report),
            lines,
            [
                text("Flow", "group"),
                number("Flows", "", "flows"),
                number("Unfinished", "", "unfinished"),
                decimal("Mean size", "kB", "mean_kb", 1),
                number("Retransmissions", "", "retransmissions"),
                decimal("Mean", "ms", "mean_ms", 1),
                *quantiles(1),
            ],
        )
