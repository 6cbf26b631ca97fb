# SPDX-License-Identifier: Apache-2.0
"""Alternative texts of figures: what is compared over what, and numbers that agree with the results."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from lab.report.figures.picture import Picture
from lab.report.model import Report
from lab.report.page.alt import alt_text

Reports = Callable[[str], Report]


def text(report: Report, name: str, section: str = "comparison", caption: str = "") -> str:
    return alt_text(report, Picture(section, name, caption))


def test_comparisons_name_series_axes_and_the_range_of_means(reports: Reports) -> None:
    report = reports("loss")
    said = text(report, "goodput-vs-loss")
    assert said.startswith("Chart of the mean goodput of cubic and bbr against loss (0%, 0.2% and 2%). Mean goodput: ")
    for series in ("cubic", "bbr"):
        means = []
        for row in report.rows:
            if row.series.label == series:
                goodputs = [flow.goodput_bps or 0 for repetition in row.used for flow in repetition.flows]
                means.append(sum(goodputs) / len(goodputs) / report.rate_unit[1])
        found = re.search(rf"{series} ([\d.]+) to ([\d.]+) Mbit/s", said)
        assert found is not None
        assert float(found[1]) == pytest.approx(min(means), rel=5e-3)
        assert float(found[2]) == pytest.approx(max(means), rel=5e-3)
    assert text(report, "goodput-vs-delay").startswith(
        "Scatter chart of the goodput against the delay of cubic and bbr"
    )
    assert "Mean smoothed RTT: cubic " in text(report, "goodput-vs-delay")


@pytest.mark.parametrize(("name", "part"), [("cwnd", ""), ("cwnd-1", ", part 1,"), ("cwnd-12", ", part 12,")])
def test_figures_over_time_name_the_time_and_the_range_of_each_series(name: str, part: str, reports: Reports) -> None:
    report = reports("loss")
    said = text(report, name, "time")
    assert said.startswith(
        f"Line charts{part} of the congestion window of cubic and bbr from 0 to 3.02 s, with a panel for each value of "
        "loss (0%, 0.2% and 2%). Range: cubic from "
    )
    windows = [
        value
        for row in report.rows
        if row.series.label == "bbr"
        for curves in row.median().curves()
        for value in curves.cwnd[1].tolist()
    ]
    assert f"bbr from {min(windows):.0f} to {max(windows):.0f} segments." in said
    assert " ms" in text(report, "srtt", "time")
    assert "Mbit/s" in text(report, "goodput", "time")


def test_long_axes_are_abridged(reports: Reports) -> None:
    report = reports("loss")
    axis = report.facet_axes[0]
    object.__setattr__(axis, "values", tuple(f"{number}%" for number in range(9)))
    try:
        assert "loss (9 values from 0% to 8%)" in text(report, "goodput-by-cell")
    finally:
        object.__setattr__(axis, "values", ("0%", "0.2%", "2%"))


def test_the_topology_lists_its_nodes(reports: Reports) -> None:
    said = text(reports("loss"), "topology", "topology")
    assert said == (
        "Diagram of the network: the hosts s1 and d1, connected by r1 and r2, with the rate, delay and queue of each "
        "link."
    )


def test_events_name_their_trials(reports: Reports) -> None:
    caption = "Events in cubic-loss-0pct-r1 and bbr-loss-0pct-r2, each the repetition with the median goodput."
    said = text(reports("loss"), "events-1", "events", caption)
    assert "in cubic-loss-0pct-r1 and bbr-loss-0pct-r2, side by side" in said
    assert "from 0 to 3.02 s" in said


def test_latency_and_completions_say_what_was_measured(reports: Reports) -> None:
    report = reports("short_flows")
    assert text(report, "completions").startswith("Cumulative distributions of the completion time of short flows")
    assert text(report, "completions-size").startswith("Chart of the completion time against the size of short flows")
    measured = reports("measured")
    probes = {probe["name"] for job in measured.jobs for probe in job["probes"]}
    said = text(measured, "latency")
    assert probes
    assert all(probe in said for probe in probes)


def test_a_figure_that_is_not_known_is_described_by_what_is_compared(reports: Reports) -> None:
    said = text(reports("loss"), "something-new")
    assert said.startswith("Chart that compares cubic and bbr over loss (0%, 0.2% and 2%). Mean goodput: ")
