# SPDX-License-Identifier: Apache-2.0
"""The values that an algorithm of the user's own records with ``lab_trace`` at the senders of flows."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lab.evaluation.trial import Curve
from lab.store.trial import TrialResult

CC_TRACE = "cc_trace"
"""The name of the table in the record."""


@lru_cache(maxsize=64)
def own_values(trial: TrialResult, flow: str) -> Mapping[str, Curve]:
    """Return the values at the sender of *flow* by name, in the order in which the names first appear.

    Each value holds until the next one.  The algorithm also runs at the receiver, whose values are left out.  The
    result is empty if the flow's algorithm has recorded none.
    """
    if not trial.ok or CC_TRACE not in trial.record["collectors"]:
        return {}
    table = _at_senders(trial)
    table = table.filter(pc.equal(table.column("flow"), flow))
    names = table.column("name").to_pylist()
    seconds = table.column("time_ns").to_numpy() / 1e9
    values = table.column("value").to_numpy().astype(np.float64)
    places: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        places.setdefault(name, []).append(place)
    return {name: (seconds[own], values[own]) for name, own in places.items()}


@lru_cache(maxsize=2)
def _at_senders(trial: TrialResult) -> pa.Table:
    table = trial.collected(CC_TRACE, ["time_ns", "flow", "end", "name", "value"])
    return table.filter(pc.equal(table.column("end"), "source")).sort_by("time_ns")
