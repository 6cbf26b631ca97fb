# SPDX-License-Identifier: Apache-2.0
"""Check that no byte is lost or counted twice when totals are taken out of the kernel's table."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import cast

from lab.agent.collectors.flow_totals import FlowKey, FlowTotals
from lab.agent.collectors.loader import Programs

ROOM = 16384


@dataclass(frozen=True)
class Key:
    """``struct flow_key`` of bpf/flow.bpf.c."""

    pid: int
    saddr: bytes = bytes(16)
    daddr: bytes = bytes(16)
    comm: bytes = bytes(16)
    netns: int = 1
    sport: int = 2
    dport: int = 3
    family: int = 2


@dataclass
class Leaf:
    tx_bytes: int = 0
    rx_bytes: int = 0


class Kernel:
    """The kernel's table.  Bytes may be added at any moment, also between a reading and the removal of an entry."""

    def __init__(self) -> None:
        self.entries: dict[Key, Leaf] = {}
        self.sent: dict[int, int] = {}
        self.late: list[int] = []

    def send(self, pid: int) -> None:
        assert len(self.entries) < ROOM
        self.entries.setdefault(Key(pid), Leaf()).tx_bytes += 1
        self.sent[pid] = self.sent.get(pid, 0) + 1

    def table(self, _name: str) -> dict[Key, Leaf]:
        return {key: Leaf(leaf.tx_bytes, leaf.rx_bytes) for key, leaf in self.entries.items()}

    def take(self, _table: str, key: Key) -> Leaf | None:
        if self.late and self.late[-1] == key.pid:
            self.send(self.late.pop())
        return self.entries.pop(key, None)


def pid_of(key: FlowKey) -> int:
    return key[3]


def test_every_byte_is_in_one_change() -> None:
    kernel = Kernel()
    totals = FlowTotals(cast(Programs, kernel))
    drawn = random.Random(1)
    seen: dict[int, int] = {}
    most = 0
    for end in range(3000, 120_001, 3000):
        for pid in range(end - 3000, end):
            kernel.send(pid)
        recent = range(max(0, end - 50_000), end)  # Totals that have been at rest for longer may begin anew.
        for pid in drawn.choices(recent, k=100):
            kernel.send(pid)
        kernel.late = drawn.choices(recent)
        for key, sent, _received, total, _total_received in totals.changes():
            seen[pid_of(key)] = seen.get(pid_of(key), 0) + sent
            assert seen[pid_of(key)] == total
        most = max(most, len(kernel.entries))
    for _ in range(2):
        for key, sent, *_rest in totals.changes():
            seen[pid_of(key)] += sent
    assert seen == kernel.sent
    assert len(kernel.sent) == 120_000 > ROOM > most


def test_bytes_that_come_while_a_total_is_taken_out_are_the_next_change() -> None:
    kernel = Kernel()
    totals = FlowTotals(cast(Programs, kernel))
    for pid in range(9000):
        kernel.send(pid)
    assert len(totals.changes()) == 9000
    kernel.late = [77]
    assert totals.changes() == []
    assert kernel.entries == {}
    assert [(pid_of(key), *rest) for key, *rest in totals.changes()] == [(77, 1, 0, 2, 0)]
    assert totals.changes() == []
    kernel.send(77)
    assert [(pid_of(key), *rest) for key, *rest in totals.changes()] == [(77, 1, 0, 3, 0)]


def test_few_totals_stay_where_they_are() -> None:
    kernel = Kernel()
    totals = FlowTotals(cast(Programs, kernel))
    for pid in range(100):
        kernel.send(pid)
    for expected in (100, 0, 0):
        assert len(totals.changes()) == expected
    assert len(kernel.entries) == 100
    kernel.entries.clear()
    totals.forget()
    kernel.send(1)
    assert [(pid_of(key), *rest) for key, *rest in totals.changes()] == [(1, 1, 0, 1, 0)]
