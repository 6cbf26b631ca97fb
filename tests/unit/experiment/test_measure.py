# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 (a table: one line for each mistake)
"""The measured window: what it means for flows and probes, and the messages for windows that measure nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import SpecError
from lab.experiment.read.load import load_experiment
from lab.job.protocol import Job
from lab.plan.description import describe
from lab.plan.plan import Plan, make_plan

FILE = """\
name: test
topology:
  kind: dumbbell
  pairs: 2
  bottleneck: {rate: 20mbit, delay: 10ms}
flows:
  bulk: {from: s1, to: d1}
  late: {from: s2, to: d2, start: 10s}
  early: {from: s2, to: d2, duration: 8s}
  pulses: {from: s1, to: d1, on: 2s, off: 1s}
  web: {from: s1, to: d1, amount: 20kB, arrivals: {per_second: 5}}
probes:
  echo: {from: s1, to: d1, start: 1s}
duration: 20s
measure: {from: 5s, to: end}
"""
MEASURE = "measure: {from: 5s, to: end}"


def plan(tmp_path: Path, *overrides: str, text: str = FILE) -> Plan:
    path = tmp_path / "experiment.yaml"
    path.write_text(text)
    return make_plan(load_experiment(path, overrides).checked)


def windows(job: Job) -> dict[str, tuple[float, float]]:
    return {
        one["name"]: (one["measured"]["start_ns"] / 1e9, one["measured"]["end_ns"] / 1e9)
        for one in (*job["flows"], *job["probes"])
    }


def test_a_window_is_on_the_experiments_clock_and_within_each_flow(tmp_path: Path) -> None:
    (trial,) = plan(tmp_path).trials
    found = windows(trial.job)
    assert found == {
        "bulk": (5, 20),
        "late": (10, 20),
        "early": (5, 8),
        "pulses-on1": (2, 2),
        "pulses-on2": (5, 5),
        "pulses-on3": (6, 8),
        "pulses-on4": (9, 11),
        "pulses-on5": (12, 14),
        "pulses-on6": (15, 17),
        "pulses-on7": (18, 20),
        "web": (5, 20),
        "echo": (5, 20),
    }


def test_without_a_window_everything_is_measured(tmp_path: Path) -> None:
    for text in (FILE.replace(MEASURE, ""), FILE.replace(MEASURE, "measure: {}"), FILE.replace("from: 5s, to", "to")):
        (trial,) = plan(tmp_path, text=text).trials
        for one in (*trial.job["flows"], *trial.job["probes"]):
            end_ns = one["start_ns"] + one["duration_ns"]
            assert one["measured"] == {"start_ns": one["start_ns"], "end_ns": end_ns}


def test_a_flows_own_window_replaces_that_of_the_experiment(tmp_path: Path) -> None:
    text = FILE.replace(MEASURE, "measure: {from: 5s, to: 15s}")
    (trial,) = plan(tmp_path, "flows.bulk.measure={from: 2s}", "probes.echo.measure={to: 3s}", text=text).trials
    found = windows(trial.job)
    assert (found["bulk"], found["echo"], found["late"]) == ((2, 20), (1, 3), (10, 15))


def test_the_end_moves_with_the_flow_and_the_window_does_not(tmp_path: Path) -> None:
    (trial,) = plan(tmp_path, "start_jitter=500ms").trials
    for flow in trial.job["flows"]:
        if flow["name"] in ("bulk", "late"):
            end_ns = flow["start_ns"] + flow["duration_ns"]
            assert flow["measured"] == {"start_ns": max(5 * 10**9, flow["start_ns"]), "end_ns": end_ns}
            assert end_ns > 20 * 10**9


def test_windows_can_be_varied(tmp_path: Path) -> None:
    found = plan(tmp_path, "matrix={measure.from: [0s, 5s], flows.early.measure: [{to: 2s}, {to: 4s}]}")
    assert [trial.cell_id for trial in found.trials] == ["from-0s-measure-2s", "from-0s-measure-4s", "from-5s-measure-2s", "from-5s-measure-4s"]  # fmt: skip
    assert [windows(trial.job)["bulk"] for trial in found.trials] == [(0, 20), (0, 20), (5, 20), (5, 20)]
    assert [windows(trial.job)["early"] for trial in found.trials] == [(0, 2), (0, 4), (0, 2), (0, 4)]


def test_lab_check_says_what_is_measured(tmp_path: Path) -> None:
    (line,) = (line for line in describe(plan(tmp_path)).splitlines() if line.startswith("  measured"))
    assert (
        "bulk, early, web from 5 s to the end; late, pulses-on3, pulses-on4, pulses-on5 … pulses-on7 from the start "
        in line
    )
    assert "pulses-on1, pulses-on2 not at all" in line
    (line,) = (
        line for line in describe(plan(tmp_path, "measure.to=15s")).splitlines() if line.startswith("  measured")
    )
    assert "bulk, web from 5 s to 15 s; late from the start to 15 s; early from 5 s to the end" in line
    assert "measured" not in describe(plan(tmp_path, text=FILE.replace(MEASURE, "")))


# fmt: off
MISTAKES: dict[str, tuple[str, str, str, str]] = {
    "not a mapping": (MEASURE, "measure: 5s", "15:10", "measure: found '5s'; expected a mapping"),
    "unknown field": (MEASURE, "measure: {form: 5s}", "15:11", "measure: unknown field 'form'; did you mean 'from'? (fields: from, to)"),
    "no unit": (MEASURE, "measure: {from: 5}", "15:17", "measure.from: found 5; expected a duration"),
    "no time": (MEASURE, "measure: {to: stop}", "15:15", "measure.to: found 'stop'; expected a duration such as '20ms' or '1.5s' (units: ns, us, ms, s, min, h), or 'end'"),
    "end of nothing": (MEASURE, "measure: {to: 0s}", "15:15", "measure.to: found '0s'; expected a time from 1 ns to 86400 s, or 'end'"),
    "start is the end": (MEASURE, "measure: {from: 20s}", "15:17", "measure.from: found 20 s; expected less than the experiment's duration, 20 s"),
    "nothing between": (MEASURE, "measure: {from: 5s, to: 5s}", "15:25", "measure.to: found 5 s with 'from' at 5 s; expected 'end' or a later time than 'from'"),
    "backwards": (MEASURE, "measure: {from: 5s, to: 4s}", "15:25", "measure.to: found 4 s with 'from' at 5 s"),
    "beyond the end": (MEASURE, "measure: {to: 21s}", "15:15", "measure.to: found 21 s; expected 'end', or at most the experiment's duration, 20 s"),
    "after a flow": (MEASURE, "measure: {from: 8s}", "15:1", "measure: found a window from 8 s to the end, in which flow 'early' does not run (it runs from 0 ns to 8 s); expected a window with a part of its time, or a 'measure' of its own for this flow"),
    "before a flow": (MEASURE, "measure: {to: 10s}", "15:1", "measure: found a window from 0 ns to 10 s, in which flow 'late' does not run (it runs from 10 s to 20 s)"),
    "before a probe": ("start: 1s}", "start: 15s, measure: {from: 16s, to: 16s}}", "13:65", "probes.echo.measure.to: found 16 s with 'from' at 16 s"),
    "the flow's clock": ("start: 10s", "start: 10s, measure: {from: 5s}", "8:56", "flows.late.measure.from: found 5 s, when flow 'late' does not run; expected a time from 10 s to 20 s, because 'from' and 'to' are measured from the start of traffic"),
    "the flow's clock, end": ("start: 10s", "start: 10s, measure: {to: 5s}", "8:54", "flows.late.measure.to: found 5 s, when flow 'late' does not run; expected 'end', or a time after 10 s and not after 20 s"),
    "after the flow's end": ("duration: 8s", "duration: 8s, measure: {to: 9s}", "9:57", "flows.early.measure.to: found 9 s, when flow 'early' does not run; expected 'end', or a time after 0 ns and not after 8 s"),
    "one of several": ("start: 10s", "start: 10s, count: 3, every: 3s, measure: {to: 16s}", "8:61", "flows.late.measure: found a window from 0 ns to 16 s, in which one of the flows of 'late' does not run (it runs from 16 s to 20 s)"),
    "in a pause": ("off: 1s", "off: 10s, measure: {from: 3s, to: 12s}", "10:48", "flows.pulses.measure: found a window from 3 s to 12 s, in which flow 'pulses' does not send; expected a window with a part of its time"),
    "no short flow": ("per_second: 5}", "per_second: 5}, measure: {from: 5s, to: 5100ms}", "11:68", "flows.web.measure: found a window from 5 s to 5.1 s, in which fewer than one short flow of 'web' starts on average; expected at least one"),
}
# fmt: on


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_window_that_measures_nothing_is_refused(tmp_path: Path, mistake: tuple[str, str, str, str]) -> None:
    old, new, place, message = mistake
    assert FILE.count(old) == 1
    with pytest.raises(SpecError) as caught:
        plan(tmp_path, text=FILE.replace(old, new))
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{tmp_path / 'experiment.yaml'}:{place}: {message}")


def test_start_jitter_counts_where_a_window_begins_and_ends(tmp_path: Path) -> None:
    text = FILE.replace(MEASURE, "measure: {to: 10500ms}")
    plan(tmp_path, "start_jitter=499ms", text=text)
    with pytest.raises(SpecError, match="it runs from 10 s to 20 s, shifted by up to 500 ms"):
        plan(tmp_path, "start_jitter=500ms", text=text)


def test_a_value_of_the_matrix_is_blamed(tmp_path: Path) -> None:
    text = FILE + "matrix:\n  measure.from: [0s, 7s, 9s, 30s]\n"
    with pytest.raises(SpecError) as caught:
        plan(tmp_path, text=text)
    first, second = (line.partition("experiment.yaml:")[2] for line in str(caught.value).splitlines())
    assert first.startswith(
        "17:26: matrix.measure.from[2]: with this value, measure: found a window from 9 s to the end"
    )
    assert second.startswith("17:30: matrix.measure.from[3]: found 30 s; expected less than")
