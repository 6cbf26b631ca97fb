# SPDX-License-Identifier: Apache-2.0
"""An engine without a kernel: it sends rows whose numbers are known, and obeys the control as a guest does."""

from __future__ import annotations

import asyncio
import json
import struct

from lab.engine.steering import Steering
from lab.errors import GuestError
from lab.experiment.read.load import load_text
from lab.job.protocol import Job
from lab.job.watched import WATCHED_TICK_NS, Command, Layout, packed
from lab.plan.plan import make_plan
from lab.watch.links import WatchedLinks

START_NS = 5_000_000_000
PROBE: Layout = {
    "row_bytes": 24,
    "fields": [
        {"name": "ts_ns", "type": "<u8", "offset": 0},
        {"name": "snd_cwnd", "type": "<u4", "offset": 8},
        {"name": "srtt_us", "type": "<u4", "offset": 12},
        {"name": "sport", "type": "<u2", "offset": 16},
        {"name": "dport", "type": "<u2", "offset": 18},
    ],
    "names": {},
}
ACCOUNTS: Layout = {
    "row_bytes": 24,
    "fields": [
        {"name": "ts_ns", "type": "<u8", "offset": 0},
        {"name": "flow", "type": "<u4", "offset": 8},
        {"name": "side", "type": "<u4", "offset": 12},
        {"name": "bytes", "type": "<u4", "offset": 16},
        {"name": "again_bytes", "type": "<u4", "offset": 20},
    ],
    "names": {"side": {"0": "sent", "1": "arrived"}},
}
BACKLOG: Layout = {
    "row_bytes": 32,
    "fields": [
        {"name": "ts_ns", "type": "<u8", "offset": 0},
        {"name": "length_ns", "type": "<u8", "offset": 8},
        {"name": "packet_ns", "type": "<u8", "offset": 16},
        {"name": "netns", "type": "<u4", "offset": 24},
        {"name": "ifindex", "type": "<u4", "offset": 28},
    ],
    "names": {},
}
LOSSES: Layout = {
    "row_bytes": 24,
    "fields": [
        {"name": "ts_ns", "type": "<u8", "offset": 0},
        {"name": "flow", "type": "<u4", "offset": 8},
        {"name": "way", "type": "<u4", "offset": 12},
        {"name": "packets", "type": "<u4", "offset": 16},
    ],
    "names": {"way": {"0": "forward", "1": "backward"}},
}
OWN: Layout = {
    "row_bytes": 40,
    "fields": [
        {"name": "ts_ns", "type": "<u8", "offset": 0},
        {"name": "value", "type": "<i8", "offset": 8},
        {"name": "name", "type": "V16", "offset": 16},
        {"name": "sport", "type": "<u2", "offset": 32},
        {"name": "dport", "type": "<u2", "offset": 34},
    ],
    "names": {},
}
LAYOUTS = {"tcp_probe": PROBE, "accounts": ACCOUNTS, "backlog": BACKLOG, "losses": LOSSES, "cc_trace": OWN}
PLACE = (77, 3)

EXPERIMENT = """\
name: lecture
topology:
  kind: dumbbell
  bottleneck:
    rate: 10mbit
    delay: 25ms
    queue: {discipline: pfifo, limit: 100p}
flows:
  bulk: {from: s1, to: d1, cc: reno}
duration: 20s
engine: uml
"""


def links_of(text: str = EXPERIMENT) -> WatchedLinks:
    """Return the links of the first cell of an experiment."""
    from pathlib import Path

    loaded = load_text(Path("lecture.yaml"), text.encode())
    return WatchedLinks(make_plan(loaded.checked).cells[0].experiment, loaded.contents)


class FakeEngine:
    """Implements :class:`lab.engine.steering.Watchable`.

    In each 100 ms, the flow has a window of 7 segments, an RTT of 50 ms and a goodput of 4 Mbit/s, the queue has 3
    packets, and one packet is lost.
    """

    def __init__(self, error: str | None = None, own: dict[bytes, int] | None = None) -> None:
        """*own* are the values that an algorithm records in each tick, by name."""
        self._own = own or {}
        self.commands: list[Command] = []
        self.running = 0
        self._error = error

    async def watch(self, job: Job, steering: Steering) -> None:
        self.running += 1
        try:
            steering.saw(packed({"kind": "step", "message": "topology is up"}))
            if self._error is not None:
                raise GuestError(self._error)
            steering.saw(start_frame())
            for number in range(1, job["duration_ns"] // WATCHED_TICK_NS + 1):
                now_ns = number * WATCHED_TICK_NS
                steering.saw(
                    packed(
                        {"kind": "tick", "now_ns": now_ns}, {**rows(now_ns - WATCHED_TICK_NS), **self._own_rows(now_ns)}
                    )
                )
                while True:
                    if (text := steering.control()) is not None:
                        known = {command["number"] for command in self.commands}
                        self.commands += [
                            command
                            for command in json.loads(text)["commands"]
                            if command["number"] not in known and command["at_ns"] <= steering.allowed_ns
                        ]
                    if not steering.is_held:
                        break
                    await asyncio.sleep(0.002)
            steering.saw(packed({"kind": "end", "message": ""}))
        finally:
            self.running -= 1

    def _own_rows(self, now_ns: int) -> dict[str, bytes]:
        at = now_ns - WATCHED_TICK_NS // 2
        return {"cc_trace": b"".join(own_row(at, name, value) for name, value in self._own.items())}


def own_row(time_ns: int, name: bytes, value: int, sport: int = 20000, dport: int = 5201) -> bytes:
    """Return a row of ``cc_trace`` with a time since the start of traffic."""
    return struct.pack("<Qq16sHH4x", START_NS + time_ns, value, name, sport, dport)


def start_frame() -> bytes:
    """Return the frame that says what the rows mean."""
    return packed(
        {
            "kind": "start",
            "start_ns": START_NS,
            "layouts": LAYOUTS,
            "queues": [{"link": "bottleneck", "way": "ab", "netns": PLACE[0], "ifindex": PLACE[1]}],
            "flows": [{"name": "bulk", "sport": 20000, "dport": 5201}],
        }
    )


def rows(since_ns: int) -> dict[str, bytes]:
    """Return the rows of a tick that begins at a time."""
    at = START_NS + since_ns
    tens = range(0, WATCHED_TICK_NS, WATCHED_TICK_NS // 10)
    return {
        "tcp_probe": b"".join(struct.pack("<QIIHH4x", at + ten, 7, 50_000, 20000, 5201) for ten in tens),
        "accounts": b"".join(struct.pack("<QIIII", at + ten, 0, 1, 6000, 1000) for ten in tens),
        "backlog": struct.pack("<QQQII", at, WATCHED_TICK_NS, 3 * WATCHED_TICK_NS, *PLACE),
        "losses": struct.pack("<QIII4x", at, 0, 0, 1),
    }
