# SPDX-License-Identifier: Apache-2.0
"""Drops of flows: which packets count as lost."""

from __future__ import annotations

from typing import cast

import pyarrow as pa

from lab.evaluation.on_the_way import Loss, dropped_of, losses_of
from lab.store.trial import TrialResult


class Stored:
    """A stored trial with one flow from s1 to d1, measured from 1 s to 9 s."""

    def __init__(self, *rows: tuple[float, str, str | None, str | None, str, int]) -> None:
        self._rows = rows
        measured = {"start_ns": 10**9, "end_ns": 9 * 10**9}
        self.job = {"flows": [{"name": "f", "source": "s1", "destination": "d1", "measured": measured}]}

    def collected(self, name: str, columns: list[str]) -> pa.Table:
        assert name == "losses"
        rows = [
            {"time_ns": int(second * 1e9), "flow": "f", "way": way, "node": node, "interface": interface,
             "cause": cause, "packets": packets}
            for second, way, node, interface, cause, packets in self._rows
        ]  # fmt: skip
        return pa.table({column: [row[column] for row in rows] for column in columns})


def stored(*rows: tuple[float, str, str | None, str | None, str, int]) -> TrialResult:
    return cast(TrialResult, Stored(*rows))


def test_what_has_arrived_is_not_lost() -> None:
    trial = stored(
        (2.0, "forward", "r1", "r1-eth1", "queue_overflow", 3),
        # The host that it was sent to: a duplicate, or a packet after the end of the connection.
        (2.0, "forward", "d1", "d1-eth0", "other", 5),
        (2.0, "backward", "s1", "s1-eth0", "other", 7),
        # What a socket still held when it was closed belongs to no node.
        (2.0, "forward", None, None, "other", 23),
        (2.0, "forward", "d1", "d1-eth0", "checksum", 11),
        (2.0, "forward", "d1", None, "receive_buffer", 13),
        (2.0, "forward", "d1", "d1-eth0", "receive_buffer", 19),
        (2.0, "backward", "d1", "d1-eth0", "other", 17),
    )
    assert losses_of(trial) == (
        Loss("f", "backward", "d1", "d1-eth0", "other", 17),
        Loss("f", "forward", "d1", "", "receive_buffer", 13),
        Loss("f", "forward", "d1", "d1-eth0", "checksum", 11),
        Loss("f", "forward", "d1", "d1-eth0", "receive_buffer", 19),
        Loss("f", "forward", "r1", "r1-eth1", "queue_overflow", 3),
    )
    assert dropped_of(trial) == {"f": 14}


def test_only_what_is_lost_in_the_measured_window_counts() -> None:
    place = ("forward", "r1", "r1-eth1", "aqm")
    trial = stored((0.99, *place, 1), (1.0, *place, 2), (1.01, *place, 4), (8.99, *place, 8), (9.0, *place, 16))
    assert dropped_of(trial) == {"f": 2 + 4 + 8}
    assert [loss.packets for loss in losses_of(trial)] == [14]
