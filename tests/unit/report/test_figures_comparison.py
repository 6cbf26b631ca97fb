# SPDX-License-Identifier: Apache-2.0
"""Figures that compare cells: what is drawn against the raw records."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import pytest
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer

from lab.report.figures.drawn import Drawn
from lab.report.model import Report, Row
from lab.store.run import Run
from tests.data.capture import names
from tests.data.raw import RawTrial
from tests.unit.report import expected
from tests.unit.report.artists import Points, colour, is_close, legend_of, levels, lines_of, points
from tests.unit.report.expected import Line

Figures = Callable[[str], dict[str, Drawn]]
Lines = Callable[[str], dict[tuple[tuple[str, ...], str, str, str], Line]]

CEILING = 4 * 1448 / 1514
"""Of 4 Mbit/s, what is left for payload."""
BY_CELL = [name for name in names() if name != "loss"]
TRACED = [name for name in names() if name not in ("native", "udp")]


@pytest.fixture(scope="module")
def lines(replayed: Callable[[str], Run], raw: Callable[[str], dict[str, RawTrial]]) -> Lines:
    return functools.cache(lambda name: expected.result_lines(replayed(name).path, raw(name)))


def line_of(lines: Lines, name: str, row: Row) -> Line:
    return lines(name)[row.facet, row.series.group, row.series.algorithm, row.series.kernel]


def error_bars(axes: Axes) -> list[tuple[str, Points, list[tuple[float, ...]]]]:
    """(colour, where the marks are, ends of the bars) of each group of error bars."""
    found: list[tuple[str, Points, list[tuple[float, ...]]]] = []
    for container in axes.containers:
        assert isinstance(container, ErrorbarContainer)
        marks, _caps, bars = container.lines
        assert marks is not None
        ends = [tuple(float(one) for one in segment.flat) for segment in bars[0].get_segments()]
        found.append((colour(marks), points(marks), ends))
    return found


def test_goodput_against_loss(figures: Figures, lines: Lines) -> None:
    figure = figures("loss")["goodput-vs-loss"].figure
    (axes,) = figure.axes
    # The axis is logarithmic, and 0 % two thirds of a decade left of the smallest number.
    places = {"0%": math.log10(0.2) - 0.67, "0.2%": math.log10(0.2), "2%": math.log10(2)}
    colours = legend_of(figure)
    bars = {name: (marks, ends) for name, marks, ends in error_bars(axes)}
    for algorithm in ("cubic", "bbr"):
        name = colours[algorithm]
        own = [(x, lines("loss")[(cell,), "bulk", algorithm, ""]) for cell, x in places.items()]
        summaries = [(x, expected.summary(line.values("goodput_mbps"))) for x, line in own]
        means = [(x, float(summary["mean"] or 0)) for x, summary in summaries]
        (joined,) = (line for line in lines_of(axes, name) if line.get_linestyle() != "None")
        assert is_close(points(joined), means)
        marks, ends = bars[name]
        assert is_close(marks, means)
        halves = [float(summary["ci95"] or 0) for _x, summary in summaries]
        # A measured value may exceed what the link carries by a packet, which then is the limit.
        most = [max(CEILING, *line.values("goodput_mbps")) for _x, line in own]
        wanted = [
            (x, mean - min(half, mean), x, min(mean + half, limit))
            for (x, mean), half, limit in zip(means, halves, most, strict=True)
        ]
        assert is_close(ends, wanted)
        single = [points(line) for line in lines_of(axes, name, alpha=0.45)]
        assert is_close(
            [one for some in single for one in some],
            [(x, value) for x, line in own for value in line.values("goodput_mbps")],
        )
    assert levels(axes) == pytest.approx([CEILING])
    assert list(axes.get_xticks()) == pytest.approx(list(places.values()))
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0", "0.2", "2"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Random loss (%)", "Goodput (Mbit/s)")
    assert axes.get_ylim()[0] == 0
    assert list(colours)[:2] == ["cubic", "bbr"]
    assert len(colours) == 3


@pytest.mark.parametrize("name", BY_CELL)
def test_goodput_by_cell(name: str, figures: Figures, lines: Lines, reports: Callable[[str], Report]) -> None:
    figure, rows = figures(name)["goodput-by-cell"].figure, reports(name).rows
    axes = figure.axes[0]
    assert len(rows) == len(lines(name))
    bars = error_bars(axes)
    single = [line for line in axes.get_lines() if line.get_alpha() == 0.35]
    for place, row in enumerate(rows):
        values = [rate * expected.unit(name)[1] for rate in line_of(lines, name, row).values("goodput_mbps")]
        assert is_close(points(single[place]), [(value, place) for value in values])
        _name, marks, ends = bars[place]
        mean, half = sum(values) / len(values), expected.summary(values)["ci95"] if len(values) > 2 else 0
        assert is_close(marks, [(mean, place)])
        most = max(0.0, ceiling_of(row, expected.unit(name)[1]) - mean)
        assert is_close(ends, [(mean - min(half or 0, mean), place, mean + min(half or 0, most), place)])
        label = axes.get_yticklabels()[place].get_text()
        assert all(part in label for part in (row.series.label, *row.facet))
        assert row.series.algorithm in label
    assert axes.get_xlabel() == f"Goodput ({expected.unit(name)[0]})"
    assert axes.get_xlim()[0] == 0
    low, high = axes.get_ylim()
    assert low > high  # the first is at the top


@pytest.mark.parametrize("name", TRACED)
def test_goodput_against_delay(name: str, figures: Figures, lines: Lines, reports: Callable[[str], Report]) -> None:
    figure = figures(name)["goodput-vs-delay"].figure
    (axes,) = figure.axes
    drawn = [line for line in axes.get_lines() if [x for x, _ in points(line)] != [0.0, 1.0]]
    drawn = [line for line in drawn if line.get_linestyle() == "None"]
    small = [line for line in drawn if line.get_alpha() == 0.3]
    large = [line for line in drawn if line.get_alpha() != 0.3]
    rows = [row for row in reports(name).rows if line_of(lines, name, row).values("queueing_mean_ms")]
    # More than five series have labels beside their markers instead of a legend.
    labels = {text.get_text(): colour(text) for text in axes.texts}
    colours = legend_of(figure) if figure.legends else labels
    assert len(small) == len(large) == len(rows)
    for row, some, one in zip(rows, small, large, strict=True):
        line = line_of(lines, name, row)
        delays = line.values("queueing_mean_ms")
        rates = [rate * expected.unit(name)[1] for rate in line.values("goodput_mbps")]
        assert is_close(points(some), list(zip(delays, rates, strict=True)))
        assert is_close(points(one), [(sum(delays) / len(delays), sum(rates) / len(rates))])
        assert colour_of(one) == colour_of(some) == colours[row.series.label]
    left, right = axes.get_xlim()
    assert left > right  # smaller delays at the right
    assert axes.get_xlabel().startswith("Mean queueing delay (ms)")
    assert axes.get_ylabel() == f"Goodput ({expected.unit(name)[0]})"


def ceiling_of(row: Row, per_mbps: float) -> float:
    """What the bottleneck can carry of a row's flows, in the unit of the report; infinite without a limit."""
    flows = [flow for item in row.used for flow in item.flows]
    rates = [flow.bottleneck_bps for flow in flows]
    return max((rate or math.inf) * flow.ceiling for rate, flow in zip(rates, flows, strict=True)) / 1e6 * per_mbps


def colour_of(line: Any) -> str:
    return colour(line)


@pytest.mark.parametrize("name", ["native", "udp"])
def test_nothing_is_drawn_of_what_was_not_traced(name: str, figures: Figures) -> None:
    assert not {"cwnd", "srtt", "goodput", "events"} & figures(name).keys()
