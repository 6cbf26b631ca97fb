# SPDX-License-Identifier: Apache-2.0
"""Harm: which trial shows a flow alone, and how much worse the flow fares with others."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from lab.analysis.metrics.harm import less_is_better, more_is_better
from lab.evaluation.alone import Together, with_harm
from lab.report.model import Report


def test_harm_is_what_ware_et_al_define() -> None:
    """For throughput of 10 Mbit/s alone and 2 with others, harm is 0.8; for a delay of 40 ms alone and 160 ms, 0.75."""
    assert more_is_better(10.0, 2.0) == pytest.approx(0.8)
    assert more_is_better(10.0, 12.0) == pytest.approx(-0.2)
    assert less_is_better(40.0, 160.0) == pytest.approx(0.75)
    assert more_is_better(10.0, 0.0) == 1
    for one, other in ((None, 2.0), (2.0, None), (None, None)):
        assert more_is_better(one, other) is None
        assert less_is_better(one, other) is None
    assert more_is_better(0.0, 1.0) is None


@pytest.fixture
def pair(reports: Callable[[str], Report]) -> tuple[Together, Together]:
    """A trial with several flows, and one with the first of them alone, under another name and with other jitter."""
    result = next(one for one in reports("fairness").done if len(one.metrics) > 2)
    job: Any = copy.deepcopy(result.trial.job)
    job["flows"] = job["flows"][:1]
    job["flows"][0] |= {"name": "single", "group": "single", "port": 9999, "start_ns": 17}
    job |= {"duration_ns": 5, "collectors": {}, "probes": []}
    first = result.metrics[0]
    assert first.goodput_bps is not None
    assert first.srtt_mean_us is not None
    best = replace(first, goodput_bps=4 * first.goodput_bps, srtt_mean_us=first.srtt_mean_us / 2)
    return Together(result.trial.job, result.metrics, True), Together(job, (best,), True)


def test_a_flow_is_compared_with_itself_alone(pair: tuple[Together, Together]) -> None:
    together, alone = pair
    found, single = with_harm([together, alone])
    assert found[0].harm_goodput == pytest.approx(0.75)
    assert found[0].harm_rtt == pytest.approx(0.5)
    # The others have no such trial, and a flow alone has nobody who could harm it.
    assert {(flow.harm_goodput, flow.harm_rtt) for flow in (*found[1:], *single)} == {(None, None)}
    assert found == with_harm([alone, together])[1]


@pytest.mark.parametrize(
    ("field", "value"), [("seed", 5), ("mtu", 9000), ("kernel", "other"), ("links", []), ("ecn", "passive")]
)
def test_another_network_is_no_comparison(field: str, value: Any, pair: tuple[Together, Together]) -> None:
    together, alone = pair
    job: Any = {**alone.job, field: value}
    assert job != alone.job
    assert with_harm([together, replace(alone, job=job)])[0] == together.metrics


def test_nor_are_another_flow_or_an_invalid_trial(pair: tuple[Together, Together]) -> None:
    together, alone = pair
    for field, value in (("congestion_control", "other"), ("source", "s9"), ("duration_ns", 1), ("rate_bps", 5)):
        job: Any = {**alone.job, "flows": [{**alone.job["flows"][0], field: value}]}
        assert with_harm([together, replace(alone, job=job)])[0] == together.metrics
    assert with_harm([together, replace(alone, is_valid=False)])[0] == together.metrics
    assert with_harm([together]) == [together.metrics]
    assert with_harm([]) == []
