# SPDX-License-Identifier: Apache-2.0
"""What can be changed while a trial is watched, and what is written down of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import InputError
from lab.experiment.read.load import load_text
from lab.experiment.schema.fields import get
from lab.plan.plan import make_plan
from lab.watch.links import Quantity, WatchedLinks
from tests.unit.watch.engine import EXPERIMENT, links_of

S = 10**9


def option(links: WatchedLinks, quantity: Quantity, label: str, side: int = 0) -> int:
    (slider,) = (one for one in links.sides[side].sliders if one.quantity == quantity)
    return [known.label for known in slider.options].index(label)


def change(links: WatchedLinks, at_s: float, quantity: Quantity, label: str, side: int = 0):  # type: ignore[no-untyped-def]
    return links.change(round(at_s * S), side, quantity, option(links, quantity, label, side))


def saved_job(links: WatchedLinks):  # type: ignore[no-untyped-def]
    """Return the job of what is saved."""
    loaded = load_text(Path("saved.yaml"), links.as_experiment("A comment.\nOf two lines."))
    (trial,) = make_plan(loaded.checked).trials
    return trial.job


def test_both_directions_of_the_bottleneck_have_sliders() -> None:
    links = links_of()
    assert [side.name for side in links.sides] == ["topology.bottleneck", "topology.bottleneck.reverse"]
    for side in links.sides:
        assert [slider.quantity for slider in side.sliders] == ["rate", "delay", "loss", "queue"]
    declared = {"rate": "10 Mbit/s", "delay": "25 ms", "loss": "0%", "queue": "100 packets"}
    for quantity, label in declared.items():
        assert links.positions(0)[0][quantity] == option(links, quantity, label)  # type: ignore[index, arg-type]


def test_a_change_is_what_the_guest_gets_and_what_is_saved() -> None:
    links = links_of()
    ((name, way, changes),) = change(links, 3.2, "rate", "2 Mbit/s")
    assert (name, way) == ("bottleneck", "ab")
    assert changes[0]["at_ns"] == 3_200_000_000
    assert changes[0]["rate_bps"] == 2_000_000
    assert changes[0]["netem"] is None
    ((_name, _way, changes),) = change(links, 7, "loss", "1%")
    assert len(changes) == 2
    assert changes[1]["netem"]["loss"] == {"model": "random", "values": [0.01]}
    change(links, 7, "queue", "10 packets")
    ((_name, _way, backward),) = change(links, 8, "delay", "100 ms", side=1)
    job = saved_job(links)
    assert job["links"][1]["name"] == "bottleneck"
    assert job["links"][1]["ab"]["changes"] == links.job["links"][1]["ab"]["changes"]
    assert job["links"][1]["ba"]["changes"] == backward
    assert get(load_text(Path("x"), links.as_experiment("")).raw, ("topology", "bottleneck", "schedule")) == [
        {"at": "3.2s", "rate": "2mbit"},
        {"at": "7s", "loss": "1%", "queue": {"limit": "10p"}},
    ]


def test_what_is_saved_is_the_trial_that_was_watched() -> None:
    links = links_of()
    change(links, 1, "rate", "1 Mbit/s")
    job = saved_job(links)
    watched = links.job
    # What is recorded makes no difference to what happens.
    assert {**job, "collectors": {}} == {**watched, "collectors": {}}


def test_only_the_newest_position_of_a_tick_counts() -> None:
    links = links_of()
    for label in ("5 Mbit/s", "4 Mbit/s", "3 Mbit/s"):
        change(links, 2, "rate", label)
    change(links, 2, "delay", "50 ms")
    assert [(at, quantity, label) for at, _name, quantity, label in links.done] == [
        (2 * S, "rate", "3 Mbit/s"), (2 * S, "delay", "50 ms"),
    ]  # fmt: skip
    assert len(saved_job(links)["links"][1]["ab"]["changes"]) == 1


def test_the_sliders_follow_the_changes() -> None:
    links = links_of()
    change(links, 2, "rate", "3 Mbit/s")
    assert links.positions(S)[0]["rate"] == option(links, "rate", "10 Mbit/s")
    assert links.positions(2 * S)[0]["rate"] == option(links, "rate", "3 Mbit/s")
    links.forget()
    assert links.positions(2 * S)[0]["rate"] == option(links, "rate", "10 Mbit/s")
    assert links.done == []
    assert saved_job(links)["links"][1]["ab"]["changes"] == []


def test_a_schedule_of_the_experiment_goes_on_with_what_was_changed() -> None:
    text = EXPERIMENT.replace(
        "    queue:", "    schedule: [{at: 5s, delay: 10ms}, {at: 10s, over: 2s, rate: 5mbit}]\n    queue:"
    )
    links = links_of(text)
    ((_name, _way, changes),) = change(links, 3, "loss", "2%")
    assert [one["at_ns"] for one in changes[:3]] == [3 * S, 5 * S, 10 * S + S // 10]
    # The step at 5 s changes the delay, and leaves the loss as it has become.
    assert changes[1]["netem"]["loss"]["values"] == [0.02]
    assert changes[1]["netem"]["delay_ns"] == 10_000_000
    with pytest.raises(InputError, match="when the previous change ends"):
        change(links, 11, "loss", "0%")
    assert saved_job(links)["links"][1]["ab"]["changes"] == changes


@pytest.mark.parametrize(
    ("side", "quantity", "number"), [(9, "rate", 0), (-1, "rate", 0), (0, "mtu", 0), (0, "rate", 999), (0, "rate", -1)]
)
def test_what_there_is_not_is_refused(side: int, quantity: Quantity, number: int) -> None:
    with pytest.raises(InputError, match="there is no option"):
        links_of().change(S, side, quantity, number)


def test_links_that_share_a_declaration_change_together() -> None:
    text = EXPERIMENT.replace("kind: dumbbell", "kind: parking-lot\n  hops: 3").replace(
        "from: s1, to: d1", "from: s0, to: d0"
    )
    links = links_of(text)
    assert [name for name, _way, _changes in change(links, 1, "rate", "5 Mbit/s")] == [
        "bottleneck1", "bottleneck2", "bottleneck3",
    ]  # fmt: skip
    saved_job(links)


@pytest.mark.parametrize(
    "queue",
    [
        "{discipline: fq_codel}",
        "{discipline: cake}",
        "{discipline: red}",
        "{limit: 0.5bdp}",
        "{limit: 30ms}",
        "{limit: 64kB}",
    ],
)
def test_every_declared_limit_is_an_option(queue: str) -> None:
    links = links_of(EXPERIMENT.replace("{discipline: pfifo, limit: 100p}", queue))
    before = links.job["links"][1]["ab"]["queue"]
    quantities = [slider.quantity for slider in links.sides[0].sliders]
    assert ("queue" in quantities) == ("cake" not in queue)
    if "queue" in quantities:
        position = links.positions(0)[0]["queue"]
        links.change(S, 0, "queue", (position + 1) % 10)
        ((_name, _way, changes),) = links.change(2 * S, 0, "queue", position)
        assert changes[-1]["queue"] == before
    saved_job(links)


def test_a_link_that_can_change_has_netem_from_the_start() -> None:
    links = links_of(
        EXPERIMENT.replace("kind: dumbbell", "kind: dumbbell\n  access: {delay: 1ms}").replace("25ms", "0ms")
    )
    netem = links.job["links"][1]["ab"]["netem"]
    assert netem is not None
    assert netem["delay_ns"] == 0
    ((_name, _way, changes),) = change(links, 1, "delay", "10 ms")
    assert changes[0]["netem"]["delay_ns"] == 10_000_000
