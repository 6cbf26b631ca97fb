# SPDX-License-Identifier: Apache-2.0
"""Expectations judged on captured runs, and against what other code computes from the same records."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats

from lab.analysis.checks.check import Check
from lab.analysis.events import Span
from lab.errors import StoreError
from lab.evaluation.expectations.document import document, sentence
from lab.evaluation.expectations.judge import Entry, Outcome, entries_of, judged
from lab.evaluation.expectations.over_time import Held
from lab.evaluation.expectations.staying import Stayed, stayed
from lab.evaluation.trial import EvaluatedTrial, evaluate_trial
from lab.expect.parser import parse
from lab.expect.tree import Stay
from lab.store.run import Run

Judge = Callable[..., Outcome]


@pytest.fixture(scope="module")
def trials(replayed: Callable[[str], Run]) -> Callable[[str], list[EvaluatedTrial]]:
    """The evaluated trials of a captured experiment."""
    known: dict[str, list[EvaluatedTrial]] = {}

    def read(name: str) -> list[EvaluatedTrial]:
        if name not in known:
            known[name] = [evaluate_trial(trial) for trial in replayed(name).trials()]
        return known[name]

    return read


@pytest.fixture(scope="module")
def judge(replayed: Callable[[str], Run], trials: Callable[[str], list[EvaluatedTrial]]) -> Judge:
    """Judges a condition on a captured experiment."""

    def run(name: str, that: str, tolerance: str | None = None) -> Outcome:
        (found,) = judged(replayed(name).plan, trials(name), [Entry(that, tolerance=tolerance)])
        return found

    return run


def observed(outcome: Outcome, cell: str = "", flow: str | None = None) -> float:
    """What was observed in one case, in bits and seconds."""
    (case,) = [case for case in outcome.cases if case.where.startswith(cell) and (flow is None or case.flow == flow)]
    assert case.verdict != "cannot be judged", case.reason
    value: float = case.numbers["observed"]
    return value


def rows(run: Run, trial: str, table: str) -> pl.DataFrame:
    return pl.read_parquet(run.path / "trials" / trial / f"{table}.parquet")


def test_a_condition_without_selectors_must_hold_in_every_cell(judge: Judge) -> None:
    all_of = judge("loss", "goodput >= 100kbit")
    assert (all_of.verdict, len(all_of.cases)) == ("met", 6)
    # The cell with the smallest margin decides, and is the first one.
    values = [case.numbers["observed"] for case in all_of.cases]
    assert values == sorted(values)
    some = judge("loss", f"goodput >= {int(statistics.median(values))}bit")
    assert some.verdict == "not met"
    assert [case.verdict for case in some.cases] == ["not met"] * 3 + ["met"] * 3
    assert some.cases[0].numbers["observed"] == values[0]
    assert "; not met in 3 of 6 cases, of which this is the worst" in sentence(some)


def test_the_margin_between_two_measured_sides_has_an_interval_of_its_own(judge: Judge) -> None:
    at = "loss 2%"
    alone = {cc: judge("loss", f"goodput(cc={cc}) >= 1bit") for cc in ("bbr", "cubic")}
    values = {
        cc: next(case.numbers["values"] for case in found.cases if case.where.endswith(at))
        for cc, found in alone.items()
    }
    differences = np.subtract(values["bbr"], values["cubic"])
    expected = stats.t.interval(0.95, len(differences) - 1, differences.mean(), stats.sem(differences))
    for that, sign in (("goodput(cc=bbr) >= goodput(cc=cubic)", 1), ("goodput(cc=bbr) <= goodput(cc=cubic)", -1)):
        (case,) = (case for case in judge("loss", that).cases if case.where.endswith(at))
        (limit,) = case.numbers["limits"]
        assert limit["margin"] == pytest.approx(sign * differences.mean())
        assert limit["margin_interval"] == pytest.approx(sorted(sign * one for one in expected))
        # The text has the share of the limit and the interval.
        assert case.margin.count(" to ") == 1
        assert "; " in case.margin
    (equal,) = (case for case in judge("loss", "goodput(cc=bbr) == goodput(cc=cubic)").cases if case.where.endswith(at))
    worst = -max(map(abs, expected))
    assert equal.numbers["limits"][0]["margin_interval"][0] == pytest.approx(worst)
    # Where the right side is the same in each repetition, the interval of the left side says all.
    (case,) = (case for case in judge("loss", "goodput(cc=bbr) >= 0.1 * link.rate").cases if case.where.endswith(at))
    assert case.numbers["limits"][0]["margin_interval"] is None
    assert " to " not in case.margin
    # With a confidence, the margin is the end of the interval already.
    found = judge("loss", "goodput(cc=bbr) >= goodput(cc=cubic) with 95 % confidence")
    assert all(case.numbers["limits"][0]["margin_interval"] is None for case in found.cases)


def test_columns_are_means_over_the_repetitions(judge: Judge, trials: Callable[[str], list[EvaluatedTrial]]) -> None:
    for text, column, scale in (
        ("goodput", "goodput_bps", 1.0), ("p95(rtt)", "srtt_p95_us", 1e-6), ("queue_bytes", "queue_bytes", 8.0),
    ):  # fmt: skip
        found = judge(
            "loss", f"{text}(cc=bbr, loss=2%) >= 0 * {text}" if "(" not in text else "p95(rtt, cc=bbr, loss=2%) >= 0s"
        )
        own = [
            getattr(flow, column)
            for result in trials("loss")
            if set(map(str, result.trial.cell.values())) == {"bbr", "2%"}
            for flow in result.metrics
        ]
        assert len(own) == 3
        assert observed(found) == pytest.approx(statistics.mean(own) * scale)


def test_another_cell_can_be_the_expected_value(judge: Judge) -> None:
    found = judge("loss", "goodput(cc=bbr) >= goodput(cc=cubic)")
    assert len(found.cases) == 3
    for case in found.cases:
        other = judge("loss", f"goodput(cc=cubic, loss={case.cell['loss']}) >= 0bit")
        assert case.numbers["limits"][0]["value"] == pytest.approx(observed(other))
    # Without a selector on the left, each other cell is compared, but none with itself.
    free = judge("loss", "goodput >= 0.1 * goodput(loss=0%)")
    assert sorted(case.cell["loss"] for case in free.cases) == ["0.2%", "0.2%", "2%", "2%"]
    # A set stands for each of its values.
    assert len(judge("loss", "goodput(loss=2%) <= 2 * goodput(loss={0%, 0.2%})").cases) == 4


def test_with_confidence_the_unfavourable_end_of_the_interval_counts(judge: Judge) -> None:
    for confidence in (95, 99):
        found = judge("loss", f"goodput(cc=bbr, loss=2%) >= goodput(cc=cubic, loss=2%) with {confidence} % confidence")
        one, other = (
            judge("loss", f"goodput(cc={cc}, loss=2%) >= 0bit").cases[0].numbers["values"] for cc in ("bbr", "cubic")
        )
        differences = np.array(one) - np.array(other)
        low = stats.t.interval(confidence / 100, 2, differences.mean(), stats.sem(differences))[0]
        (case,) = found.cases
        assert case.numbers["limits"][0]["margin"] == pytest.approx(low)
        assert case.verdict == ("met" if low >= 0 else "not met")
    plain = judge("loss", "goodput(cc=bbr, loss=2%) >= goodput(cc=cubic, loss=2%)").cases[0]
    assert plain.numbers["limits"][0]["margin"] == pytest.approx(differences.mean())
    # The interval of a condition that lies between the two decides.
    edge = statistics.mean(one) - 1
    assert judge("loss", f"goodput(cc=bbr, loss=2%) >= {int(edge)}bit").verdict == "met"
    assert judge("loss", f"goodput(cc=bbr, loss=2%) >= {int(edge)}bit with 95 % confidence").verdict == "not met"
    assert judge("loss", f"goodput(cc=bbr, loss=2%) <= {int(edge) + 2}bit with 95 % confidence").verdict == "not met"


def test_confidence_needs_repetitions_unless_nothing_is_random(judge: Judge) -> None:
    lossy = judge("schedule", "goodput > 0bit with 95 % confidence")
    assert [case.verdict for case in lossy.cases] == ["cannot be judged"]
    assert lossy.cases[0].reason == "there is no confidence interval: one repetition shows no variation"
    exact = judge("udp", "goodput(flow=voice) > 0bit with 95 % confidence")
    assert exact.verdict == "met"
    assert not exact.cases[0].interval


def test_tolerance_widens_a_condition(judge: Judge) -> None:
    value = round(observed(judge("loss", "goodput(cc=bbr, loss=2%) > 0bit")))
    expected = round(value * 1.04)
    that = f"goodput(cc=bbr, loss=2%) == {expected}bit"
    assert judge("loss", that).verdict == "not met"
    assert judge("loss", that, "5%").verdict == "met"
    assert judge("loss", that, "3%").verdict == "not met"
    assert judge("loss", that, f"{expected - value + 2}bit").verdict == "met"
    assert judge("loss", that.replace("==", "!="), "5%").verdict == "not met"
    assert "(tolerance 5%)" in judge("loss", that, "5%").cases[0].expected


def test_quantities_over_time_are_those_of_the_trace(judge: Judge, replayed: Callable[[str], Run]) -> None:
    table = rows(replayed("everything"), "bbr-r1", "tcp_probe")
    own = table.filter(
        (pl.col("flow") == "bulk") & (pl.col("end") == "source") & (pl.col("is_transmit") == "receive")
    ).sort("time_ns")
    if not (own["is_transmit"] == "receive").all():
        pytest.fail("the capture has rows that this test does not understand")
    seconds = (own["time_ns"] / 1e9).to_list()
    at = next(place for place, second in enumerate(seconds) if second >= 1.0)
    assert observed(judge("everything", "cwnd(cc=bbr) at 1s > 0")) == own["snd_cwnd"][at]
    # A row's values have been in force since the row before.
    inside = [
        (value, min(here, 2.0) - max(before, 1.0))
        for before, here, value in zip(seconds[:-1], seconds[1:], own["snd_cwnd"].to_list()[1:], strict=True)
        if here > 1.0 and before < 2.0
    ]
    mean = sum(value * held for value, held in inside) / sum(held for _value, held in inside)
    assert observed(judge("everything", "mean(cwnd, cc=bbr) over 1s..2s > 0")) == pytest.approx(mean)
    assert observed(judge("everything", "max(cwnd, cc=bbr) over 1s..2s > 0")) == max(value for value, _held in inside)
    startup = own.filter(pl.col("ca_mode") == "Startup").filter(pl.col("ca_gain") > 0)
    gain = observed(judge("everything", "max(gain, cc=bbr, mode=Startup) > 0"))
    assert gain == startup["ca_gain"].max() / 256  # type: ignore[operator]


def test_samples_and_events_are_those_of_their_tables(judge: Judge, replayed: Callable[[str], Run]) -> None:
    run = replayed("short_flows")
    ids = [path.name for path in sorted((run.path / "trials").iterdir()) if "bfifo" in path.name]
    assert len(ids) == 2
    fct, latency, drops = list[float](), list[float](), list[int]()
    for trial in ids:
        done = rows(run, trial, "completions").filter((pl.col("group") == "web") & (pl.col("fct_ns") > 0))
        fct.append(float(np.quantile(done["fct_ns"], 0.9, method="inverted_cdf")) / 1e9)
        answers = rows(run, trial, "latency").filter((pl.col("probe") == "echo") & (pl.col("rtt_ns") > 0))
        latency.append(max(answers["rtt_ns"].to_list()) / 1e9)
        lost = rows(run, trial, "losses").filter((pl.col("flow") == "long") & (pl.col("way") == "forward"))
        drops.append(int(lost.filter(pl.col("cause") == "queue_overflow")["packets"].sum()))
    assert observed(judge("short_flows", "p90(fct, flow=web, queue=bfifo) > 0s")) == pytest.approx(statistics.mean(fct))
    assert observed(judge("short_flows", "max(latency, flow=echo, queue=bfifo) > 0s")) == pytest.approx(
        statistics.mean(latency)
    )
    assert observed(judge("short_flows", "count(drop, flow=long, queue=bfifo) >= 0")) == statistics.mean(drops)
    column = judge("short_flows", "drops(flow=long, queue=bfifo) >= 0")
    assert observed(column) == statistics.mean(drops)


def test_metrics_that_only_some_flows_have_are_expected_of_these(judge: Judge) -> None:
    assert {case.flow for case in judge("short_flows", "median(fct) > 0s").cases} == {"web", "rpc"}
    assert {case.flow for case in judge("short_flows", "median(latency) > 0s").cases} == {
        "echo",
        "datagrams",
        "requests",
    }
    # The only flow with a smoothed RTT is meant.
    assert judge("short_flows", "min(latency, flow=echo) < 2 * rtt").verdict in ("met", "not met")
    modes = judge("everything", "mode != Drain at 0s".replace(" at 0s", ""))
    assert {case.cell["cc"] for case in modes.cases} == {"bbr"}
    both = judge("fairness", "goodput(flow=across-2) > 0bit")
    assert {case.flow for case in both.cases} == {"across-2"}
    by_algorithm = judge("fairness", "goodput(flow=beside) > 0 * goodput(flow=across)")
    assert by_algorithm.verdict == "met"


def test_a_flow_that_cannot_be_told_is_said_and_not_guessed(judge: Judge) -> None:
    # Three TCP flows have a smoothed RTT, so that of no datagram's flow is meant; each TCP flow's own is.
    found = judge("measured", "goodput(flow={voice, bulk}) >= 0kbit * (rtt / rtt)")
    assert found.verdict == "cannot be judged"
    assert [(case.flow, case.verdict) for case in found.cases] == [("voice", "cannot be judged"), ("bulk", "met")]
    assert "it is not clear which flow's rtt is meant for voice: name one" in found.cases[0].reason
    named = judge("measured", "goodput(flow={voice, bulk}) >= 0kbit * (rtt(flow=own) / rtt(flow=own))")
    assert named.verdict == "met"


def test_declared_properties_follow_from_the_job(judge: Judge) -> None:
    for text, value in (
        ("link.rate - 4mbit == 0mbit", 0.0),
        ("path.rtt - 20ms == 0ms", 0.0),
        ("link.delay - path.delay == 0s", 0.0),
        ("bdp - 10kB == 0B", 0.0),
        ("link.queue - 2 * bdp == 0B", 0.0),
        ("packet - mss == 66B", 66 * 8.0),
    ):
        found = judge("loss", f"{text}")
        assert found.verdict == "met", (text, found)
        assert found.cases[0].numbers["observed"] == pytest.approx(value, abs=1e-6)
    assert judge("loss", "path.loss(loss=2%) == 2%").verdict == "met"


def test_trials_that_are_invalid_failed_or_missing_meet_nothing(
    replayed: Callable[[str], Run], trials: Callable[[str], list[EvaluatedTrial]]
) -> None:
    plan, all_of = replayed("loss").plan, trials("loss")
    first, *others = all_of
    entry = [Entry("goodput > 0bit"), Entry("goodput(loss=2%) > 0bit")]
    check = Check("mtu", "MTU", "invalid", "1500 B", "1280 B", "", "")
    broken = replace(first, checks=(check,))
    for changed, reason in (
        ([broken, *others], "is invalid: MTU: expected 1500 B, found 1280 B"),
        (others, "was not run"),
    ):
        found, elsewhere = judged(plan, changed, entry)
        assert found.verdict == "cannot be judged"
        assert found.worst is not None
        assert reason in found.worst.reason
        assert first.trial.id in found.worst.reason
        # Other cells are judged all the same.
        assert [case.verdict for case in found.cases] == ["cannot be judged"] + ["met"] * 5
        assert elsewhere.verdict == "met"
    # What is missed somewhere is missed, whatever is not known.
    (missed,) = judged(plan, others, [Entry("goodput > 1gbit")])
    assert missed.verdict == "not met"


def test_a_damaged_plan_ends_in_an_error_and_no_traceback(
    replayed: Callable[[str], Run], trials: Callable[[str], list[EvaluatedTrial]]
) -> None:
    plan, all_of, entry = replayed("udp").plan, trials("udp"), [Entry("goodput(flow=voice) > 0bit")]

    def changed(**fields: object) -> dict[str, Any]:
        """The plan with other fields in each of its trials; those that are None are left out."""
        found = [
            {name: value for name, value in {**trial, **fields}.items() if value is not None}
            for trial in plan["trials"]
        ]
        return {**plan, "trials": found}

    # Jobs of the plan are looked at only where no trial has one.
    assert judged(changed(job="\0"), all_of, entry)[0].verdict == "met"
    with pytest.raises(StoreError, match="the plan"):
        judged(changed(job="\0"), [], entry)
    for fields in ({"job": None}, {"cell": None}, {"cell": "other"}, {"repetition": None}):
        for there in (all_of, []):
            assert judged(changed(**fields), there, entry)[0].verdict in ("met", "cannot be judged")
    assert judged({}, all_of, entry)[0].verdict == "cannot be judged"


def test_a_failed_trial_meets_nothing(judge: Judge) -> None:
    found = judge("failed", "goodput > 0bit")
    assert found.verdict == "cannot be judged"
    assert " failed: " in sentence(found)


def test_a_division_by_zero_and_what_was_not_measured_cannot_be_judged(judge: Judge) -> None:
    nothing = judge("loss", "goodput / (retransmits - retransmits) > 1bit")
    assert nothing.verdict == "cannot be judged"
    assert "is 0, by which goodput would be divided" in sentence(nothing)
    alone = judge("loss", "jain >= 0.5")
    assert "jain was not measured for bulk in the trial" in sentence(alone)


def test_a_condition_that_the_run_does_not_know_cannot_be_judged(judge: Judge) -> None:
    found = judge("loss", "goodput(rate=4mbit) > 0bit")
    assert (found.verdict, found.cases) == ("cannot be judged", ())
    assert "unknown selector 'rate'" in found.reason
    assert judge("loss", "goodput > 0bit", "5ms").verdict == "cannot be judged"


def test_a_plan_that_is_damaged_is_refused() -> None:
    assert entries_of({}, "plan.json") == []
    assert (
        entries_of({"expect": ["jain > 0", {"that": "jain > 1", "tolerance": None}]}, "plan.json")[1].that == "jain > 1"
    )
    for damaged in ([5], [{"name": "x"}], [{"that": 5}], [{"that": "x", "more": "y"}]):
        with pytest.raises(StoreError, match=r"plan\.json is damaged: expect\[0\]"):
            entries_of({"expect": damaged}, "plan.json")


def test_the_document_has_each_case_with_its_numbers(judge: Judge) -> None:
    found = document([judge("loss", "goodput(cc=bbr) in 1mbit..4mbit"), judge("loss", "jain > 0")])
    assert found["counts"] == {"met": 1, "not met": 0, "cannot be judged": 1}
    case = found["expectations"][0]["cases"][0]
    assert case["expected"] == "≥ 1 Mbit/s and ≤ 4 Mbit/s"
    assert [limit["comparator"] for limit in case["numbers"]["limits"]] == [">=", "<="]
    assert case["numbers"]["unit"] == "bit/s"
    assert len(case["trials"]) == len(case["numbers"]["values"]) == 3


# --- states ------------------------------------------------------------------------------------------------

CYCLE = [Span(0.0, 1.0, "Startup"), Span(1.0, 10.0, "ProbeBW"), Span(10.0, 10.25, "ProbeRTT"),
         Span(10.25, 20.25, "ProbeBW"), Span(20.25, 20.45, "ProbeRTT"), Span(20.45, 30.0, "ProbeBW")]  # fmt: skip


def stay_of(text: str) -> Stay | None:
    return parse(f"mode == ProbeRTT {text}").stay


@pytest.mark.parametrize(
    ("text", "holds", "margin"),
    [
        ("for >= 200ms every 10s..13s", True, 0.0),
        ("for >= 210ms", False, -0.01),
        ("for <= 210ms", False, -0.04),
        ("for 150ms..300ms", True, 0.05),
        ("every 10s..13s", True, 0.25),
        ("every 10.5s..13s", False, -0.25),
        # The first one comes after 10 s, and after the last one there are 9.75 s.
        ("every 5s..9s", False, -1.25),
        ("every >= 10s", True, 0.25),
    ],
)
def test_how_long_and_how_often_a_state_lasts(text: str, holds: bool, margin: float) -> None:
    found = stayed(CYCLE, "ProbeRTT", "==", (0.0, 30.0), stay_of(text))
    assert found.holds is holds
    assert found.margin == pytest.approx(margin, abs=1e-9)
    assert found.observed.startswith("2 times in ProbeRTT")


def test_a_state_that_the_end_cuts_may_be_short_and_one_that_never_comes_is_missed() -> None:
    cut = stayed(CYCLE, "ProbeRTT", "==", (0.0, 20.3), stay_of("for >= 200ms"))
    assert cut.holds
    never = stayed(CYCLE, "ProbeRTT", "==", (0.0, 9.0), stay_of("for >= 200ms every 10s..13s"))
    assert not never.holds


def test_a_state_may_be_expected_all_the_time_or_never() -> None:
    assert stayed(CYCLE, "ProbeBW", "==", (2.0, 9.0), None) == Stayed(True, "7 s of 7 s in ProbeBW", None)
    assert not stayed(CYCLE, "ProbeBW", "==", (2.0, 11.0), None).holds
    assert stayed(CYCLE, "Startup", "!=", (2.0, 9.0), None).holds
    assert not stayed(CYCLE, "ProbeBW", "!=", (2.0, 9.0), None).holds


def test_values_hold_until_the_next_one() -> None:
    held = Held(np.array([0.0, 1.0, 3.0]), np.array([1.0, 3.0, 4.0]), np.array([10.0, 20.0, 40.0]))
    assert [held.at(moment) for moment in (0.5, 1.0, 1.5, 4.0, 4.5)] == [10.0, 10.0, 20.0, 40.0, None]
    part = held.within(0.5, 3.5)
    assert part.statistic("mean") == pytest.approx((0.5 * 10 + 2 * 20 + 0.5 * 40) / 3)
    assert (part.statistic("min"), part.statistic("max")) == (10.0, 40.0)
    assert (part.statistic("first"), part.statistic("last"), part.statistic("median")) == (10.0, 40.0, 20.0)
    assert held.during([Span(0.9, 3.1, "x")]).statistic("max") == 20.0
    assert held.within(5.0, 6.0).statistic("mean") is None
