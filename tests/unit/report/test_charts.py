# SPDX-License-Identifier: Apache-2.0
"""The data of the page's charts: few points, but all peaks, and the values that the trials have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lab.analysis.events import held_at
from lab.evaluation.collected import bottleneck_places, flow_drops, retransmissions
from lab.evaluation.on_the_way import queues_of
from lab.evaluation.traces import traced
from lab.report.charts import views
from lab.report.charts.flows import sampled, samples_of
from lab.report.charts.line import TICK_S, Line, points
from lab.report.charts.views import MAX_FLOWS, MAX_POINTS, MOST_BINS, charts_of, shown_repetitions
from lab.report.event_names import DROPS, RETRANSMISSIONS
from lab.report.model import Report, Row
from tests.data.capture import names

Reports = Callable[[str], Report]


# A busy machine may take long for one of the examples.
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.integers(0, 10**7), st.integers(0, 500)), min_size=1, max_size=400),
    st.integers(1, 20),
)
def test_no_peak_is_lost(rows: list[tuple[int, int]], bins: int) -> None:
    rows = sorted(rows)
    seconds = np.array([row[0] for row in rows]) * 1e-6
    values = np.array([row[1] for row in rows], dtype=np.float64)
    ticks, shown = points((seconds, values), bins, 0)
    assert len(ticks) == len(shown) <= max(4 * bins, len(rows))
    if len(rows) > 4 * bins and seconds[-1] > seconds[0]:
        assert len(ticks) <= 4 * bins
    assert all(np.diff(ticks) > 0)
    assert (min(shown), max(shown)) == (values.min(), values.max())
    assert (shown[0], shown[-1]) == (values[0], values[-1])


def test_each_bin_keeps_its_lowest_and_its_highest_value() -> None:
    seconds = np.arange(10_000) / 1000
    values = np.zeros(10_000)
    values[3123], values[3456] = 70, -5
    ticks, shown = points((seconds, values), 10, 0)
    found = dict(zip(ticks, shown, strict=True))
    assert (found[31230], found[34560]) == (70, -5)
    assert len(ticks) < 15


def test_points_at_the_same_tick_are_one_tick_apart() -> None:
    seconds = np.array([1.0, 1.00001, 1.00002, 2.0])
    assert points((seconds, np.array([5.0, 9.0, 1.0, 5.0])), 100, 0) == ((10000, 10001, 10002, 20000), (5, 9, 1, 5))


def test_times_are_written_as_differences() -> None:
    line = Line("cwnd", 1, "", "before", (5, 7, 20), (1.0, 2.5, 3.0))
    assert line.as_json() == {
        "chart": "cwnd", "series": 1, "name": "", "step": "before", "x": [5, 2, 13], "y": [1, 2.5, 3],
    }  # fmt: skip
    assert replace(line, minor=True).as_json()["minor"] is True


def charts(report: Report) -> views.Charts:
    found = charts_of(report)
    assert found is not None
    return found


def lines_of(report: Report, facet: int, chart: str, series: int | None) -> list[dict[str, Any]]:
    lines = charts(report).views[facet]["lines"]
    return [line for line in lines if (line["chart"], line["series"]) == (chart, series) and "minor" not in line]


def decoded(line: dict[str, Any]) -> tuple[Any, Any]:
    return np.cumsum(line["x"]) * TICK_S, np.array(line["y"], dtype=np.float64)


def traced_rows(report: Report) -> list[list[Row]]:
    rows = [row for row in report.rows if row.median().curves()]
    return [[row for row in rows if row.facet == facet] for facet in dict.fromkeys(row.facet for row in rows)]


@pytest.mark.parametrize("name", ["loss", "fairness", "everything", "measured"])
def test_curves_are_those_of_the_trials(name: str, reports: Reports) -> None:
    report = reports(name)
    for place, rows in enumerate(traced_rows(report)):
        view = charts(report).views[place]
        assert [series["label"] for series in view["series"]] == [row.series.label for row in rows]
        for series, shown_of in enumerate(shown_repetitions(rows)):
            trial = shown_of.evaluated.trial
            assert view["series"][series]["trial"] == trial.id
            flows = [flow.flow for flow in shown_of.flows if flow.flow in shown_of.evaluated.curves]
            for number, flow in enumerate(flows[:MAX_FLOWS]):
                for chart, digits in (("cwnd", 0), ("srtt", 2)):
                    seconds, values = sampled(samples_of(trial)[flow], chart)
                    times, shown = decoded(lines_of(report, place, chart, series)[number])
                    assert shown.min() == pytest.approx(values.min(), abs=10**-digits)
                    assert shown.max() == pytest.approx(values.max(), abs=10**-digits)
                    assert times[0] == pytest.approx(seconds[0], abs=TICK_S)
                    assert times[-1] == pytest.approx(seconds[-1], abs=TICK_S * len(times))
                for chart, digits, scale in (("in_flight", 0, 1), ("pacing_rate", 3, report.rate_unit[1])):
                    seconds, values = traced(trial, flow, chart)
                    _times, shown = decoded(lines_of(report, place, chart, series)[number])
                    assert shown.min() == pytest.approx(values.min() / scale, abs=10**-digits)
                    assert shown.max() == pytest.approx(values.max() / scale, abs=10**-digits)
                curves = shown_of.evaluated.curves[flow]
                times, shown = decoded(lines_of(report, place, "goodput", series)[number])
                middles = (curves.goodput[0][:-1] + curves.goodput[0][1:]) / 2
                assert held_at(times, shown, middles) == pytest.approx(
                    curves.goodput[1][:-1] / report.rate_unit[1], abs=1e-3
                )


@pytest.mark.parametrize("name", names())
def test_the_queue_has_as_many_packets_as_were_counted(name: str, reports: Reports) -> None:
    report = reports(name)
    for place, rows in enumerate(traced_rows(report)):
        shown_trials = [item.evaluated.trial for item in shown_repetitions(rows)]
        for series, trial in enumerate(shown_trials):
            if sum(other.id == trial.id for other in shown_trials) > 1:
                continue
            asked = next(flow for flow in trial.job["flows"] if flow["name"] == rows[series].used[0].flows[0].flow)
            where = [one for one in bottleneck_places(trial, asked) if one in queues_of(trial)]
            lines = lines_of(report, place, "queue", series)
            assert len(lines) >= len(where[:1])
            for line, at in zip(lines, where, strict=False):
                queue = queues_of(trial)[at]
                times, shown = decoded(line)
                mean = (shown[:-1] * np.diff(times)).sum()
                # What is left out of the bins changes the mean a little, as rounding does.
                assert mean == pytest.approx(queue.packet_ns.sum() / 1e9, rel=0.05, abs=0.05 * times[-1])
                assert shown.max() == pytest.approx((queue.packet_ns / queue.length_ns).max(), abs=0.06)


def test_each_series_shows_the_repetition_with_the_median_goodput(reports: Reports) -> None:
    for rows in traced_rows(reports("loss")):
        for row, item in zip(rows, shown_repetitions(rows), strict=True):
            goodputs = sorted(other.flows[0].goodput_bps or 0 for other in row.used)
            assert item.flows[0].goodput_bps == goodputs[1]


def test_flows_that_ran_together_are_shown_from_the_same_trial(reports: Reports) -> None:
    (rows,) = traced_rows(reports("measured"))
    # Each group alone would show the trial with its own median goodput.
    assert len({row.median().evaluated.trial.id for row in rows}) == 2
    assert {item.evaluated.trial.id for item in shown_repetitions(rows)} == {rows[0].median().evaluated.trial.id}
    (queue,) = lines_of(reports("measured"), 0, "queue", None)
    assert queue["name"] == ""


def test_a_queue_that_several_series_share_belongs_to_none(reports: Reports) -> None:
    report = reports("fairness")
    rows = traced_rows(report)[0]
    trials = [item.evaluated.trial.id for item in shown_repetitions(rows)]
    shared = {series for series, trial in enumerate(trials) if trials.count(trial) > 1}
    assert shared
    assert not any(lines_of(report, 0, "queue", series) for series in shared)
    assert lines_of(report, 0, "queue", None)


@pytest.mark.parametrize("name", names())
def test_colours_and_dashes_are_those_of_the_figures(name: str, reports: Reports) -> None:
    report = reports(name)
    found = charts_of(report)
    for place, rows in enumerate(traced_rows(report)):
        assert found is not None
        for series, row in zip(found.views[place]["series"], rows, strict=True):
            look = row.series.look
            assert series["colours"]["goodput"] == look.colour
            assert {series["colours"][chart] for chart in ("cwnd", "in_flight", "srtt", "pacing_rate", "queue")} == {
                look.solid_colour
            }
            assert series["dash"] == ([] if look.dashes == "solid" else list(look.dashes[1]))


def test_where_nothing_was_traced_there_is_no_chart(reports: Reports) -> None:
    assert charts_of(reports("udp")) is None


def test_curves_of_many_cells_have_fewer_points(reports: Reports, monkeypatch: pytest.MonkeyPatch) -> None:
    report = reports("loss")
    assert charts(report).bins == MOST_BINS
    rows = [row for row in report.rows if row.median().curves()]
    for times in (1, 20, 100, 250):
        bins = views._bins(rows * times)
        assert bins * 4 * 5 * len(rows) * times <= MAX_POINTS or bins == views.LEAST_BINS
    # With few bins, the curves of the figures suffice; they have the same peaks.
    monkeypatch.setattr(views, "MAX_POINTS", 4 * 5 * len(rows) * 80)
    few = charts(report)
    assert few.bins == 80
    for place, group in enumerate(traced_rows(report)):
        for series, row in enumerate(group):
            (line,) = lines_of(report, place, "cwnd", series)
            assert len(line["x"]) <= 4 * 80
            assert max(line["y"]) == row.median().curves()[0].cwnd[1].max()


def test_the_end_of_the_measured_window_is_passed_on(reports: Reports) -> None:
    shaded = [view["unmeasured"] for view in charts(reports("measured")).views]
    assert any(shaded)
    assert not any(view["unmeasured"] for view in charts(reports("loss")).views)


def test_the_marks_are_the_packets_that_were_sent_again_or_dropped(reports: Reports) -> None:
    report = reports("everything")
    found = 0
    for place, rows in enumerate(traced_rows(report)):
        view = charts(report).views[place]
        for series, item in enumerate(shown_repetitions(rows)):
            trial = item.evaluated.trial
            (flow,) = (flow.flow for flow in item.flows)
            wanted = {
                **{RETRANSMISSIONS[kind]: times for kind, times in retransmissions(trial, flow).items()},
                **{DROPS[cause]: times for cause, times in flow_drops(trial, flow).items() if cause in DROPS},
            }
            own = {marks["label"]: marks for marks in view["marks"] if marks["series"] == series}
            assert own.keys() == wanted.keys()
            for label, marks in own.items():
                ticks = np.cumsum(marks["x"])
                assert len(ticks) <= len(wanted[label])
                assert set(ticks[:1]) <= {round(float(time) / TICK_S) for time in wanted[label]}
                # Of those that are close together, the first one remains.
                assert len(ticks) >= len(np.unique((wanted[label] / 0.1).astype(int))) - 1
                found += len(ticks)
    assert found


def test_windows_of_many_flows_have_no_marks(reports: Reports, monkeypatch: pytest.MonkeyPatch) -> None:
    assert any(view["marks"] for view in charts(reports("everything")).views)
    monkeypatch.setattr(views, "MAX_MARKED", 0)
    assert not any(view["marks"] for view in charts(reports("everything")).views)
