# SPDX-License-Identifier: Apache-2.0
"""What algorithms record with ``lab_trace``, as curves."""

from __future__ import annotations

from typing import Any, cast

import pyarrow as pa

from lab.evaluation.own_values import own_values
from lab.store.trial import TrialResult

ROWS = [
    # time_ns, flow, end, name, value
    (2_000_000_000, "a", "source", "cwnd", 7),
    (1_000_000_000, "a", "source", "cwnd", 5),
    (1_500_000_000, "a", "source", "gap", -3),
    (1_200_000_000, "a", "destination", "cwnd", 10),
    (1_100_000_000, "b", "source", "cwnd", 6),
    (900_000_000, None, None, "cwnd", 4),
]


class Trial:
    """A trial whose algorithms have recorded :data:`ROWS`."""

    def __init__(self, *, ok: bool = True, recorded: bool = True) -> None:
        self.ok = ok
        self.record: dict[str, Any] = {"collectors": {"cc_trace": {}} if recorded else {}}

    def collected(self, collector: str, columns: list[str]) -> pa.Table:
        assert collector == "cc_trace"
        names = ["time_ns", "flow", "end", "name", "value"]
        table = pa.table({name: [row[place] for row in ROWS] for place, name in enumerate(names)})
        return table.select(columns)


def values(trial: Trial, flow: str) -> dict[str, list[tuple[float, float]]]:
    found = own_values(cast(TrialResult, trial), flow)
    return {name: list(zip(x.tolist(), y.tolist(), strict=True)) for name, (x, y) in found.items()}


def test_curves_are_those_of_the_sender_by_name_in_order_of_time() -> None:
    trial = Trial()
    assert values(trial, "a") == {"cwnd": [(1.0, 5.0), (2.0, 7.0)], "gap": [(1.5, -3.0)]}
    assert list(values(trial, "a")) == ["cwnd", "gap"]
    assert values(trial, "b") == {"cwnd": [(1.1, 6.0)]}
    assert values(trial, "c") == {}


def test_trials_without_own_values_have_none() -> None:
    assert values(Trial(recorded=False), "a") == {}
    assert values(Trial(ok=False), "a") == {}
