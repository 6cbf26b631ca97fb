# SPDX-License-Identifier: Apache-2.0
"""How far a watched trial may run, and when its links change."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lab.engine.steering import Steering
from lab.job.protocol import Change
from lab.job.watched import WATCHED_TICK_NS, packed

TICK = WATCHED_TICK_NS
RATE: Change = {"at_ns": 0, "rate_bps": 8, "queue": None, "netem": None}


class Guest:
    """A guest that runs as fast as it may, and the wall clock."""

    def __init__(self, pace: float | None = 1.0, most_per_step: int = 10**9) -> None:
        self.now_s = 100.0
        self.ticks: list[int] = []
        self.steering = Steering(lambda _frame: None, pace=pace, clock=lambda: self.now_s)
        self.allowed = -TICK
        self.commands: list[dict[str, Any]] = []
        self.applied: list[tuple[int, int]] = []
        self.most_per_step = most_per_step

    def start(self) -> None:
        self.steering.saw(packed({"kind": "start"}))

    def step(self, wall_s: float = 0.01) -> None:
        """Let some wall-clock time pass."""
        self.now_s += wall_s
        self._read()
        for _ in range(self.most_per_step):
            now = len(self.ticks) * TICK + TICK
            if now > self.allowed + TICK or (self.ticks and self.ticks[-1] > self.allowed):
                break
            self.ticks.append(now)
            self.steering.saw(packed({"kind": "tick", "now_ns": now}))
            if now <= self.allowed:
                self._apply(now)
        self._read()

    def _read(self) -> None:
        if (text := self.steering.control()) is not None:
            control = json.loads(text)
            self.allowed, self.commands = control["allowed_ns"], control["commands"]
            if self.ticks and self.ticks[-1] <= self.allowed:
                self._apply(self.ticks[-1])

    def _apply(self, now: int) -> None:
        done = {number for number, _at in self.applied}
        for command in self.commands:
            if command["number"] not in done and command["at_ns"] <= now:
                assert command["at_ns"] == now, "a change came too late"
                self.applied.append((command["number"], now))


def test_nothing_runs_before_somebody_asks_for_it() -> None:
    guest = Guest()
    for _ in range(100):
        guest.step()
    guest.start()
    for _ in range(100):
        guest.step()
    assert guest.ticks in ([], [TICK])
    assert guest.applied == []


@pytest.mark.parametrize("pace", [0.25, 1.0, 5.0])
def test_virtual_time_passes_at_the_pace(pace: float) -> None:
    guest = Guest()
    guest.start()
    guest.steering.play(pace)
    for _ in range(1000):
        guest.step()
    assert guest.ticks[-1] / 1e9 == pytest.approx(10 * pace, abs=0.21 + 0.01 * pace)
    assert guest.steering.real_pace == pytest.approx(pace, rel=0.1)


def test_as_fast_as_possible() -> None:
    guest = Guest()
    guest.start()
    guest.steering.play(None)
    for _ in range(100):
        guest.step()
    # In each step, the guest runs as far as it may.
    assert guest.ticks[-1] > 100e9


def test_it_stops_and_goes_on_from_there() -> None:
    guest = Guest()
    guest.start()
    guest.steering.play(1.0)
    for _ in range(200):
        guest.step()
    guest.steering.pause()
    guest.step()
    reached = guest.ticks[-1]
    for _ in range(500):
        guest.step()
    assert guest.ticks[-1] == reached
    assert guest.steering.is_held
    guest.steering.play(1.0)
    for _ in range(100):
        guest.step()
    assert guest.ticks[-1] - reached == pytest.approx(1e9, abs=2 * TICK)


def test_a_slow_engine_does_not_catch_up() -> None:
    guest = Guest(most_per_step=1)
    guest.start()
    guest.steering.play(1.0)
    for _ in range(20):
        guest.step(1.0)
    reached = guest.ticks[-1]
    assert reached <= 20 * TICK
    assert guest.allowed - reached <= 4 * TICK
    guest.most_per_step = 10**9
    for _ in range(100):
        guest.step()
    assert guest.ticks[-1] - reached == pytest.approx(1e9, abs=5 * TICK)


@pytest.mark.parametrize("pace", [0.5, 1.0, 10.0, None])
def test_a_change_is_applied_at_the_time_that_is_written_down(pace: float | None) -> None:
    guest = Guest()
    guest.start()
    guest.steering.play(pace)
    asked = []
    for number in range(300):
        guest.step()
        if number % 37 == 5:
            asked.append(guest.steering.next_ns)
            guest.steering.change(asked[-1], [("bottleneck", "ab", [RATE])])
    for _ in range(50):
        guest.step()
    assert [at for _number, at in guest.applied] == asked
    assert len(asked) == 8


def test_of_two_changes_for_the_same_tick_the_newer_one_counts() -> None:
    guest = Guest()
    guest.start()
    guest.step()
    at = guest.steering.next_ns
    guest.steering.change(at, [("bottleneck", "ab", [RATE]), ("bottleneck", "ba", [RATE])])
    guest.steering.change(at, [("bottleneck", "ab", [RATE])])
    guest.steering.play(1.0)
    for _ in range(50):
        guest.step()
    assert [number for number, _at in guest.applied] == [2, 3]


@pytest.mark.parametrize("now", [-1, "1", 1.5, None, True])
def test_a_guest_that_tells_nonsense_is_caught(now: Any) -> None:
    with pytest.raises(ValueError, match="time"):
        Steering(lambda _frame: None).saw(packed({"kind": "tick", "now_ns": now}))
