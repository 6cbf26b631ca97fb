# SPDX-License-Identifier: Apache-2.0
"""Which axis of a matrix is the algorithm's, and which stands for a number."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from lab.evaluation.axes import RunAxis, algorithm_axis, axes_of, numeric_axis
from lab.report.model import Report

CC = RunAxis("flows.bulk.cc", "cc", ("cubic", "bbr"))
LOSS = RunAxis("link.loss", "loss", ("0%", "1%"))
KIND = RunAxis("link.queue.discipline", "discipline", ("bfifo", "codel"))


def trial(cell: dict[str, Any], *algorithms: str) -> Any:
    return SimpleNamespace(cell=cell, job={"flows": [{"congestion_control": name} for name in algorithms]})


def test_values_have_their_places() -> None:
    axis = RunAxis("a", "a", ("2%", {"limit": "10p"}, 3))
    assert [axis.rank(value) for value in ("2%", {"limit": "10p"}, 3, "other")] == [0, 1, 2, 3]
    assert [axis.rank_of_text(axis.text(value)) for value in axis.values] == [0, 1, 2]
    assert axis.rank_of_text("other") == 3


@pytest.mark.parametrize(
    ("values", "unit", "numbers"),
    [
        (("0.25bdp", "2bdp", "16bdp"), "bdp", [0.25, 2, 16]),
        (("0%", "1%"), "fraction", [0, 0.01]),
        (("20ms", "1s"), "s", [0.02, 1]),
        (("20mbit", "1.5Gbit/s"), "bit/s", [2e7, 1.5e9]),
        (("1500B", "64KiB"), "bytes", [1500, 65536]),
        (("100p", "20 p"), "packets", [100, 20]),
        ((1, 2.5), "", [1, 2.5]),
        # What cannot be compared is no number.
        (("1bdp", "100p"), None, [None, None]),
        (("cubic", "bbr"), None, [None, None]),
        (("1%", {"model": "gemodel"}), None, [None, None]),
        ((True, False), None, [None, None]),
        (("1bdp", None), None, [None, None]),
    ],
)
def test_values_as_numbers(values: tuple[Any, ...], unit: str | None, numbers: list[float | None]) -> None:
    axis = RunAxis("a", "a", values)
    assert axis.unit == unit
    assert [axis.number(value) if unit is not None else None for value in values] == pytest.approx(numbers)


def test_axes_are_the_plans_or_what_cells_have() -> None:
    declared = {"axes": [{"path": "flows.bulk.cc", "label": "cc", "values": ["cubic", "bbr"]}]}
    assert axes_of(declared, []) == [CC]
    cells = [trial({"a": 1, "b": "x"}), trial({"a": 2, "b": "x"}), trial({"a": 1, "b": "x"})]
    assert axes_of({}, cells) == [RunAxis("a", "a", (1, 2)), RunAxis("b", "b", ("x",))]


def test_the_algorithms_axis_is_that_of_all_flows() -> None:
    trials = [trial({CC.path: name, KIND.path: "bfifo"}, name, name) for name in CC.values]
    assert algorithm_axis([KIND, CC], trials) == CC
    # One flow has another.
    assert algorithm_axis([KIND, CC], [*trials, trial({CC.path: "bbr", KIND.path: "bfifo"}, "bbr", "reno")]) is None
    assert algorithm_axis([KIND], trials) is None
    assert algorithm_axis([CC], []) is None
    assert algorithm_axis([CC], [trial({CC.path: 5}, "5")]) is None


def flow(**values: Any) -> Any:
    defaults: dict[str, Any] = {
        "declared_loss": 0.0,
        "declared_rtt_us": 0.0,
        "bottleneck_bps": None,
        "queue_bytes": None,
    }
    return SimpleNamespace(**{**defaults, **values})


def test_an_axis_stands_for_a_number_if_each_value_has_one_of_its_own() -> None:
    rows = [({LOSS.path: "0%"}, flow(declared_loss=0.0)), ({LOSS.path: "1%"}, flow(declared_loss=0.01))]
    found = numeric_axis([LOSS], rows)
    assert found is not None
    axis, quantity = found
    assert (axis, quantity.name, quantity.logarithmic) == (LOSS, "loss", True)
    assert quantity.read(rows[1][1]) == 1.0  # per cent
    # Two numbers of one value, or one of two.
    assert numeric_axis([LOSS], [*rows, ({LOSS.path: "1%"}, flow(declared_loss=0.02))]) is None
    assert numeric_axis([LOSS], [rows[0], ({LOSS.path: "1%"}, flow())]) is None
    assert numeric_axis([LOSS], rows[:1]) is None
    assert numeric_axis([], rows) is None


@pytest.mark.parametrize(
    ("values", "name", "shown"),
    [
        ([{"declared_rtt_us": 10_000.0}, {"declared_rtt_us": 40_000.0}], "rtt", [10.0, 40.0]),
        ([{"bottleneck_bps": 2_000_000}, {"bottleneck_bps": 4_000_000}], "rate", [2.0, 4.0]),
        ([{"queue_bytes": 15_000}, {"queue_bytes": 30_000}], "queue", [15.0, 30.0]),
    ],
)
def test_other_numbers(values: list[dict[str, Any]], name: str, shown: list[float]) -> None:
    rows = [({KIND.path: text}, flow(**one)) for text, one in zip(KIND.values, values, strict=True)]
    found = numeric_axis([KIND], rows)
    assert found is not None
    assert found[1].name == name
    assert [found[1].read(row) for _, row in rows] == shown


def test_axes_of_captured_runs(reports: Callable[[str], Report]) -> None:
    loss, kernels, udp = reports("loss"), reports("kernels"), reports("udp")
    assert loss.algorithm_axis is not None
    assert (loss.algorithm_axis.label, [axis.label for axis in loss.facet_axes]) == ("cc", ["loss"])
    assert kernels.kernel_axis is not None
    assert (kernels.facet_axes, [series.kernel for series in kernels.series]) == ([], ["debian-12", "debian-13"] * 2)
    assert udp.algorithm_axis is None
    assert udp.numeric is not None
    assert udp.numeric[1].name == "queue"
    # Of several flows, only all flows' algorithm is one.
    assert reports("fairness").algorithm_axis is None
