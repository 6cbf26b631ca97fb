# SPDX-License-Identifier: Apache-2.0
"""The points of the page, computed from rows whose numbers are known, and from rows that make no sense."""

from __future__ import annotations

import copy
import struct
from typing import Any

import pytest

from lab.job.watched import WATCHED_TICK_NS, unpacked
from lab.watch.samples import MOST_NAMES, OWN, Samples
from tests.unit.watch.engine import LAYOUTS, PLACE, START_NS, links_of, own_row, rows, start_frame

TICK = WATCHED_TICK_NS


def begun() -> Samples:
    links = links_of()
    samples = Samples(links.job, links.limit_packets)
    samples.begin(unpacked(start_frame())[0])
    return samples


def test_the_points_are_those_of_the_rows() -> None:
    samples = begun()
    for tick in range(11):
        samples.add((tick + 1) * TICK, rows(tick * TICK))
    # The last tick has to wait for the bins that may still be open.
    assert samples.charts["goodput"].times_ms == [100 * (tick + 1) for tick in range(10)]
    assert samples.charts["goodput"].values == [[4.0] * 10]
    assert samples.charts["cwnd"].times_ms == [20 * (point + 1) for point in range(50)]
    assert samples.charts["cwnd"].values == [[7.0] * 50]
    assert samples.charts["rtt"].values == [[50.0] * 50]
    assert samples.charts["queue"].values == [[100.0] * 50, [3.0] * 50]
    assert samples.lost == [10]


def test_a_window_stays_while_no_acknowledgement_comes_and_an_rtt_does_not() -> None:
    samples = begun()
    samples.add(TICK, rows(0))
    for tick in range(2, 5):
        samples.add(tick * TICK, {})
    assert samples.charts["cwnd"].values[0] == [7.0] * 15
    assert samples.charts["rtt"].values[0] == [50.0] * 5 + [None] * 10
    assert samples.charts["goodput"].values[0] == [4.0, 0.0, 0.0]


def test_a_flow_has_no_window_before_it_begins() -> None:
    links = links_of()
    links.job["flows"][0]["start_ns"] = TICK
    samples = Samples(links.job, links.limit_packets)
    samples.begin(unpacked(start_frame())[0])
    for tick in range(3):
        samples.add((tick + 1) * TICK, rows(tick * TICK))
    assert samples.charts["cwnd"].values[0] == [None] * 5 + [7.0] * 5
    assert samples.charts["rtt"].values[0] == [None] * 5 + [50.0] * 5


def test_a_bin_may_reach_into_the_next_tick() -> None:
    samples = begun()
    length = 60_000_000
    row = struct.pack("<QQQII", START_NS + 70_000_000, length, 6 * length, *PLACE)
    other = struct.pack("<QQQII", START_NS, length, 6 * length, 1, 1)
    samples.add(TICK, {"backlog": row + other})
    samples.add(2 * TICK, {})
    # From 70 to 130 ms, of which the points up to 100 ms are known now.
    assert samples.charts["queue"].values[1] == [0, 0, 0, 3.0, 6.0]


def test_the_limit_follows_the_changes() -> None:
    links = links_of()
    samples = Samples(links.job, links.limit_packets)
    samples.begin(unpacked(start_frame())[0])
    (slider,) = (one for one in links.sides[0].sliders if one.quantity == "queue")
    (ten,) = (number for number, option in enumerate(slider.options) if option.text == "10p")
    links.change(TICK, 0, "queue", ten)
    samples.add(3 * TICK, rows(0))
    assert samples.charts["queue"].values[0] == [100.0] * 5 + [10.0] * 5


def test_each_name_of_an_algorithm_has_a_chart_from_its_first_value_on() -> None:
    samples = begun()
    samples.add(TICK, {"cc_trace": own_row(30_000_000, b"queued", 4) + own_row(35_000_000, b"queued", 5)})
    samples.add(2 * TICK, {"cc_trace": own_row(TICK, b"diff\0junk", -7) + own_row(TICK, b"queued", 6, 5201, 20000)})
    samples.add(3 * TICK, {})
    assert list(samples.charts)[4:] == [OWN + "queued", OWN + "diff"]
    queued, diff = samples.charts[OWN + "queued"], samples.charts[OWN + "diff"]
    # The last value of a point counts, and holds; what the receiver records is not shown.
    assert queued.times_ms == [20 * (point + 1) for point in range(10)]
    assert queued.values == [[None] + [5.0] * 9]
    assert diff.times_ms == [20 * (point + 1) for point in range(5, 10)]
    assert diff.values == [[-7.0] * 5]
    assert not samples.has_more_names


def test_names_have_so_many_charts_and_no_more() -> None:
    samples = begun()
    many = b"".join(own_row(1000 * number, b"n%d" % number, number) for number in range(3 * MOST_NAMES))
    samples.add(TICK, {"cc_trace": many})
    samples.add(2 * TICK, {})
    assert [name for name in samples.charts if name.startswith(OWN)] == [f"{OWN}n{at}" for at in range(MOST_NAMES)]
    assert samples.has_more_names


def test_a_name_is_shown_as_plain_text() -> None:
    samples = begun()
    samples.add(TICK, {"cc_trace": own_row(1, b"\x1b[31m\xff<b>", 1)})
    samples.add(2 * TICK, {})
    assert list(samples.charts)[-1] == f"{OWN}\ufffd[31m\ufffd<b>"


def test_names_of_another_type_are_refused() -> None:
    head = copy.deepcopy(unpacked(start_frame())[0])
    (name,) = (one for one in head["layouts"]["cc_trace"]["fields"] if one["name"] == "name")
    name["type"] = "<u8"
    links = links_of()
    samples = Samples(links.job, links.limit_packets)
    samples.begin(head)
    samples.add(TICK, {"cc_trace": own_row(1, b"x", 1)})
    with pytest.raises(ValueError, match="no texts"):
        samples.add(2 * TICK, {})


def test_a_long_lecture_keeps_a_quarter_of_an_hour() -> None:
    samples = begun()
    ticks = 40 * 60 * 10
    for tick in range(0, ticks, 10):
        samples.add((tick + 10) * TICK, {})
    for name, chart in samples.charts.items():
        last_ms = (ticks - 1) * TICK // 10**6
        assert chart.times_ms[-1] == last_ms
        assert last_ms - 16 * 60_000 <= chart.times_ms[0] <= last_ms - 15 * 60_000
        assert {len(series) for series in chart.values} <= {len(chart.times_ms)}, name
        # What is sent goes on where it was, whatever has been forgotten.
        assert chart.count * (chart.times_ms[-1] - chart.times_ms[-2]) == last_ms
        assert chart.taken_from(chart.count - 3)["t"] == chart.times_ms[-3:]
        assert chart.taken_from(0)["t"] == chart.times_ms


def test_old_rows_do_not_pile_up() -> None:
    samples = begun()
    for tick in range(20):
        samples.add((tick + 1) * TICK, rows(tick * TICK))
    assert all(len(kept) <= 20 for kept in samples._kept.values())


@pytest.mark.parametrize(
    "damage",
    [
        {"start_ns": None},
        {"start_ns": "soon"},
        {"layouts": None},
        {"layouts": {"tcp_probe": {}}},
        {"layouts": {"tcp_probe": {**LAYOUTS["tcp_probe"], "row_bytes": 1 << 40}}},
        {"layouts": {"tcp_probe": {**LAYOUTS["tcp_probe"], "row_bytes": 8}}},
        {"layouts": {"tcp_probe": {**LAYOUTS["tcp_probe"], "fields": [{"name": "x", "type": "O", "offset": 0}]}}},
        {"layouts": {"tcp_probe": {**LAYOUTS["tcp_probe"], "fields": [{"name": "x", "type": "<u8", "offset": -8}]}}},
        {"flows": [{"sport": "x", "dport": 1}]},
        {"flows": 3},
        {"queues": [{}]},
    ],
)
def test_a_start_that_makes_no_sense_is_refused(damage: dict[str, Any]) -> None:
    head = {**copy.deepcopy(unpacked(start_frame())[0]), **damage}
    links = links_of()
    with pytest.raises(ValueError, match=r"."):
        Samples(links.job, links.limit_packets).begin(head)


@pytest.mark.parametrize(
    "parts",
    [
        {"tcp_probe": b"1"},
        {"unknown": b""},
        {"tcp_probe": bytes(25)},
    ],
)
def test_rows_that_were_not_announced_are_refused(parts: dict[str, bytes]) -> None:
    with pytest.raises(ValueError, match="not as announced"):
        begun().add(TICK, parts)


def test_absurd_numbers_do_no_harm() -> None:
    samples = begun()
    samples.add(TICK, {name: b"\xff" * LAYOUTS[name]["row_bytes"] * 3 for name in LAYOUTS})
    samples.add(2 * TICK, {name: bytes(LAYOUTS[name]["row_bytes"] * 3) for name in LAYOUTS})
    samples.add(3 * TICK, rows(2 * TICK))
    assert len(samples.charts["cwnd"].times_ms) == 10
