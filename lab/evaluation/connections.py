# SPDX-License-Identifier: Apache-2.0
"""The ends of a trial's connections and their TCP states, from the ``states`` collector."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from lab.analysis.events import Span, StateChange, state_histories
from lab.store.trial import TrialResult

UNKNOWN = "–"
"""The text in place of a flow, node or reason that is not known."""


@dataclass(frozen=True)
class ConnectionEnd:
    """One end of a connection and its TCP states over time."""

    trial: str
    flow: str
    """Name of the flow that the connection belongs to, or :data:`UNKNOWN`."""
    node: str
    """Name of the node that this end is on, or :data:`UNKNOWN`."""
    local: str
    """Address and port of this end."""
    remote: str
    """Address and port of the other end."""
    spans: tuple[Span, ...]
    """The states in order of time."""

    @property
    def label(self) -> str:
        """The flow (``other`` if it is not known) and the node, as text."""
        name = "other" if self.flow == UNKNOWN else self.flow
        return f"{name}, {self.node}"


@lru_cache(maxsize=512)
def connection_ends(trial: TrialResult) -> tuple[ConnectionEnd, ...]:
    """Return the ends of all connections of a trial.

    The connections of flows come first, in the order of the job; others, such as iperf3's control connections, come
    last.  Ends of the same flow are in order of their start.
    """
    rows = trial.collected("states").to_pylist()
    changes = [
        StateChange(row["skaddr"], row["time_ns"] / 1e9, row["oldstate"], row["newstate"], row["duration_ns"] / 1e9, at)
        for at, row in enumerate(rows)
    ]
    end_s = max([trial.job["duration_ns"] / 1e9, *(change.time_s for change in changes[-1:])])
    found = []
    for history in state_histories(changes, end_s):
        own_rows = [rows[at] for at in history.rows]
        # A socket has no port before it is bound, and its flow is not known before the connection is established.
        # Take each from a row that has it.
        known = next((row for row in own_rows if row["flow"]), own_rows[-1])
        bound = next((row for row in reversed(own_rows) if row["sport"] and row["dport"]), known)
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
