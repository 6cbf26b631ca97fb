# SPDX-License-Identifier: Apache-2.0
"""The marks on the charts' windows: when packets of a flow were sent again, and when they were dropped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from lab.analysis.events import thinned
from lab.evaluation.collected import Seconds, flow_drops, retransmissions
from lab.report.charts.line import ascending
from lab.report.event_names import DROPS, RETRANSMISSIONS
from lab.store.trial import TrialResult

DROPPED = "drop"
"""Symbol of all drops; the label says why the packet was dropped."""


@dataclass(frozen=True)
class Marks:
    """Events of one kind of one flow, as the page's script reads them."""

    series: int
    """Place of the series in the view."""
    name: str
    """The flow, as its line is named."""
    symbol: str
    """What is drawn: a kind of retransmission, or :data:`DROPPED`."""
    label: str
    ticks: tuple[int, ...]
    """Time of each event since the start of traffic, in the unit of the lines, strictly ascending."""

    def as_json(self) -> dict[str, Any]:
        """Return the marks with the times as differences, which are shorter as text."""
        differences = np.diff(np.array(self.ticks, dtype=np.int64), prepend=0).tolist()
        return {
            "series": self.series,
            "name": self.name,
            "symbol": self.symbol,
            "label": self.label,
            "x": differences,
        }


def marks_of(trial: TrialResult, flow: str, series: int, name: str, end_s: float, bins: int) -> Iterator[Marks]:
    """Yield the retransmissions and the drops of a flow, at most one in each of *bins* parts of the time."""

    def marks(symbol: str, label: str, times: Seconds) -> Marks:
        return Marks(series, name, symbol, label, ascending(np.asarray(thinned(times, end_s, bins))))

    again = retransmissions(trial, flow)
    yield from (marks(kind, label, again[kind]) for kind, label in RETRANSMISSIONS.items() if kind in again)
    dropped = flow_drops(trial, flow)
    yield from (marks(DROPPED, label, dropped[cause]) for cause, label in DROPS.items() if cause in dropped)
