# SPDX-License-Identifier: Apache-2.0
"""Latency that probes met: a line for each probe of each cell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from lab.analysis.statistics import Spread, spread
from lab.report.cells import Where, cells_with
from lab.report.model import Report
from lab.report.tables.table import EventTable, axes_of_cells, decimal, number, quantiles, table, text
from lab.store.trial import TrialResult

LATENCY = "latency"


@dataclass(frozen=True)
class LatencyLine:
    """One probe in all trials of a cell."""

    where: Where
    probe: str
    trials: int
    asked: int
    unanswered: int
    min_ms: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    max_ms: float | None


@lru_cache(maxsize=4)
def latency_lines(report: Report) -> list[LatencyLine]:
    """Each probe of each cell, over all its trials."""
    found = []
    for where, trials in cells_with(report, [LATENCY]).items():
        for probe in (probe["name"] for probe in trials[0].job["probes"]):
            times = of_cell(trials, probe)
            values: Spread = spread(times[times > 0])
            found.append(
                LatencyLine(
                    where,
                    probe,
                    trials=len(trials),
                    asked=len(times),
                    unanswered=int((times == 0).sum()),
                    min_ms=values.min,
                    p50_ms=values.p50,
                    p95_ms=values.p95,
                    p99_ms=values.p99,
                    max_ms=values.max,
                )
            )
    return found


def round_trips_ms(trial: TrialResult, probe: str) -> NDArray[np.float64]:
    """How long each answer took; 0 where none came."""
    table = trial.collected(LATENCY, ["probe", "rtt_ns"])
    of_probe = table.filter(pc.equal(table.column("probe"), probe))
    found: NDArray[np.float64] = of_probe.column("rtt_ns").to_numpy() / 1e6
    return found


def of_cell(trials: list[TrialResult], probe: str) -> NDArray[np.float64]:
    return np.concatenate([round_trips_ms(trial, probe) for trial in trials])


def latency_tables(report: Report) -> Iterator[EventTable]:
    """Yield the table of what latency probes measured, if there were any."""
    if lines := latency_lines(report):
        yield table(
            "latency",
            "Latency of probes",
            "Over all trials of a cell.",
            axes_of_cells(report),
            lines,
            [
                text("Probe", "probe"),
                number("Sent", "", "asked"),
                number("Unanswered", "", "unanswered"),
                decimal("Min", "ms", "min_ms", 2),
                *quantiles(2),
            ],
        )
