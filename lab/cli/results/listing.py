# SPDX-License-Identifier: Apache-2.0
"""The output of ``lab list``: stored runs as a table or as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.api.summary import RunSummary

_HEADS = ("EXPERIMENT", "RUN", "STARTED (UTC)", "STATE", "ENGINE", "TRIALS")


def json_text(runs: Sequence[RunSummary]) -> str:
    """Return the runs as a list of objects in JSON."""
    return json.dumps([run.document() for run in runs], indent=1, ensure_ascii=False)


def table(runs: Sequence[RunSummary]) -> str:
    """Return the runs as a table with a line for each, below which it is said what is wrong with the broken ones."""
    if not runs:
        return "no runs"
    rows = [_HEADS, *(_row(run) for run in runs)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADS))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, *(f"broken: {run.problem}" for run in runs if run.problem)])


def _row(run: RunSummary) -> tuple[str, ...]:
    trials = ", ".join(f"{number} {name}" for name, number in run.trials.items() if number)
    return (run.experiment, run.run, run.started, run.state, run.engine or "-", trials or "-")
