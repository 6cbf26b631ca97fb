# SPDX-License-Identifier: Apache-2.0
"""Figures over time: every curve, mark, band and level against the raw rows."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon, Rectangle

from lab.report.figures.drawn import Drawn
from lab.report.figures.look.style import GREY, shades
from lab.report.figures.over_time.marks import BANDS, MARKERS
from lab.report.model import Report
from lab.store.run import Run
from tests.data.raw import RawTrial, Row
from tests.unit.report import expected
from tests.unit.report.artists import Points, is_close, legend_of, lines_of, points, side_by_side, visible
from tests.unit.report.expected import Line

Figures = Callable[[str], dict[str, Drawn]]

TRACED = [
    *("capacity", "crowd", "everything", "failed", "fairness", "kernels", "loss", "measured", "schedule"),
    "short_flows",
]
BIN_S = 0.1
"""Of goodput: no round trip here is longer, and no trial so long that it had more than 300 of them."""


@dataclass(frozen=True)
class Shown:
    """A series in a panel."""

    axes: Axes
    colour: str
    line: Line
    trials: dict[str, RawTrial]
    before: tuple[Shown, ...] = ()
    """Those that are drawn before it with its colour on the same axes."""

    @property
    def median(self) -> RawTrial:
        return self.trials[self.line.median()]

    @property
    def flows(self) -> list[str]:
        """Those of the trial with the median goodput that were traced."""
        trial_id = self.line.median()
        return [flow for flow in self.line.flows(trial_id) if expected.traced(self.trials[trial_id], flow)]


@pytest.fixture(scope="module")
def shown(
    figures: Figures,
    reports: Callable[[str], Report],
    replayed: Callable[[str], Run],
    raw: Callable[[str], dict[str, RawTrial]],
) -> Callable[[str, str], list[Shown]]:
    """Every series of every panel of an experiment's figure of a kind."""

    def found(name: str, kind: str) -> list[Shown]:
        figure, lines = figures(name)[kind].figure, expected.result_lines(replayed(name).path, raw(name))
        colours = legend_of(figure)
        panels = {
            axes.get_title("left").replace("\n", " ").removesuffix("  (invalid)"): axes for axes in visible(figure)
        }
        series: list[Shown] = []
        for row in reports(name).rows:
            line = lines[row.facet, row.series.group, row.series.algorithm, row.series.kernel]
            cell = ", ".join(
                f"{axis.label} {text}" for axis, text in zip(reports(name).facet_axes, row.facet, strict=True)
            )
            # Series with several flows have panels of their own.
            own = ", ".join(filter(None, (row.series.label, cell)))
            if own not in panels and cell not in panels:
                # Where each series has a panel of its own, those that are not traced have none.
                continue
            axes = panels[own] if own in panels else panels[cell]
            name_ = colours.get(row.series.label, "")
            before = tuple(other for other in series if (other.axes, other.colour) == (axes, name_))
            one = Shown(axes, name_, line, raw(name), before)
            if one.flows:
                series.append(one)
        assert series
        return series

    return found


def curve(trial: RawTrial, flow: str, field: str, factor: float = 1.0) -> Points:
    """A field of the rows of the ACKs while iperf3 sent, where it was measured."""
    return [
        (row["t"] / 1e9, row[field] * factor) for row in trial.sending(flow) if row[field] > 0 or field != "srtt_us"
    ]


def thins(drawn: Points, whole: Points) -> bool:
    """Whether *drawn* is *whole* with fewer points, that still has its ends and its extremes and is in order."""
    known = {(round(x, 9), round(y, 9)) for x, y in whole}
    return bool(
        all((round(x, 9), round(y, 9)) in known for x, y in drawn)
        and [x for x, _ in drawn] == sorted(x for x, _ in drawn)
        and is_close([drawn[0][:1], drawn[-1][:1]], [whole[0][:1], whole[-1][:1]])
        and np.isclose(max(y for _, y in drawn), max(y for _, y in whole))
        and np.isclose(min(y for _, y in drawn), min(y for _, y in whole))
        and len(drawn) >= min(len(whole), 150)
    )


def bold(one: Shown) -> list[Line2D]:
    # The flows of a series have shades of its colour, from dark to light.
    colours = shades(one.colour, len(one.flows)) if one.colour else []
    found = [line for name in colours for line in lines_of(one.axes, name.lower(), linewidth=0.9, zorder=4)]
    first = sum(len(other.flows) for other in one.before)
    return found[first : first + len(one.flows)]


def faint(one: Shown) -> list[Line2D]:
    assert not one.before or len(one.line.used) == 1
    return lines_of(one.axes, one.colour, alpha=0.3)


@pytest.mark.parametrize("kind", ["cwnd", "srtt"])
@pytest.mark.parametrize("name", TRACED)
def test_curves_are_the_kernels_values(name: str, kind: str, shown: Callable[[str, str], list[Shown]]) -> None:
    field, factor = {"cwnd": ("snd_cwnd", 1.0), "srtt": ("srtt_us", 1e-3)}[kind]
    for one in shown(name, kind):
        drawn = bold(one)
        assert len(drawn) == len(one.flows)
        for line, flow in zip(drawn, one.flows, strict=True):
            assert thins(points(line), curve(one.median, flow, field, factor))
        others = [trial_id for trial_id in one.line.used if trial_id != one.line.median()]
        # With several flows, those of other repetitions would cover them.
        others = others if len(one.flows) == 1 else []
        pale = faint(one)
        assert len(pale) == len(others) * len(one.flows)
        pairs = ((trial_id, flow) for trial_id in others for flow in one.line.flows(trial_id))
        for line, (trial_id, flow) in zip(pale, pairs, strict=True):
            assert thins(points(line), curve(one.trials[trial_id], flow, field, factor))


def arrived_until(trial: RawTrial, flow: str) -> Callable[[float], float]:
    """Bytes that arrived until a time in ns; those of a bin of 10 ms are spread over the time since the bin before."""
    width = 10_000_000
    before = None
    pieces: list[tuple[int, int, int]] = []
    for row in trial.rows("accounts"):
        if (row["flow"], row["side"]) != (flow, "arrived") or row["bytes"] == row["again_bytes"]:
            continue
        end = row["t"] + width
        start = before if before is not None and end - before <= BIN_S * 1e9 else row["t"]
        pieces.append((start, end, row["bytes"] - row["again_bytes"]))
        before = end

    def until(at: float) -> float:
        total = 0
        for start, end, payload in pieces:
            if at >= end:
                total += payload
            elif at > start:
                return total + payload * (at - start) / (end - start)
            else:
                break
        return total

    return until


@pytest.mark.parametrize("name", TRACED)
def test_goodput_is_what_arrived_in_each_bin(name: str, shown: Callable[[str, str], list[Shown]]) -> None:
    for one in shown(name, "goodput"):
        for line, flow in zip(bold(one), one.flows, strict=True):
            asked = next(asked for asked in one.median.job["flows"] if asked["name"] == flow)
            until = arrived_until(one.median, flow)
            edges, rates = (np.array(part) for part in zip(*points(line), strict=True))
            start, end = asked["start_ns"] / 1e9, (asked["start_ns"] + asked["duration_ns"]) / 1e9
            assert (edges[0], edges[-1]) == (pytest.approx(start), pytest.approx(end))
            assert all(0.5 * BIN_S <= width <= 2.5 * BIN_S for width in np.diff(edges))
            drawn = rates[:-1] * np.diff(edges) * scale_of(one.axes) / 8
            wanted = np.diff([until(at * 1e9) for at in edges])
            # Up to two packets count when the link sent them, and not when they arrived, at either end of a bin.
            assert np.abs(drawn - wanted).max() <= 4 * 1448
            assert np.abs(np.cumsum(drawn) - np.cumsum(wanted)).max() <= 2 * 1448 + 1
            assert line.get_drawstyle() == "steps-post"


def scale_of(axes: Axes) -> float:
    """How many bit/s the unit of a figure's rates has."""
    labels = {other.get_ylabel() for other in axes.figure.get_axes()}
    return next(scale for unit, scale in (("kbit/s", 1e3), ("Mbit/s", 1e6)) if f"Goodput ({unit})" in labels)


def grey(axes: Axes) -> list[Points]:
    """The dashed grey lines."""
    return [points(line) for line in axes.get_lines() if to_hex(line.get_color()) == GREY and line.get_zorder() == 1]


def last_end(one: Shown) -> float:
    """When the last flow on the same axes ends."""
    jobs = [trial.job for trial in one.trials.values()]
    return float(max([flow["start_ns"] + flow["duration_ns"] for job in jobs for flow in job["flows"]])) / 1e9


def is_near(drawn: Points, wanted: Points) -> bool:
    """Whether both have the same steps; the last point is when some flow on these axes ends.

    Lines that would cover one another are drawn once.
    """
    if len(drawn) != len(wanted) or drawn[-1][0] > wanted[-1][0] + 1e-9:
        return False
    return bool(np.allclose(np.array(drawn[:-1]), np.array(wanted[:-1]), rtol=1e-3, atol=1e-9))


@pytest.mark.parametrize("name", TRACED)
def test_levels_are_the_base_rtt_and_what_the_link_can_carry(name: str, figures: Figures, shown: Any) -> None:
    share = (1428 if name == "fairness" else 1448) / 1514
    for one in shown(name, "srtt"):
        for flow in one.flows:
            steps = [(at / 1e9, base / 1e3) for at, base in one.median.base_rtts_us(flow)]
            wanted = [*steps, (last_end(one), steps[-1][1])]
            assert any(is_near(drawn, wanted) for drawn in grey(one.axes))
        assert all(line.get_drawstyle() == "steps-post" for line in one.axes.get_lines() if line.get_zorder() == 1)
    for one in shown(name, "goodput"):
        if name == "capacity":
            assert not grey(one.axes)
            (area,) = one.axes.collections
            heights = area.get_paths()[0].vertices[:, 1]
            # The fastest bin is one with a packet each 4 ms, and in the slowest there are 26 ms between packets.
            assert 0.9 < heights.max() / (1514 * 8 / 0.004 / 1e6 * share) < 1.1
            assert heights.min() == 0
            continue
        # A change of the rate is felt when the packets arrive that left after it, 10 and 15 ms later.
        changes = [(0.0, 4.0), (1.010, 2.0), (2.015, 4.0)] if name == "schedule" else [(0.0, 4.0)]
        (drawn,) = grey(one.axes)
        wanted = [(at, rate * share * 1e6 / scale_of(one.axes)) for at, rate in [*changes, (last_end(one), 4.0)]]
        assert is_near(drawn, wanted)


def test_axes_are_labelled_and_all_of_the_same_time(
    figures: Figures, shown: Callable[[str, str], list[Shown]], raw: Callable[[str], dict[str, RawTrial]]
) -> None:
    wanted = {
        "cwnd": "Congestion window (segments)",
        "srtt": "Smoothed RTT (ms)",
        "goodput": "Goodput (Mbit/s)",
    }
    for name in TRACED:
        longest = max(trial.job["duration_ns"] for trial in raw(name).values())
        series = shown(name, "cwnd")
        last = max(one.median.sending(flow)[-1]["t"] for one in series for flow in one.flows)
        ends = set()
        for kind, label in wanted.items():
            panels = visible(figures(name)[kind].figure)
            assert panels[0].get_ylabel() == (label if name != "crowd" else label.replace("Mbit/s", "kbit/s"))
            assert panels[-1].get_xlabel() == "Time (s)"
            # Delays that span decades are on a logarithmic axis, all others from zero.
            assert all(axes.get_xlim()[0] == 0 for axes in panels)
            assert all(axes.get_ylim()[0] == 0 for axes in panels if axes.get_yscale() == "linear")
            assert kind == "srtt" or all(axes.get_yscale() == "linear" for axes in panels)
            ends |= {axes.get_xlim()[1] for axes in panels}
        assert list(ends) == pytest.approx([1.01 * max(longest, last) / 1e9])
    assert "in bins of 0.1 s" in figures("loss")["goodput"].caption
    assert "the repetition with the median goodput" in figures("loss")["cwnd"].caption
    assert "the repetition with the median goodput" not in figures("everything")["cwnd"].caption


@pytest.mark.parametrize("name", TRACED)
def test_the_threshold_is_that_of_recovery(name: str, shown: Callable[[str, str], list[Shown]]) -> None:
    """In recovery the kernel reports the threshold as it is; elsewhere it may report the window's three quarters."""
    sure = 0
    for one in shown(name, "cwnd"):
        colours = shades(one.colour, len(one.flows)) if one.colour else []
        dotted = [line for name_ in colours for line in lines_of(one.axes, name_.lower(), alpha=0.8)]
        if one.line.algorithm == "bbr":
            assert not dotted
            continue
        first = sum(len(other.flows) for other in one.before)
        for line, flow in zip(dotted[first : first + len(one.flows)], one.flows, strict=True):
            rows = {round(row["t"] / 1e9, 9): row for row in in_doubt(one.median.sending(flow))}
            for x, y in points(line):
                row = rows[round(x, 9)]
                assert y <= row["ssthresh"]
                assert y < 2**31 - 1
                if row["ca_state"] in ("Recovery", "CWR") and not row["doubt"]:
                    assert y == row["ssthresh"]
                    sure += 1
    assert sure > 10


def in_doubt(rows: Sequence[Row]) -> Iterator[Row]:
    """The rows with ``doubt``: whether the threshold came up as three quarters of the window, as some other may be."""
    reported, doubt = 0, False
    for row in rows:
        if row["ssthresh"] != reported:
            doubt = row["ssthresh"] == row["snd_cwnd"] // 2 + row["snd_cwnd"] // 4
            reported = row["ssthresh"]
        yield {**row, "doubt": doubt}


# --- retransmissions, modes and estimates --------------------------------------------------------------------


def retransmissions(trial: RawTrial, flow: str) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for row in trial.rows("retrans"):
        if row["flow"] == flow:
            found.setdefault(row["kind"], []).append(row["t"] / 1e9)
    return found


def first_in_each(times: Sequence[float], end: float, bins: int) -> list[float]:
    """Of so many bins from 0 to *end*, the first of *times* in each."""
    found: dict[int, float] = {}
    for at in times:
        found.setdefault(min(int(at / end * bins), bins - 1), at)
    return sorted(found.values())


@pytest.mark.parametrize("name", ["everything", "fairness", "loss"])
def test_retransmissions_are_marked_where_they_were(name: str, shown: Callable[[str, str], list[Shown]]) -> None:
    marked = 0
    for one in shown(name, "cwnd"):
        end = one.axes.get_xlim()[1] / 1.01
        for flow, window in zip(one.flows, bold(one), strict=True):
            x, y = (np.asarray(values, dtype=float) for values in window.get_data())
            for kind, times in retransmissions(one.median, flow).items():
                wanted = first_in_each(times, end, 90 // side_by_side(one.axes))
                style = MARKERS.get(kind, {"marker": "."})["marker"]
                candidates = [points(line) for line in lines_of(one.axes, one.colour, linestyle="None", marker=style)]
                # The window that the ACK or the timeout has left, which is that of the next row.
                heights = [float(y[min(int(np.searchsorted(x, at + 1e-4)), len(y) - 1)]) for at in wanted]
                assert any(is_close(drawn, list(zip(wanted, heights, strict=True))) for drawn in candidates)
                marked += len(wanted)
    assert marked > 10


def test_of_a_crowd_no_flow_is_marked(shown: Callable[[str, str], list[Shown]]) -> None:
    (one,) = shown("crowd", "cwnd")
    assert sum(map(len, retransmissions(one.median, one.flows[0]).values())) >= 0
    assert not lines_of(one.axes, one.colour, linestyle="None")


def modes(trial: RawTrial, flow: str) -> Iterator[tuple[str, float, float]]:
    """(mode, from, to) of BBR, by all ACKs of the flow."""
    rows = [row for row in trial.acks(flow) if row["ca_name"] == "bbr"]
    runs = [(mode, list(own)) for mode, own in itertools.groupby(rows, key=lambda row: row["ca_mode"])]
    for (mode, own), (_next, following) in itertools.zip_longest(runs, runs[1:], fillvalue=("", rows[-1:])):
        yield mode, own[0]["t"] / 1e9, following[0]["t"] / 1e9


@pytest.mark.parametrize("name", ["everything", "loss", "kernels"])
def test_bands_are_the_modes_of_bbr(name: str, shown: Callable[[str, str], list[Shown]]) -> None:
    seen = set()
    for one in shown(name, "cwnd"):
        if one.line.algorithm != "bbr" or len(one.flows) > 1:
            continue
        wanted = [
            (BANDS[mode].lower(), start, end) for mode, start, end in modes(one.median, one.flows[0]) if mode in BANDS
        ]
        drawn = [(to_hex(patch.get_facecolor()), *extent(patch)) for patch in one.axes.patches]
        for colour, start, end in wanted:
            assert any(one_ == colour and np.isclose([left, right], [start, end]).all() for one_, left, right in drawn)
            seen.add(colour)
    assert BANDS["Startup"] in seen


def extent(patch: Any) -> tuple[float, float]:
    assert isinstance(patch, Rectangle | Polygon)
    if isinstance(patch, Rectangle):
        return patch.get_x(), patch.get_x() + patch.get_width()
    xs = [float(x) for x, _ in patch.get_xy()]
    return min(xs), max(xs)


@pytest.mark.parametrize("name", ["everything", "loss"])
def test_bbrs_estimate_is_drawn_with_the_goodput(name: str, shown: Callable[[str, str], list[Shown]]) -> None:
    for one in shown(name, "goodput"):
        dotted = lines_of(one.axes, one.colour, alpha=0.9)
        if one.line.algorithm != "bbr":
            assert not dotted
            continue
        (estimate,) = dotted
        rows = [row for row in one.median.acks(one.flows[0]) if row["ca_name"] == "bbr" and row["ca_bandwidth"]]
        # The kernel counts bytes per second.
        assert thins(points(estimate), [(row["t"] / 1e9, row["ca_bandwidth"] * 8e-6) for row in rows])


def test_legends_name_what_is_drawn(figures: Figures) -> None:
    assert list(legend_of(figures("loss")["srtt"].figure)) == ["cubic", "bbr", "base RTT"]
    goodput = list(legend_of(figures("loss")["goodput"].figure))
    assert goodput[:2] == ["cubic", "bbr"]
    assert len(goodput) == 4
    assert "estimate" in goodput[3]
    cwnd = list(legend_of(figures("loss")["cwnd"].figure))
    assert cwnd[:3] == ["cubic", "bbr", "ssthresh"]
    assert {"fast retransmit", "BBR Startup"} <= set(cwnd)
    kernels = list(legend_of(figures("kernels")["srtt"].figure))
    assert kernels[:2] == ["cubic, debian-12", "cubic, debian-13"]
    assert "ProbeRTT" in figures("loss")["cwnd"].caption


@pytest.mark.parametrize("kind", ["cwnd", "srtt"])
def test_solid_curves_of_one_algorithm_have_different_colours(figures: Figures, kind: str) -> None:
    entries = legend_of(figures("kernels")[kind].figure)
    curves = {label: colour for label, colour in entries.items() if "debian" in label}
    assert len(curves) == 4
    assert len(set(curves.values())) == 4
