# SPDX-License-Identifier: Apache-2.0
"""The ends of a trial's connections and the states they were in, from the ``states`` collector."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from lab.analysis.events import Span, StateChange, state_histories
from lab.store.trial import TrialResult

UNKNOWN = "–"
"""Shown where no flow, node or reason is known."""


@dataclass(frozen=True)
class ConnectionEnd:
    """One end of a connection and the states it was in."""

    trial: str
    flow: str
    node: str
    local: str
    remote: str
    spans: tuple[Span, ...]

    @property
    def label(self) -> str:
        name = "other" if self.flow == UNKNOWN else self.flow
        return f"{name}, {self.node}"


@lru_cache(maxsize=512)
def connection_ends(trial: TrialResult) -> tuple[ConnectionEnd, ...]:
    """Every connection's ends, the flows' own before others such as iperf3's control connections; by start."""
    rows = trial.collected("states").to_pylist()
    changes = [
        StateChange(row["skaddr"], row["time_ns"] / 1e9, row["oldstate"], row["newstate"], row["duration_ns"] / 1e9, at)
        for at, row in enumerate(rows)
    ]
    end_s = max([trial.job["duration_ns"] / 1e9, *(change.time_s for change in changes[-1:])])
    found = []
    for history in state_histories(changes, end_s):
        own = [rows[at] for at in history.rows]
        # Before it is bound a socket has no port, and before it is established nobody knows whose flow it is.
        known = next((row for row in own if row["flow"]), own[-1])
        bound = next((row for row in reversed(own) if row["sport"] and row["dport"]), known)
        found.append(
            ConnectionEnd(
                trial.id,
                known["flow"] or UNKNOWN,
                known["node"] or UNKNOWN,
                f"{bound['saddr']}:{bound['sport']}",
                f"{bound['daddr']}:{bound['dport']}",
                history.spans,
            )
        )
    order = [flow["name"] for flow in trial.job["flows"]]

    def place(end: ConnectionEnd) -> tuple[int, float]:
        return order.index(end.flow) if end.flow in order else len(order), end.spans[0].start

    return tuple(sorted(found, key=place))
