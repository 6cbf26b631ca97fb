# SPDX-License-Identifier: Apache-2.0
"""Alternative texts of figures: every figure has one, and its numbers agree with the results."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from lab.evaluation.collected import bottleneck_queues, flow_drops, retransmissions
from lab.report.event_names import RETRANSMISSIONS
from lab.report.figures.drawn import Drawn
from lab.report.model import Report
from tests.data.capture import names

Reports = Callable[[str], Report]
Figures = Callable[[str], dict[str, Drawn]]


@pytest.mark.parametrize("name", names())
def test_every_figure_says_what_it_shows_in_words_and_numbers(name: str, figures: Figures) -> None:
    for figure, drawn in figures(name).items():
        assert len(drawn.alt) > 40, figure
        assert drawn.alt.endswith("."), figure
        assert re.search(r"\d", drawn.alt), figure
        assert drawn.alt != drawn.caption, figure


def test_figures_over_time_name_the_range_of_each_series(figures: Figures, reports: Reports) -> None:
    said = figures("loss")["cwnd"].alt
    for series in reports("loss").series:
        windows = [
            value
            for row in reports("loss").rows
            if row.series == series
            for curves in row.median().curves()
            for value in curves.cwnd[1].tolist()
        ]
        assert f"{series.label}: {min(windows):.3g} to {max(windows):.3g}" in said


def test_the_topology_names_its_links_and_flows(figures: Figures) -> None:
    said = figures("loss")["topology"].alt
    assert "s1 – r1" in said
    assert "Flows from s1 to d1" in said


def test_events_say_how_many_there_were_and_how_long_the_queue_was(figures: Figures, reports: Reports) -> None:
    said = " ".join(drawn.alt for name, drawn in figures("everything").items() if name.startswith("events"))
    for row in reports("everything").rows:
        if not row.median().curves():
            continue
        trial, flow = row.median().evaluated.trial, row.median().flows[0].flow
        for kind, times in retransmissions(trial, flow).items():
            assert f"{len(times):,} times {RETRANSMISSIONS[kind]}" in said
        for cause, label in (("queue_overflow", "queue overflow"), ("random_loss", "random loss")):
            if cause in flow_drops(trial, flow):
                assert f"{len(flow_drops(trial, flow)[cause]):,} times {label}" in said
        for queue in bottleneck_queues(trial, flow):
            assert f"queue up to {queue.packets.max():.0f} packets" in said


def test_states_say_for_how_long_connections_were_in_them(figures: Figures) -> None:
    texts = [drawn.alt for name, drawn in figures("everything").items() if name.startswith("states")]
    assert texts
    assert all(re.search(r"ESTABLISHED [\d.]+ s", text) for text in texts)
