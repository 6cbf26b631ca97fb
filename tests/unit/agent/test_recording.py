# SPDX-License-Identifier: Apache-2.0
"""How often a recorder reads its ring buffer."""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from lab.agent.collectors.loader import Programs
from lab.agent.collectors.options import Settings
from lab.agent.collectors.recording import RELAXED_TICK_NS, TICK_NS, FlowRecorder, RingRecorder

EVENT_BYTES = 56
ROW_BYTES = 64
DATA_BYTES = 1 << 16


class Ring:
    """A file in memory with the layout of a BPF ring buffer, and the methods of ``Programs`` that a recorder calls."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("ring")
        os.ftruncate(self.fd, 2 * mmap.PAGESIZE + 2 * DATA_BYTES)
        self._produced = 0

    def layout(self, _name: str) -> tuple[int, list[object]]:
        return EVENT_BYTES, []

    def ring(self, _name: str) -> tuple[int, int]:
        return self.fd, DATA_BYTES

    def table(self, _name: str) -> dict[object, object]:
        return {}

    def detach(self, _name: str, _hooks: object = ()) -> None: ...

    def lost(self, _name: str) -> int:
        return 0

    def enumerators(self, _enum: str) -> dict[int, str]:
        return {}

    def produce(self, share: float) -> None:
        """Add as many events as fill this share of the buffer."""
        for _ in range(int(share * DATA_BYTES) // ROW_BYTES):
            at = 2 * mmap.PAGESIZE + self._produced % DATA_BYTES
            for copy in (at, at + DATA_BYTES):
                if copy < 2 * mmap.PAGESIZE + 2 * DATA_BYTES:
                    os.pwrite(self.fd, struct.pack("=II", EVENT_BYTES, 0), copy)
            self._produced += ROW_BYTES
        os.pwrite(self.fd, struct.pack("=Q", self._produced), mmap.PAGESIZE)


@pytest.fixture
def ring() -> Iterator[Ring]:
    made = Ring()
    yield made
    os.close(made.fd)


@pytest.fixture
def recorder(ring: Ring, tmp_path: Path) -> Iterator[RingRecorder]:
    made = RingRecorder("tcp_probe", cast("Programs", ring), tmp_path, Settings(tables={}))
    yield made
    made.stop(0)


@pytest.mark.parametrize(
    ("share", "after_ns", "wait_ns"),
    [
        (0, TICK_NS, RELAXED_TICK_NS),
        (1 / 64, TICK_NS, RELAXED_TICK_NS),
        (1 / 16, TICK_NS, TICK_NS),
        (1 / 16, RELAXED_TICK_NS, RELAXED_TICK_NS),
        (1 / 4, RELAXED_TICK_NS, TICK_NS),
    ],
)
def test_a_buffer_that_fills_is_read_more_often(
    ring: Ring, recorder: RingRecorder, share: float, after_ns: int, wait_ns: int
) -> None:
    ring.produce(share)
    recorder.drain(after_ns)
    assert recorder.drain_by(after_ns) == after_ns + wait_ns


def test_a_rate_that_grows_is_noticed_at_the_next_reading(ring: Ring, recorder: RingRecorder) -> None:
    now = 0
    waits = []
    for share in (1 / 16, 1 / 2, 1 / 16, 1 / 64):
        now = recorder.drain_by(now)
        ring.produce(share)
        recorder.drain(now)
        waits.append(recorder.drain_by(now) - now)
    assert waits == [RELAXED_TICK_NS, TICK_NS, TICK_NS, RELAXED_TICK_NS]


def test_totals_are_read_at_their_interval(ring: Ring, tmp_path: Path) -> None:
    made = FlowRecorder(cast("Programs", ring), tmp_path, Settings(tables={}), 2 * TICK_NS)
    assert made.drain_by(0) == 2 * TICK_NS
    made.drain(2 * TICK_NS)
    assert made.drain_by(2 * TICK_NS) == 4 * TICK_NS
    made.stop(4 * TICK_NS)
    slow = FlowRecorder(cast("Programs", ring), tmp_path, Settings(tables={}), 10 * RELAXED_TICK_NS)
    assert slow.drain_by(0) == RELAXED_TICK_NS
    slow.stop(TICK_NS)
