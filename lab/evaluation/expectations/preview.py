# SPDX-License-Identifier: Apache-2.0
"""What the expectations of a plan mean, before any of its trials has run: for ``lab check``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.evaluation.expectations.cells import Subject, cells_of, subjects
from lab.evaluation.expectations.judge import entries_of
from lab.expect.meaning import understand

__all__ = ["understood"]

_MOST_CELLS = 3
_MOST_FLOWS = 4


def understood(plan: Mapping[str, Any]) -> list[str]:
    """Return a line for each expectation of a plan: the condition, and the cells and flows in which it must hold.

    Raises:
        StoreError: The expectations have not the shape that they have in a plan.
        ExpectError: One cannot be understood.
    """
    entries = entries_of(plan, "the plan")
    if not entries:
        return []
    cells = cells_of(plan, [])
    setting = cells.setting()
    found = []
    for entry in entries:
        meaning = understand(entry.that, setting)
        name = f"{entry.name}: " if entry.name else ""
        allowed = f" (tolerance {entry.tolerance})" if entry.tolerance is not None else ""
        where = _where(list(subjects(meaning, cells)), len(cells.all))
        found.append(f"{name}{meaning.condition}{allowed}: {where}")
    return found


def _where(cases: list[Subject], number: int) -> str:
    """Return for which flows, and in which of *number* cells, a condition must hold."""
    judged = [case for case in cases if not case.reason]
    if not judged:
        reason = cases[0].reason if cases else "no cell has what the condition names"
        return f"cannot be judged: {reason}"
    flows = list(dict.fromkeys(case.flow for case in judged))
    named = dict.fromkeys(case.cell.name for case in judged)
    text = f"for {'the flow' if len(flows) == 1 else 'each of the flows'} {_listed(flows, _MOST_FLOWS, ', ')}"
    if len({(case.cell.name, case.flow) for case in judged}) < len(named) * len(flows):
        text += " where it has what is measured"
    if len(named) == number:
        text += f", in all {number} cells" if number > 1 else ""
    else:
        text += f", in {len(named)} of {number} cells ({_listed(list(named), _MOST_CELLS, '; ')})"
    lacking = [case.reason for case in cases if case.reason]
    times = f"{len(lacking)} time{'' if len(lacking) == 1 else 's'}"
    return f"{text}; cannot be judged {times}: {lacking[0]}" if lacking else text


def _listed(texts: list[str], most: int, separator: str) -> str:
    more = [f"and {len(texts) - most} more"] if len(texts) > most else []
    return separator.join([*texts[:most], *more])
