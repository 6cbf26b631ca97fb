# SPDX-License-Identifier: Apache-2.0
"""Quantities that keep their values until they change, and routes where hosts cut the network in two."""

from __future__ import annotations

import pytest

from lab.job.network import NoRouteError, route
from lab.job.over_time import Steps, combined, delay_over_time, mean
from tests.jobs import job_with

RATE = Steps(((0, 10.0), (100, 4.0), (200, 4.0), (300, 8.0)))


def test_a_value_holds_until_the_next() -> None:
    assert [RATE.at(at) for at in (-5, 0, 99, 100, 299, 300, 10**6)] == [10, 10, 10, 4, 4, 8, 8]
    assert RATE.without_repeats().changes == ((0, 10.0), (100, 4.0), (300, 8.0))
    assert list(RATE.without_repeats().spans(50, 350)) == [(50, 100, 10.0), (100, 300, 4.0), (300, 350, 8.0)]
    assert list(RATE.spans(150, 150)) == [(150, 150, 4.0)]
    assert RATE.map(lambda value: value * 2).changes[0] == (0, 20.0)


def test_means_are_over_time() -> None:
    assert mean(RATE, 50, 350) == pytest.approx((50 * 10 + 200 * 4 + 50 * 8) / 300)
    assert mean(RATE, -100, 100) == 10
    assert mean(RATE, 300, 300) == 8


def test_quantities_are_combined_at_each_change_of_either() -> None:
    other = Steps(((0, 6.0), (50, 20.0), (100, 5.0)))
    assert combined([RATE, other], min).changes == ((0, 6.0), (50, 10.0), (100, 4.0), (200, 4.0), (300, 5.0))
    assert combined([], sum).changes == ((0, 0),)
    assert delay_over_time(()).changes == ((0, 0),)


def test_a_router_that_cannot_reach_the_destination_is_no_way_there() -> None:
    # h1 and h2 are hosts, which do not forward, so that r1 is cut off from h3.
    job = job_with(["h1", "r1", "h2", "h3"], [("h1", "r1"), ("r1", "h2"), ("h1", "h3")])
    assert [hop.receiver for hop in route(job, "h1", "h3")] == ["h3"]
    with pytest.raises(NoRouteError):
        route(job, "h2", "h3")
