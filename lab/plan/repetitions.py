# SPDX-License-Identifier: Apache-2.0
"""Notes on the repetitions of a plan: whether they can differ at all, and whether there are enough of them.  No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lab.analysis.randomness import randomness
from lab.job import kernels
from lab.job.protocol import Job
from lab.plan.plan import Plan
from lab.units import parse_duration

FEWEST = 3
"""The number of repetitions from which a difference can be told from chance (:data:`lab.analysis.paired.FEWEST`)."""

_LOOKED_AT = 3
"""The number of repetitions of a cell that are compared: what is drawn at random differs between any two of them."""
_MOST_NAMED = 3
_RELEASES = {"debian-12": "6.1"}
"""Kernel → its version, of those whose netem has no seeds of its own."""


def repetition_notes(plan: Plan) -> list[str]:
    """Return notes on repetitions that cannot differ, and on too few of those that can."""
    repetitions = max(trial.repetition for trial in plan.trials)
    first: dict[str, list[Job]] = {cell.id: [] for cell in plan.cells}
    for trial in plan.trials:
        if trial.repetition <= _LOOKED_AT:
            first[trial.cell_id].append(trial.job)
    equal = [cell.id for cell in plan.cells if not _can_differ(plan, first[cell.id], cell.experiment)]
    return [*_on_equal(equal, len(plan.cells), repetitions), *_on_few(len(plan.cells) - len(equal), repetitions)]


def _on_equal(cells: list[str], of: int, repetitions: int) -> Iterator[str]:
    if not cells:
        return
    if len(cells) == of:
        subject, where = "nothing in this experiment is random", ""
    else:
        more = f" and {len(cells) - _MOST_NAMED} more" if len(cells) > _MOST_NAMED else ""
        names = f"{', '.join(cells[:_MOST_NAMED])}{more}"
        subject, where = f"nothing is random in {len(cells)} of {of} cells ({names})", " of such a cell"
    if repetitions == 1:
        wanted = f"start_jitter and repeat: {FEWEST}"
        what = "further repetitions would be equal to the first one"
    else:
        wanted, what = (
            "start_jitter",
            f"the {repetitions} repetitions{where} are the same computation, and tell no more than one",
        )
    yield f"{subject}: {what}; to see how much results vary, set {wanted}"


def _on_few(cells: int, repetitions: int) -> Iterator[str]:
    if cells and repetitions < FEWEST:
        yield f"fewer than {FEWEST} repetitions: the report cannot estimate the random variation of the results"


def _can_differ(plan: Plan, jobs: list[Job], experiment: Mapping[str, Any]) -> bool:
    """Return whether repetitions can differ; also where this depends on a kernel that is not known."""
    kernel = jobs[0]["kernel"]
    found = randomness(jobs, plan.engine, _RELEASES.get(kernel, ""))
    is_unknown = kernels.is_package(kernel) and bool(found.of_kernel)
    return found.can_differ or is_unknown or (len(jobs) == 1 and _draws(experiment))


def _draws(experiment: Mapping[str, Any]) -> bool:
    """Return whether the flows of another repetition would differ, which a single one does not show."""
    if parse_duration(str(experiment.get("start_jitter", "0s"))):
        return True
    for flow in experiment.get("flows", {}).values():
        arrivals, amount = flow.get("arrivals"), flow.get("amount")
        if isinstance(arrivals, Mapping) and arrivals.get("process", "poisson") == "poisson":
            return True
        if isinstance(amount, Mapping):
            return True
    return False
