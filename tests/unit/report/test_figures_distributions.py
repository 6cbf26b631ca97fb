# SPDX-License-Identifier: Apache-2.0
"""Distributions of latency and of completion times: each curve against the raw rows."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from matplotlib.axes import Axes

from lab.report.figures.compare.distributions import Panel, distributions
from lab.report.figures.drawn import Drawn
from tests.data.raw import RawTrial, Row, rank
from tests.unit.report.artists import Points, is_close, legend_of, lines_of, points, visible

Figures = Callable[[str], dict[str, Drawn]]
Raw = Callable[[str], dict[str, RawTrial]]
CELLS = ("bfifo", "fq_codel")
BLUE = {"color": "#0000ff", "linestyle": "solid"}


def rows_of(trials: dict[str, RawTrial], cell: str, collector: str, field: str, name: str) -> list[Row]:
    """Of both repetitions."""
    found = []
    for number in (1, 2):
        rows = trials[f"discipline-{cell}-r{number}"].rows(collector)
        found += [row for row in rows if row[field] == name]
    return found


def shares(values: list[float]) -> Points:
    """The share of all values that are no larger than each of those that came."""
    came = sorted(value for value in values if value > 0)
    return [(value, (place + 1) / len(values)) for place, value in enumerate(came)]


@pytest.mark.parametrize(
    ("figure", "collector", "field", "value", "panels"),
    [
        ("latency", "latency", "probe", "rtt_ns", ["echo", "datagrams", "requests"]),
        ("completions", "completions", "group", "fct_ns", ["web", "rpc"]),
    ],
)
def test_distributions(
    figure: str, collector: str, field: str, value: str, panels: list[str], figures: Figures, raw: Raw
) -> None:
    drawn = figures("short_flows")[figure].figure
    colours = legend_of(drawn)
    assert list(colours) == list(CELLS)
    assert [axes.get_title("left") for axes in visible(drawn)] == panels
    for axes, name in zip(visible(drawn), panels, strict=True):
        for cell in CELLS:
            (line,) = lines_of(axes, colours[cell])
            rows = rows_of(raw("short_flows"), cell, collector, field, name)
            assert is_close(points(line), shares([row[value] / 1e6 for row in rows]))
            assert line.get_drawstyle() == "steps-post"
        assert axes.get_ylim() == (0, 1)
        assert axes.get_xscale() == "log"
    labels = {"latency": "Round-trip time (ms)", "completions": "Flow completion time (ms)"}
    assert visible(drawn)[-1].get_xlabel() == labels[figure]
    assert visible(drawn)[0].get_ylabel() in ("Share of requests", "Share of flows")


def test_what_never_came_keeps_the_line_from_the_top() -> None:
    figure = distributions([Panel("p", [("a", np.array([3.0, 0, 1.0, 0]))])], "x", "y", [BLUE])
    (line,) = figure.axes[0].get_lines()
    assert points(line) == [(1.0, 0.25), (3.0, 0.5)]
    figure = distributions([Panel("p", [("a", np.zeros(3))])], "x", "y", [BLUE])
    assert not figure.axes[0].get_lines()
    assert not figure.legends


def binned(rows: list[Row], low: float, high: float) -> Iterator[tuple[float, float, float]]:
    """(median size in kB, median and 95 % quantile of times in ms) of those of eight bins that have 8 flows or more."""
    ratio = (high / low) ** (1 / 8)
    for number in range(8):
        left, right = low * ratio**number, low * ratio ** (number + 1)
        inside = [row for row in rows if row["fct_ns"] and left <= row["bytes"] < right]
        if len(inside) >= 8:
            own = [row["fct_ns"] / 1e6 for row in inside]
            yield statistics.median(row["bytes"] for row in inside) / 1e3, rank(own, 0.5), rank(own, 0.95)


def test_completion_times_over_sizes(figures: Figures, raw: Raw) -> None:
    drawn = figures("short_flows")["completions-size"].figure
    # Flows that are all of one size have no such axis.
    (axes,) = visible(drawn)
    assert axes.get_title("left") == "web"
    colours = legend_of(drawn)
    everything = [row for cell in CELLS for row in rows_of(raw("short_flows"), cell, "completions", "group", "web")]
    low, high = min(row["bytes"] for row in everything), max(row["bytes"] for row in everything) * 1.0001
    for cell in CELLS:
        rows = rows_of(raw("short_flows"), cell, "completions", "group", "web")
        wanted = list(binned(rows, low, high))
        assert len(wanted) >= 3
        median, most = lines_of(axes, colours[cell])
        assert is_close(points(median), [(size, middle) for size, middle, _ in wanted])
        assert is_close(points(most), [(size, upper) for size, _, upper in wanted])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Size (kB)", "Completion time (ms)")
    assert is_logarithmic(axes)


def is_logarithmic(axes: Axes) -> bool:
    return axes.get_xscale() == axes.get_yscale() == "log"
