# SPDX-License-Identifier: Apache-2.0
"""The table of the latency that probes measured, with a line for each probe in each cell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lab.analysis.statistics import Spread, spread
from lab.evaluation.trial import LATENCY, measured_probe
from lab.report.cells import Where, cells_with
from lab.report.model import Report
from lab.report.tables.table import EventTable, axes_of_cells, decimal, number, quantiles, table, text
from lab.report.windows import probes_text
from lab.store.trial import TrialResult


@dataclass(frozen=True)
class LatencyLine:
    """The requests of one probe in all trials of a cell, and the round-trip times of their answers."""

    where: Where
    probe: str
    trials: int
    """Number of trials."""
    asked: int
    """Number of requests."""
    unanswered: int
    """Number of requests without an answer; they have no round-trip time."""
    min_ms: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    max_ms: float | None


@lru_cache(maxsize=4)
def latency_lines(report: Report) -> list[LatencyLine]:
    """Return a line for each probe in each cell, over all trials of the cell."""
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
    """Return the round-trip time of each request of *probe* in its measured window, in milliseconds.

    It is 0 if no answer came.
    """
    (asked,) = (found for found in trial.job["probes"] if found["name"] == probe)
    found: NDArray[np.float64] = measured_probe(trial, asked).rtt_ns / 1e6
    return found


def of_cell(trials: list[TrialResult], probe: str) -> NDArray[np.float64]:
    """Return the round-trip times of *probe* in all trials of a cell, as :func:`round_trips_ms` does for one trial."""
    return np.concatenate([round_trips_ms(trial, probe) for trial in trials])


def sent_when(report: Report) -> str:
    """Return a sentence, with a space before it, that says which requests are left out; empty if all are there."""
    windows = probes_text(report)
    return f" Only requests that were sent within the measured window ({windows}) are included." if windows else ""


def latency_tables(report: Report) -> Iterator[EventTable]:
    """Yield the table of what latency probes measured, if there were any."""
    if lines := latency_lines(report):
        yield table(
            "latency",
            "Latency of probes",
            "Round-trip times of the probes' requests, over all trials of a cell. Unanswered requests are left out of "
            f"the times.{sent_when(report)}",
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
