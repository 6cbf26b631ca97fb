# SPDX-License-Identifier: Apache-2.0
"""The drawing of a topology: every node once, what shapes each link, and who sends to whom."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from matplotlib.patches import FancyArrowPatch
from matplotlib.text import Annotation

from lab.experiment.read.load import load_experiment
from lab.job.protocol import Job
from lab.plan.plan import make_plan
from lab.report.figures.drawn import Drawn
from lab.report.figures.topology import layout, save_topology, topology_figure
from tests.data.capture import names, plan_of
from tests.unit.report.artists import points

Figures = Callable[[str], dict[str, Drawn]]


def jobs_of(name: str) -> list[Job]:
    return [trial.job for trial in plan_of(name).trials]


@pytest.mark.parametrize("name", names())
def test_every_node_and_link_is_drawn_once(name: str, figures: Figures) -> None:
    (axes,) = figures(name)["topology"].figure.axes
    job = jobs_of(name)[0]
    places = {text.get_text(): text.get_position() for text in axes.texts if not isinstance(text, Annotation)}
    assert places.keys() == {node["name"] for node in job["nodes"]}
    assert len(set(places.values())) == len(places)
    drawn = {frozenset(points(line)): line.get_linewidth() for line in axes.get_lines()}
    for link in job["links"]:
        ends = frozenset({places[link["a"]], places[link["b"]]})
        is_limited = link["ab"]["rate_bps"] is not None
        assert drawn[ends] == (1.8 if is_limited else 0.9)
    assert len(drawn) == len(job["links"])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("loss", "4 Mbit/s\n10 ms\nloss"),
        (
            "everything",
            "→ 4 Mbit/s · 10 ms · loss 1% · queue bfifo 12.112 kB\n← 4 Mbit/s · 10 ms · queue bfifo 12.112 kB",
        ),
        ("udp", "2 Mbit/s\n5 ms\nqueue pfifo 20 packets, fq_codel 100 packets"),
        ("native", "20 Mbit/s\nqueue pfifo 50 packets"),
    ],
)
def test_a_link_says_what_shapes_it(name: str, text: str, figures: Figures) -> None:
    (axes,) = figures(name)["topology"].figure.axes
    labels = [one.get_text() for one in axes.texts if isinstance(one, Annotation)]
    if name == "loss":
        text = "→ 4 Mbit/s · 10 ms · loss 0% / 0.2% / 2% · queue bfifo 20 kB\n← 4 Mbit/s · 10 ms · queue bfifo 20 kB"
    assert text in labels


def test_arrows_go_from_sources_to_destinations(figures: Figures) -> None:
    (axes,) = figures("fairness")["topology"].figure.axes
    places = {text.get_text(): text.get_position() for text in axes.texts if not isinstance(text, Annotation)}
    arrows = [patch for patch in axes.patches if isinstance(patch, FancyArrowPatch)]
    labels = [one.get_text() for one in axes.texts if isinstance(one, Annotation)]
    assert "s0 → d0  across: cubic / bbr" in labels
    assert "s1 → d1  beside: reno" in labels
    ends = [arrow._posA_posB for arrow in arrows]  # type: ignore[attr-defined]
    assert [(start[0], end[0]) for start, end in ends] == [
        (places["s0"][0], places["d0"][0]),
        (places["s1"][0], places["d1"][0]),
    ]


def test_of_many_flows_some_are_named(tmp_path: Path) -> None:
    file = tmp_path / "many.yaml"
    file.write_text(
        "name: many\ntopology: {kind: dumbbell, pairs: 15, bottleneck: {rate: 10mbit, delay: 5ms}}\n"
        'flows: {f: {from: "s{i}", to: "d{i}", count: 15}}\nduration: 1s\n'
    )
    jobs = [trial.job for trial in make_plan(load_experiment(file).checked).trials]
    (axes,) = topology_figure(jobs).axes
    assert len([patch for patch in axes.patches if isinstance(patch, FancyArrowPatch)]) == 12
    assert any("3 more" in text.get_text() for text in axes.texts)
    # Sources at the left, destinations at the right, none on another.
    places = layout(jobs[0])
    assert len(set(places.values())) == len(places) == 32
    assert {places[f"s{number}"][0] for number in range(1, 16)} == {0.0}
    assert {places[f"d{number}"][0] for number in range(1, 16)} == {3.0}


def test_a_tree_of_switches_and_queues_that_vary(tmp_path: Path) -> None:
    file = tmp_path / "tree.yaml"
    file.write_text(
        "name: tree\n"
        "topology: {kind: tree, depth: 2, fanout: 2, link: {rate: 10mbit, delay: 1ms, queue: {limit: 10p}}}\n"
        "flows: {f: {from: h1, to: h4}}\nduration: 1s\n"
        "matrix:\n  topology.link.queue.limit: [10p, 20p, 30p]\n"
        "  topology.link.rate: [1mbit, 2mbit, 3mbit, 4mbit, 5mbit]\n"
    )
    jobs = [trial.job for trial in make_plan(load_experiment(file).checked).trials]
    places = layout(jobs[0])
    assert len(set(places.values())) == len(places) == 7
    (axes,) = topology_figure(jobs).axes
    labels = {one.get_text() for one in axes.texts if isinstance(one, Annotation)}
    assert "1 Mbit/s to 5 Mbit/s\n1 ms\nqueue bfifo 15.14 kB and 2 others" in labels


def test_a_drawing_in_a_file(tmp_path: Path) -> None:
    save_topology(jobs_of("udp"), tmp_path / "a.svg")
    save_topology(jobs_of("udp"), tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert ElementTree.parse(tmp_path / "a.svg").getroot().tag.endswith("svg")
