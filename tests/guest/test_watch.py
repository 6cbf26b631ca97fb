# SPDX-License-Identifier: Apache-2.0
"""A watched trial on the real kernel: a slider changes what is measured."""

from __future__ import annotations

import asyncio

import pytest

from lab.engine.steering import Steering
from lab.engine.vm.engine import VmEngine
from lab.job import kernels
from lab.job.watched import unpacked
from lab.watch.samples import Samples
from tests.unit.watch.engine import EXPERIMENT, links_of

pytestmark = pytest.mark.vm

S = 10**9


def test_a_slider_changes_rate_and_queue(engine: VmEngine) -> None:
    text = EXPERIMENT.replace("engine: uml", f"engine: vm\nkernel: {kernels.DEFAULT}").replace("20s", "12s")
    links = links_of(text)
    samples = Samples(links.job, links.limit_packets)
    changes = {4 * S: ("rate", "2mbit"), 8 * S: ("queue", "10p")}
    ended: list[str] = []

    def on_frame(frame: bytes) -> None:
        head, parts = unpacked(frame)
        if head["kind"] == "start":
            samples.begin(head)
            steering.play(None)
        elif head["kind"] == "tick":
            samples.add(head["now_ns"], parts)
            for at_ns in [at_ns for at_ns in changes if at_ns <= head["now_ns"]]:
                quantity, wanted = changes.pop(at_ns)
                (slider,) = (one for one in links.sides[0].sliders if one.quantity == quantity)
                (option,) = (number for number, one in enumerate(slider.options) if one.text == wanted)
                when_ns = steering.next_ns
                steering.change(when_ns, links.change(when_ns, 0, slider.quantity, option))
        elif head["kind"] == "end":
            ended.append(head["message"])

    steering = Steering(on_frame, pace=None)
    asyncio.run(engine.watch(links.job, steering))
    assert ended == [""]
    first_s, second_s = (at_ns / S for at_ns, *_rest in links.done)

    def mean(chart: str, since_s: float, until_s: float) -> float:
        points = samples.charts[chart]
        inside = [
            value
            for time_ms, value in zip(points.times_ms, points.values[-1], strict=True)
            if since_s <= time_ms / 1000 < until_s and value is not None
        ]
        return sum(inside) / len(inside)

    assert mean("goodput", 2, first_s) == pytest.approx(10 * 1448 / 1514, rel=0.05)
    assert mean("goodput", first_s + 0.5, second_s) == pytest.approx(2 * 1448 / 1514, rel=0.1)
    assert mean("queue", first_s + 0.5, second_s) > 20
    assert mean("queue", second_s + 1, 11.5) <= 10
