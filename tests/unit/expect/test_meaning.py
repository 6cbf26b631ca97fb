# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 (a table: one line for each condition)
"""What names in expectations stand for, whether units fit, and what is selected."""

from __future__ import annotations

import typing
from dataclasses import fields, replace

import pytest

from lab.analysis.metrics import FlowMetrics
from lab.analysis.metrics.probe import Latency
from lab.expect.errors import ExpectError
from lab.expect.meaning import understand
from lab.expect.names import ALIASES, COLUMNS, EVENTS, PROPERTIES, SAMPLES, SERIES, Column, Kind
from lab.expect.quantities import DURATION, NUMBER, RATE, SIZE
from lab.expect.setting import Axis, Setting
from lab.experiment.schema.report import MetricName

TCP: frozenset[Kind] = frozenset({"tcp"})
SETTING = Setting(
    axes=(
        Axis("flows.bulk.cc", ("cubic", "bbr")),
        Axis("topology.bottleneck.loss", ("0%", "0.1%", "1%")),
        Axis("topology.bottleneck.queue", ({"discipline": "bfifo", "limit": "1bdp"}, {"discipline": "codel"})),
    ),
    groups={
        "bulk": TCP,
        "voice": frozenset({"udp"}),
        "web": frozenset({"short_flows"}),
        "ping": frozenset({"probe"}),
    },
    members={"bulk-1": "bulk", "bulk-2": "bulk"},
    algorithms=frozenset({"cubic", "bbr"}),
    collectors=frozenset({"tcp_probe"}),
)

# fmt: off
WRONG: dict[str, tuple[str, str | None]] = {
    # condition: part of the message, and the name that is not known
    "gooput > 1mbit": ("unknown metric 'gooput'", "gooput"),
    "goodput > 60ms": ("found 60ms, which is a duration, such as 60ms; expected a rate, such as 10mbit, as goodput is", ""),
    "p95(rtt) < 60": ("found 60, which is a number; expected a duration", ""),
    "rtt + goodput > 1ms": ("found goodput, which is a rate, such as 10mbit; expected a duration", ""),
    "goodput(cc=bbrr) > 1mbit": ("found cc=bbrr; expected a value of the axis flows.bulk.cc (cubic, bbr)", "bbrr"),
    "goodput(los=1%) > 1mbit": ("unknown selector 'los'; expected an axis of the matrix (flows.bulk.cc, ", "los"),
    "goodput(loss=3%) > 1mbit": ("found loss=3%; expected a value of the axis topology.bottleneck.loss (0%, 0.1%, 1%)", "3%"),
    "goodput(loss=2%..3%) > 1mbit": ("expected a range with a value of the axis", ""),
    "goodput(loss=0%..1mbit) > 1mbit": ("expected two numbers of the same unit", ""),
    "goodput(flow=blk) > 1mbit": ("found flow=blk; expected a flow or probe of the experiment (bulk, voice, web, ping,", "blk"),
    "goodput(bottleneck=codel) > 1mbit": ("found bottleneck=, which is a part of topology.bottleneck.loss and of topology.bottleneck.queue", ""),
    "goodput(cc=bbr, cc=cubic) > 1mbit": ("found cc= twice; expected it once", ""),
    "goodput(bbr) > 1mbit": ("found 'bbr' in goodput(…); expected a selector, such as cc=bbr", ""),
    "count(retransmitt) == 0": ("expected an event (retransmit, drop, mark, reduction, timeout)", "retransmitt"),
    "drop == 0": ("found drop alone; expected count(drop), first(drop) or last(drop)", ""),
    "mode == ProbeRT": ("found ProbeRT; expected the name of a mode: Startup, Drain, ProbeBW, ProbeRTT", "ProbeRT"),
    "mode > 3": ("expected == or !=, and one of Startup", ""),
    "2 * mode > 3": ("found mode in arithmetic", ""),
    "max(mode) == ProbeRTT": ("because it is no number", ""),
    "mode != ProbeRTT for 1s": ("expected them behind ==", ""),
    "mode == ProbeRTT with 95 % confidence": ("because a state has no mean", ""),
    "goodput > 1mbit for 1s": ("expected them behind a state", ""),
    "median(latency(flow=ping)) < 1s": ("found '('", ""),
    "latency < 3ms": ("found latency without a statistic; expected one, such as median(latency)", ""),
    "fct(flow=bulk) < 1s": ("found fct of bulk; expected a group of short flows, which has it", ""),
    "jain at 1s > 0.5": ("expected a quantity over time (cwnd, ", ""),
    "p95(jain) > 1": ("expected jain alone, because it is one number for each flow and trial", ""),
    "peak(queue) < 3": ("unknown function 'peak': write max", ""),
    "p95(link.rate) > 1mbit": ("because it is what the experiment declares", ""),
    "goodput(mode=ProbeRTT) > jain": ("found jain, which is a number", ""),
    "max(alpha) < 1": ("found alpha, which only dctcp has; expected a flow with cc: dctcp", ""),
    "5 > 3": ("found a condition about numbers alone", ""),
}
# fmt: on


@pytest.mark.parametrize("written", WRONG)
def test_a_condition_that_means_nothing_is_refused_with_what_would_be_right(written: str) -> None:
    message, word = WRONG[written]
    with pytest.raises(ExpectError) as caught:
        understand(written, SETTING)
    assert message in str(caught.value)
    assert caught.value.word == word


def test_every_column_of_the_metrics_is_reachable() -> None:
    there = set()
    for family in (FlowMetrics, Latency):
        hints = typing.get_type_hints(family)
        there |= {item.name for item in fields(family) if hints[item.name] is not str}
    assert set(COLUMNS) == there
    for name, column in COLUMNS.items():
        source = understand(f"{name} - {name} == 0 * {name}", SETTING).subject.source
        assert source == column


def test_metrics_that_figures_show_have_the_same_names_here() -> None:
    # The column utilisation is that of the link; figures give this name to share_of_link.
    for name in typing.get_args(MetricName):
        assert name in ALIASES or name in COLUMNS, name
    assert all(column in COLUMNS for column in ALIASES.values())


@pytest.mark.parametrize(
    ("name", "dimension"),
    [("goodput", RATE), ("rtt", DURATION), ("queue_bytes", SIZE), ("cwnd", NUMBER), ("share_of_link", NUMBER)],
)
def test_units_follow_from_the_names_of_columns(name: str, dimension: object) -> None:
    assert understand(f"{name} > 0 * {name}", SETTING).dimension == dimension


def test_statistics_are_columns_where_there_is_one_and_are_computed_otherwise() -> None:
    def source(text: str) -> object:
        return understand(text, SETTING).subject.source

    assert source("p95(rtt) > 1s") == COLUMNS["srtt_p95_us"]
    assert source("median(fct) > 1s") == COLUMNS["fct_median_us"]
    assert source("p90(fct) > 1s") == SAMPLES["fct"]
    assert source("p95(rtt) over 1s..2s > 1s") == SERIES["srtt"]
    assert source("cwnd > 1") == COLUMNS["cwnd_mean_segments"]
    assert source("cwnd at 1s > 1") == SERIES["cwnd"]
    assert source("max(cwnd, mode=ProbeRTT) > 1") == SERIES["cwnd"]
    assert source("first(cwnd) > 1") == SERIES["cwnd"]
    assert source("first(drop) > 1s") == EVENTS["drop"]
    assert source("bdp < 1MB") == PROPERTIES["bdp"]


def test_selectors_name_axes_flows_and_algorithms() -> None:
    def chosen(text: str) -> object:
        return dict(understand(f"goodput({text}) > 1mbit", SETTING).subject.selection.axes)

    assert chosen("cc=bbr") == {"flows.bulk.cc": (1,)}
    assert chosen("loss={1%, 0%}") == {"topology.bottleneck.loss": (2, 0)}
    assert chosen("loss=0.05%..1%") == {"topology.bottleneck.loss": (1, 2)}
    assert chosen("topology.bottleneck.loss=0.1%") == {"topology.bottleneck.loss": (1,)}
    # The same quantity in other words, and a part of a value that is a mapping.
    assert chosen("loss=0.10%") == {"topology.bottleneck.loss": (1,)}
    assert chosen("queue=codel") == {"topology.bottleneck.queue": (1,)}
    assert chosen('queue="bfifo 1bdp"') == {"topology.bottleneck.queue": (0,)}
    # Without an axis for it, the algorithm is that of the flows.
    flat = understand("goodput(cc=bbr) > 1mbit", replace(SETTING, axes=()))
    assert flat.subject.selection.algorithms == ("bbr",)
    assert understand("goodput(flow=bulk-2) > 1mbit", SETTING).subject.selection.flows == ("bulk-2",)


def test_the_subject_is_the_first_thing_that_is_measured() -> None:
    meaning = understand("link.rate - goodput(cc=bbr) < sender(cc=cubic)", SETTING)
    assert isinstance(meaning.subject.source, Column)
    assert meaning.subject.source.name == "goodput_bps"


def test_arithmetic_has_dimensions() -> None:
    queued = understand("(median(rtt over 5s..10s) - base_rtt) * link.rate / packet in 1.5..5.5", SETTING)
    assert queued.dimension == NUMBER
    assert understand("goodput * path.rtt <= bdp", SETTING).dimension == SIZE


def test_the_trace_must_be_recorded() -> None:
    without = replace(SETTING, collectors=frozenset())
    for text in (
        "cwnd at 1s > 1",
        "rtt > 1s",
        "mode == ProbeBW",
        "count(timeout) == 0",
        "max(goodput, mode=Drain) > 1mbit",
    ):
        with pytest.raises(ExpectError, match="expected tcp_probe in 'collect'"):
            understand(text, without)
    assert understand("goodput at 1s > 1mbit", without).subject.source == SERIES["goodput"]


def test_a_term_without_a_flow_is_refused_if_several_could_be_meant() -> None:
    two = replace(SETTING, groups={**SETTING.groups, "other": TCP})
    assert understand("median(latency) < 5 * rtt", SETTING)
    with pytest.raises(ExpectError, match=r"found rtt without a flow; .* such as rtt\(flow=bulk\)"):
        understand("median(latency) < 5 * rtt", two)
