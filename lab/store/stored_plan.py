# SPDX-License-Identifier: Apache-2.0
"""Check the plan that was read from the folder of a run: the parts of ``plan.json`` on which the report relies.

The parts need not be there: a run can be read without a plan.  :meth:`lab.plan.plan.Plan.from_json` needs all of them.
"""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from lab.store.shape import check_shape

__all__ = ["PARTS", "check_plan"]


class _Axis(TypedDict):
    path: str
    label: NotRequired[str]
    values: list[Any]


class _Cell(TypedDict):
    id: str
    values: dict[str, Any]
    experiment: NotRequired[dict[str, Any]]


class _Trial(TypedDict):
    id: str
    cell: NotRequired[str]
    repetition: NotRequired[int]
    seed: NotRequired[int]
    digest: NotRequired[str]
    job: NotRequired[object]


PARTS: dict[str, Any] = {
    "format": int,
    "name": str,
    "title": str,
    "description": str,
    "engine": str,
    "axes": list[_Axis],
    "cells": list[_Cell],
    "trials": list[_Trial],
    "expect": list[Any],
}
"""Key of the plan → the type of its value."""


def check_plan(plan: Any, what: str) -> dict[str, Any]:
    """Return *plan* if each of its parts has the right shape.

    Raises:
        StoreError: It has not; the message names *what* is damaged, the place in it, what was found and what was
            expected.
    """
    check_shape(plan, dict[str, object], what)
    for key, hint in PARTS.items():
        if key in plan:
            check_shape(plan[key], hint, what, (key,))
    checked: dict[str, Any] = plan
    return checked
