# SPDX-License-Identifier: Apache-2.0
"""Results are the same to the last digit, however Python adds numbers.

Before Python 3.12, the built-in ``sum`` adds numbers one after the other, and each addition may round; since then, it
adds floating-point numbers as if it rounded only once.  ``math.fsum`` rounds only once in every version.
"""

from __future__ import annotations

import builtins
import functools
import math
import operator
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from lab.evaluation.trial import evaluate_trials
from lab.job.network import mean_burst, state_stationary
from lab.job.protocol import Loss
from lab.report.answer.answer import answer
from lab.report.model import Report
from lab.store.run import Run


def _one_by_one(values: list[Any], start: Any) -> Any:
    return functools.reduce(operator.add, values, start)


def _rounded_once(values: list[Any], start: Any) -> Any:
    return math.fsum([start, *values])


def _patched(monkeypatch: pytest.MonkeyPatch, add: Callable[[list[Any], Any], Any]) -> None:
    real = builtins.sum

    def summed(values: Iterable[Any], /, start: Any = 0) -> Any:
        items = list(values)
        return add(items, start) if any(type(item) is float for item in items) else real(items, start)

    monkeypatch.setattr(builtins, "sum", summed)


@pytest.mark.parametrize("name", ["loss", "fairness", "crowd", "short_flows", "schedule"])
def test_no_result_depends_on_it(replayed: Callable[[str], Run], monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    run = replayed(name)
    found = []
    for add in (_one_by_one, _rounded_once):
        with monkeypatch.context() as patch:
            _patched(patch, add)
            evaluated = evaluate_trials(run)
            results = [(one.metrics, one.checks, one.probes) for one in evaluated]
            found.append(repr((results, answer(Report(run, evaluated)))))
    assert found[0] == found[1]


def test_no_loss_of_a_link_depends_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    loss: Loss = {"model": "state", "values": [0.013, 0.21, 0.1, 0.63, 0.0057]}
    found = []
    for add in (_one_by_one, _rounded_once):
        with monkeypatch.context() as patch:
            _patched(patch, add)
            found.append((state_stationary(loss["values"]), mean_burst(loss)))
    assert found[0] == found[1]
