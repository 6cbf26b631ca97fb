# SPDX-License-Identifier: Apache-2.0
"""The notes of ``lab check`` on repetitions: that they cannot differ, or that there are too few of them."""

from __future__ import annotations

from typing import Any

import pytest

from lab.experiment.check.validate import validate
from lab.plan.description import notes
from lab.plan.plan import make_plan

FEW = "fewer than 3 repetitions: the report cannot estimate the random variation of the results"


def found(*, repeat: int = 3, link: dict[str, Any] | None = None, **fields: Any) -> list[str]:
    document = {
        "name": "test",
        "topology": {"kind": "dumbbell", "pairs": 2, "bottleneck": {"rate": "20mbit", "delay": "10ms", **(link or {})}},
        "flows": {"bulk": {"from": "s1", "to": "d1"}},
        "duration": "60s",
        "repeat": repeat,
    }
    return notes(make_plan(validate({**document, **fields})))


def short(**fields: Any) -> dict[str, Any]:
    return {"bulk": {"from": "s1", "to": "d1"}, "web": {"from": "s2", "to": "d2", **fields}}


def test_repetitions_in_which_nothing_is_random_tell_what_one_does() -> None:
    assert found() == [
        "nothing in this experiment is random: the 3 repetitions are the same computation, and tell no more than one; "
        "to see how much results vary, set start_jitter"
    ]
    assert found(repeat=1) == [
        "nothing in this experiment is random: further repetitions would be equal to the first one; to see how much "
        "results vary, set start_jitter and repeat: 3"
    ]


RANDOM: dict[str, dict[str, Any]] = {
    "start": {"start_jitter": "50ms"},
    "loss": {"link": {"loss": "0.1%"}},
    "jitter": {"link": {"jitter": {"spread": "1ms", "keep_order": True}}},
    "arrivals": {"flows": short(arrivals={"per_second": 2}, amount="10kB")},
    "sizes": {
        "flows": short(
            arrivals={"per_second": 2, "process": "constant"},
            amount={"distribution": "pareto", "mean": "24kB", "shape": 1.5, "largest": "1MB"},
        )
    },
    "real time": {"engine": "native"},
    # Before Linux 6.6, netem's seed is that of the kernel's whole generator.
    "old kernel": {"kernel": "debian-12", "flows": {"bulk": {"from": "s1", "to": "d1", "cc": "bbr"}}},
}


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize("repeat", [1, 2, 3])
def test_where_something_is_random_only_too_few_repetitions_have_a_note(name: str, repeat: int) -> None:
    assert [note for note in found(repeat=repeat, **RANDOM[name]) if "repetition" in note] == [FEW] * (repeat < 3)


EQUAL: dict[str, dict[str, Any]] = {
    "no start jitter": {"start_jitter": "0s"},
    "listed losses": {"link": {"loss": {"model": "list", "packets": [5, 9]}}},
    "arrivals at equal intervals": {
        "flows": short(arrivals={"per_second": 2, "process": "constant"}, amount="10kB"),
    },
    # The kernel draws the same in all repetitions, because every trial begins in the same state.
    "what the kernel draws": {"flows": {"bulk": {"from": "s1", "to": "d1", "cc": "bbr"}}},
}


@pytest.mark.parametrize("name", EQUAL)
@pytest.mark.parametrize("repeat", [1, 2, 3])
def test_where_nothing_is_random_more_repetitions_are_not_asked_for(name: str, repeat: int) -> None:
    (note,) = (note for note in found(repeat=repeat, **EQUAL[name]) if "repetition" in note)
    assert note.startswith("nothing in this experiment is random")


def test_cells_without_anything_random_are_named() -> None:
    loss = {"topology.bottleneck.loss": ["0%", "1%"]}
    assert found(matrix={**loss, "flows.bulk.cc": ["cubic", "reno"]}) == [
        "nothing is random in 2 of 4 cells (loss-0pct-cubic, loss-0pct-reno): the 3 repetitions of such a cell are the "
        "same computation, and tell no more than one; to see how much results vary, set start_jitter"
    ]
    few, equal = sorted(found(matrix=loss, repeat=2))
    assert few == FEW
    assert equal.startswith("nothing is random in 1 of 2 cells (loss-0pct): the 2 repetitions")
    many = {**loss, "flows.bulk.cc": ["cubic", "reno", "vegas", "hybla", "veno"]}
    assert "(loss-0pct-cubic, loss-0pct-reno, loss-0pct-vegas and 2 more)" in found(matrix=many)[0]
