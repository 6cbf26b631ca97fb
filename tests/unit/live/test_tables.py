# SPDX-License-Identifier: Apache-2.0
"""Check what ``lab trace`` prints for rows in the form in which the kernel writes them."""

from __future__ import annotations

import os
import struct

from lab.agent.collectors.names import ENUMS
from lab.agent.collectors.registry import COLLECTORS
from lab.job.protocol import Field
from lab.live.events import Decoder
from lab.live.tables import TABLES, heading, line
from lab.live.timestamps import Timestamps

V4 = bytes(10) + b"\xff\xff" + bytes([10, 0, 1, 2])
V6 = bytes.fromhex("fd000000000000000000000000000001")

FIELDS: list[Field] = [
    {"name": "ts_ns", "type": "<u8", "offset": 0},
    {"name": "saddr", "type": "V16", "offset": 8},
    {"name": "daddr", "type": "V16", "offset": 24},
    {"name": "comm", "type": "V16", "offset": 40},
    {"name": "netns", "type": "<u4", "offset": 56},
    {"name": "ifindex", "type": "<u4", "offset": 60},
    {"name": "sport", "type": "<u2", "offset": 64},
    {"name": "state", "type": "<u1", "offset": 66},
    {"name": "unused", "type": "V5", "offset": 67},
]


def test_rows_get_names() -> None:
    own = os.stat("/proc/self/ns/net").st_ino
    raw = b"".join(
        struct.pack("<8xQ16s16s16sIIHB5x", at, V4, V6, b"iperf3\0junk", netns, 1, 5201, 1)
        for at, netns in ((1500, own), (2500, 7))
    )
    decoder = Decoder("states", FIELDS, 80, {"state": ENUMS["tcp_state"]}, Timestamps("start", 1000))
    first, second = decoder.rows(raw)
    assert first == {
        "time_ns": 500,
        "saddr": "10.0.1.2",
        "daddr": "fd00::1",
        "comm": "iperf3",
        "netns": own,
        "interface": "lo",
        "sport": 5201,
        "state": "ESTABLISHED",
    }
    assert (second["time_ns"], second["interface"]) == (1500, "7/1")


def test_every_collector_has_a_table() -> None:
    assert set(TABLES) == set(COLLECTORS)


def test_flags_are_columns() -> None:
    row = {
        "time_ns": 1_500_000,
        "saddr": "10.0.1.2",
        "sport": 5201,
        "daddr": "fd00::1",
        "dport": 80,
        "seq": 7,
        "ack": 8,
        "window": 9,
        "length": 10,
        "flags": 0x10 | 0x02 | 0x40,
    }
    columns = TABLES["packets"]
    assert heading(columns).endswith("U A P R S F E C")
    assert line(columns, row).split()[:3] == ["0.001500", "10.0.1.2:5201", "[fd00::1]:80"]
    assert line(columns, row).endswith("7          8      9     10 . A . . S . E .")
