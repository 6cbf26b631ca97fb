# SPDX-License-Identifier: Apache-2.0
"""The figures of what happened when: window, strip of events, queue, and states; against the raw rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle
from matplotlib.text import Annotation

from lab.job.drop_causes import cause_of
from lab.report.figures.drawn import Drawn
from lab.report.figures.look.style import GREY
from lab.report.figures.over_time.states import COLOURS
from tests.data.raw import RawTrial, Row
from tests.unit.report import expected
from tests.unit.report.artists import Points, is_close, points, side_by_side, visible

Figures = Callable[[str], dict[str, Drawn]]
Raw = Callable[[str], dict[str, RawTrial]]

AGAIN = {
    "fast": "fast retransmit", "timeout": "timeout", "tlp": "tail loss probe", "synack": "SYN-ACK again",
    "other": "other retransmission",
}  # fmt: skip
LOST = {
    "random_loss": "random loss", "queue_overflow": "queue overflow", "aqm": "dropped by AQM",
    "receive_buffer": "receive buffer full", "checksum": "bad checksum", "no_route": "no route", "firewall": "firewall",
}  # fmt: skip
ALGORITHMS = ("cubic", "bbr")


def columns(figure: Drawn) -> list[list[Axes]]:
    """The panels of each column, from above: window, strip, queue."""
    found: dict[int, list[Axes]] = {}
    for axes in visible(figure.figure):
        spec = axes.get_subplotspec()
        assert spec is not None
        found.setdefault(spec.colspan.start, []).append(axes)
    return [found[number] for number in sorted(found)]


def cause(trial: RawTrial, row: Row) -> str:
    ports = trial.record["interfaces"]
    here = [one for one in ports if (one["node"], one["interface"]) == (row["node"], row["interface"])]
    return cause_of(row["reason"], row["location"], [qdisc["kind"] for one in here for qdisc in one["qdiscs_after"]])


def events(trial: RawTrial, flow: str) -> dict[str, list[float]]:
    """Label → when, of a flow's retransmissions and drops."""
    found: dict[str, list[float]] = {}
    for row in trial.rows("retrans"):
        if row["flow"] == flow:
            found.setdefault(AGAIN[row["kind"]], []).append(row["t"] / 1e9)
    for row in trial.rows("drops"):
        if row["flow"] == flow and cause(trial, row) in LOST:
            found.setdefault(LOST[cause(trial, row)], []).append(row["t"] / 1e9)
    return found


def first_in_each(times: Sequence[float], end: float, bins: int) -> list[float]:
    found: dict[int, float] = {}
    for at in times:
        found.setdefault(min(int(at / end * bins), bins - 1), at)
    return sorted(found.values())


@pytest.fixture
def everything(figures: Figures, raw: Raw) -> list[tuple[list[Axes], RawTrial]]:
    """The panels of each algorithm, and its trial."""
    panels = columns(figures("everything")["events"])
    assert [column[0].get_title("left") for column in panels] == list(ALGORITHMS)
    return [(column, raw("everything")[f"{name}-r1"]) for column, name in zip(panels, ALGORITHMS, strict=True)]


def test_the_strip_has_a_tick_for_each_event_and_their_number(everything: list[tuple[list[Axes], RawTrial]]) -> None:
    labels = [text.get_text() for text in everything[0][0][1].get_yticklabels()]
    assert set(labels) == {label for _panels, trial in everything for label in events(trial, "bulk")}
    for (_window, strip, _queue), trial in everything:
        end = strip.get_xlim()[1] / 1.01
        counts = {text.xy[1]: text.get_text() for text in strip.texts if isinstance(text, Annotation)}
        ticks = [one for one in strip.collections if isinstance(one, LineCollection)]
        assert len(ticks) == len(labels)
        for place, label in enumerate(labels):
            times = events(trial, "bulk").get(label, [])
            assert counts[place] == f"{len(times):,}"
            segments = [segment for one in ticks for segment in np.asarray(one.get_segments())]
            drawn = sorted(float(segment[0][0]) for segment in segments if abs(segment[:, 1].mean() - place) < 0.01)
            assert drawn == pytest.approx(first_in_each(times, end, 400))


def test_the_window_and_what_cubic_remembers(everything: list[tuple[list[Axes], RawTrial]]) -> None:
    for (window, _strip, _queue), trial in everything:
        rows = trial.sending("bulk")
        curve = next(line for line in window.get_lines() if line.get_linewidth() == 0.9)
        assert is_close(points(curve), [(row["t"] / 1e9, row["snd_cwnd"]) for row in rows])
        # All of it holds between two ACKs; what CUBIC remembers has no colour of its own.
        assert {line.get_drawstyle() for line in window.get_lines() if line.get_linestyle() != "None"} == {"steps-pre"}
        steps = [line for line in window.get_lines() if to_hex(line.get_color()) == GREY]
        if trial.id.startswith("bbr"):
            assert not steps
            continue
        known = [row for row in trial.acks("bulk") if row["ca_name"] == "cubic" and row["ca_window_max"]]
        assert is_close(points(steps[0]), [(row["t"] / 1e9, row["ca_window_max"]) for row in known])


def test_marks_are_on_the_window(everything: list[tuple[list[Axes], RawTrial]]) -> None:
    for (window, _strip, _queue), trial in everything:
        end = window.get_xlim()[1] / 1.01
        curve = next(line for line in window.get_lines() if line.get_linewidth() == 0.9)
        x, y = zip(*points(curve), strict=True)
        lost = sorted(
            row["t"] / 1e9 for row in trial.rows("drops") if row["flow"] == "bulk" and cause(trial, row) in LOST
        )
        again = [row["t"] / 1e9 for row in trial.rows("retrans") if (row["flow"], row["kind"]) == ("bulk", "fast")]
        for marker, times in (("o", lost), ("v", again)):
            (marks,) = (line for line in window.get_lines() if line.get_marker() == marker)
            wanted = first_in_each(times, end, 75 // side_by_side(window))
            # The window that the ACK or the timeout has left: the next row's, which was in force since then.
            after = [next((window for t, window in zip(x, y, strict=True) if t >= at + 1e-4), y[-1]) for at in wanted]
            assert is_close(points(marks), list(zip(wanted, after, strict=True)))
        assert len(lost) > 5


QUEUES = [
    ("everything", ("r1", "r1-eth1"), 8.0),
    ("crowd", ("r1", "r1-eth1"), 120.0),
    ("schedule", ("s1", "s1-eth0"), 16.0),
]


@pytest.mark.parametrize(("name", "place", "limit"), QUEUES)
def test_the_queue_is_that_in_front_of_the_bottleneck(
    name: str, place: tuple[str, str], limit: float, figures: Figures, raw: Raw
) -> None:
    trials = sorted(raw(name), key=lambda one: "bbr" in one)
    for column, trial_id in zip(columns(figures(name)["events"]), trials, strict=True):
        axes, trial = column[-1], raw(name)[trial_id]
        samples = expected.queue_rows(trial, *place)
        end = axes.get_xlim()[1] / 1.01
        whole = [(0.0, 0.0), *((row["t"] / 1e9, float(row["backlog_packets"])) for row in samples if row["t"] > 0)]
        # The last value holds until the end of the axis.
        last = max(trial.job["duration_ns"], samples[-1]["t"] + 1) / 1e9
        whole.append((end, whole[-1][1]))
        (line,) = (one for one in axes.get_lines() if to_hex(one.get_color()) == "#777777")
        drawn = points(line)
        assert set(drawn) <= set(whole)
        assert len(drawn) >= min(len(whole), 500)
        assert drawn[0] == whole[0]
        assert drawn[-1] == whole[-1]
        assert max(y for _, y in drawn) == max(y for _, y in whole)
        (area,) = (one for one in axes.collections if not isinstance(one, LineCollection))
        assert area.get_paths()[0].get_extents().ymax == max(y for _, y in whole)
        is_near = limit < 3 * max(y for _, y in whole)
        levels = [set(points(one)) for one in axes.get_lines() if to_hex(one.get_color()) == GREY]
        assert levels == ([{(0.0, limit), (last, limit)}] if is_near else [])
        assert column[-1].get_xlabel() == "Time (s)"
    assert columns(figures(name)["events"])[0][-1].get_ylabel() == "Queue (packets)"


def test_the_other_axis_says_how_long_the_queue_takes(figures: Figures, raw: Raw) -> None:
    drawn = figures("everything")["events"]
    drawn.figure.draw_without_rendering()
    axes = columns(drawn)[-1][-1]
    (other,) = axes.child_axes
    # A full packet of 1514 bytes at 4 Mbit/s.
    assert other.get_ylim()[1] / axes.get_ylim()[1] == pytest.approx(1514 * 8 / 4e6 * 1e3)
    assert other.get_ylabel() == "Delay (ms)"
    # Where the rate changes, packets do not stand for a time.
    for name in ("schedule", "capacity"):
        assert not columns(figures(name)["events"])[0][-1].child_axes


def test_packets_that_found_the_queue_full_are_marked(figures: Figures, raw: Raw) -> None:
    for column, name in zip(columns(figures("everything")["events"]), ALGORITHMS, strict=True):
        axes, trial = column[-1], raw("everything")[f"{name}-r1"]
        lost = [
            row["t"] / 1e9
            for row in trial.rows("drops")
            if (row["node"], row["interface"]) == ("r1", "r1-eth1") and cause(trial, row) == "queue_overflow"
        ]
        (marks,) = (line for line in axes.get_lines() if line.get_marker() == "x")
        wanted = first_in_each(lost, axes.get_xlim()[1] / 1.01, 75 // side_by_side(axes))
        samples = [(row["t"] / 1e9, row["backlog_packets"]) for row in expected.queue_rows(trial, "r1", "r1-eth1")]
        heights = [next((value for t, value in reversed(samples) if 0 < t <= at), 0) for at in wanted]
        assert is_close(points(marks), list(zip(wanted, heights, strict=True)))
        assert lost


def test_of_a_crowd_every_window_is_drawn(figures: Figures, raw: Raw) -> None:
    trial = raw("crowd")["single-r1"]
    window = columns(figures("crowd")["events"])[0][0]
    assert len(window.get_lines()) == 9
    for line, flow in zip(window.get_lines(), trial.job["flows"], strict=True):
        whole = {(row["t"] / 1e9, float(row["snd_cwnd"])) for row in trial.sending(flow["name"])}
        assert set(points(line)) <= whole
        assert max(y for _, y in points(line)) == max(y for _, y in whole)
    strip = columns(figures("crowd")["events"])[0][1]
    counted = {text.xy[1]: text.get_text() for text in strip.texts if isinstance(text, Annotation)}
    kinds = Counter(AGAIN[row["kind"]] for row in trial.rows("retrans") if row["flow"])
    labels = [text.get_text() for text in strip.get_yticklabels()]
    assert {label: counted[place] for place, label in enumerate(labels)} == {
        label: str(number) for label, number in kinds.items()
    }


def test_each_cell_has_a_figure(figures: Figures) -> None:
    drawn = [name for name in figures("loss") if name.startswith("events")]
    assert drawn == ["events-1", "events-2", "events-3"]
    titles = [[column[0].get_title("left") for column in columns(figures("loss")[name])] for name in drawn]
    assert titles == [[f"{cc}, loss {loss}" for cc in ALGORITHMS] for loss in ("0%", "0.2%", "2%")]
    assert "cubic-loss-0pct-r" in figures("loss")["events-1"].caption


# --- states --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("figure", "algorithm"), [("states-1", "cubic"), ("states-2", "bbr")])
def test_states_are_bars_from_one_change_to_the_next(figure: str, algorithm: str, figures: Figures, raw: Raw) -> None:
    trial = raw("everything")[f"{algorithm}-r1"]
    (axes,) = figures("everything")[figure].figure.axes
    axis_end = axes.get_xlim()[1] / 1.01
    last = max(trial.job["duration_ns"], trial.rows("states")[-1]["t"]) / 1e9
    wanted = sorted(
        (COLOURS[name].lower(), start, max(end - start, 0.004 * axis_end))
        for life in expected.lives(trial)
        for name, start, end in expected.stretches(life, last)
    )
    bars = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    drawn = sorted((to_hex(bar.get_facecolor()), bar.get_x(), bar.get_width()) for bar in bars)
    assert [one[0] for one in drawn] == [one[0] for one in wanted]
    assert np.allclose([one[1:] for one in drawn], [one[1:] for one in wanted])
    labels = [text.get_text() for text in axes.get_yticklabels()]
    # A socket that only listened is no connection.
    connections = [life for life in expected.lives(trial) if expected.stretches(life, last)]
    owners = Counter((owner(life, "flow"), owner(life, "node")) for life in connections)
    named = Counter((flow or "other", node) for flow, node in owners.elements())
    assert Counter(tuple(label.split(", ")) for label in labels) == named
    assert (axes.get_title("left"), axes.get_xlabel()) == (algorithm, "Time (s)")


def owner(life: Sequence[Row], field: str) -> Any:
    known = next((row for row in life if row["flow"]), life[-1])
    return known[field]


def test_bars_are_on_the_line_of_their_connection(figures: Figures, raw: Raw) -> None:
    trial = raw("everything")["cubic-r1"]
    (axes,) = figures("everything")["states-1"].figure.axes
    last = max(trial.job["duration_ns"], trial.rows("states")[-1]["t"]) / 1e9
    lives = [(owner(life, "flow"), owner(life, "node"), life) for life in expected.lives(trial)]
    for place, text in enumerate(axes.get_yticklabels()):
        flow, node = text.get_text().split(", ")
        bars = [one for one in axes.patches if isinstance(one, Rectangle)]
        on_line = sorted(bar.get_x() for bar in bars if abs(bar.get_y() + bar.get_height() / 2 - place) < 1e-6)
        candidates: list[Points] = [
            [(start, 0.0) for _name, start, _end in expected.stretches(life, last)]
            for own_flow, own_node, life in lives
            if (own_flow or "other", own_node) == (flow, node)
        ]
        assert any(is_close([(x, 0.0) for x in on_line], wanted) for wanted in candidates)
