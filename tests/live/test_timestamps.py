# SPDX-License-Identifier: Apache-2.0
"""Check the times that ``lab trace`` prints against this machine's clocks."""

from __future__ import annotations

import os
import time
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.live.tracing import Tracer, listening, transfer

pytestmark = pytest.mark.live

NANOSECONDS_PER_SECOND = 1_000_000_000


def traced(*arguments: str, clock: int) -> tuple[int, list[dict[str, Any]], int]:
    """Return what ``states`` recorded of one connection, and the times on *clock* before and after it."""
    with listening() as server:
        tracer = Tracer("states", "--json", "--port", str(server.getsockname()[1]), *arguments)
        before = time.clock_gettime_ns(clock)
        transfer(server)
        time.sleep(0.1)
        after = time.clock_gettime_ns(clock)
        rows = tracer.rows()
    assert len(rows) > 5
    return before, rows, after


def test_dates_are_those_of_the_wall_clock() -> None:
    before, rows, after = traced("--timestamps", "wall", clock=time.CLOCK_REALTIME)
    assert before <= rows[0]["time_ns"] <= rows[-1]["time_ns"] <= after
    for row in rows:
        date, _point, decimals = row["time"].partition(".")
        seconds = datetime.fromisoformat(date + decimals[9:]).timestamp()
        assert round(seconds) * NANOSECONDS_PER_SECOND + int(decimals[:9]) == row["time_ns"]


def test_seconds_since_boot_are_those_of_the_boot_clock() -> None:
    before, rows, after = traced("--timestamps", "boot", clock=time.CLOCK_BOOTTIME)
    assert before <= rows[0]["time_ns"] <= rows[-1]["time_ns"] <= after
    assert "time" not in rows[0]


@pytest.mark.parametrize("arguments", [(), ("--timestamps", "start")])
def test_times_are_relative_to_the_start_by_default(arguments: tuple[str, ...]) -> None:
    _before, rows, _after = traced(*arguments, clock=time.CLOCK_MONOTONIC)
    assert 0 < rows[0]["time_ns"] < 10 * NANOSECONDS_PER_SECOND
    assert "time" not in rows[0]


@pytest.mark.parametrize("kind", ["boot", "wall"])
def test_traces_that_start_at_different_times_have_a_common_zero(kind: str) -> None:
    with listening() as server:
        port = str(server.getsockname()[1])
        states = Tracer("states", "--json", "--port", port, "--timestamps", kind)
        time.sleep(0.5)
        probe = Tracer("tcp_probe", "--json", "--port", port, "--timestamps", kind)
        transfer(server)
        rows = [("state", row) for row in states.rows()] + [("segment", row) for row in probe.rows()]
    merged = [(what, row) for what, row in sorted(rows, key=lambda pair: pair[1]["time_ns"])]
    assert merged[0][1]["newstate"] == "SYN_SENT"
    # No segment is recorded before the handshake has ended at either end, and none after the last end has closed.
    established = [number for number, (_what, row) in enumerate(merged) if row.get("newstate") == "ESTABLISHED"]
    segments = [number for number, (what, _row) in enumerate(merged) if what == "segment"]
    closed = [number for number, (_what, row) in enumerate(merged) if row.get("newstate") == "CLOSE"]
    assert len(established) == len(closed) == 2
    assert established[0] < segments[0] < segments[-1] < closed[-1]


def test_tables_show_them_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    with listening() as server:
        port = str(server.getsockname()[1])
        began = datetime.now().astimezone()
        tracers = [
            Tracer("life", "--port", port, "--timestamps", "wall"),
            Tracer("states", "--port", port, "--timestamps", "boot"),
            Tracer("tcp_probe", "--port", port, "--timestamps", "wall", "--format", "tcpprobe"),
            Tracer("life", "--port", port),
        ]
        transfer(server)
        outputs = [tracer.stop()[0].splitlines() for tracer in tracers]
    wall, boot, tcpprobe, plain = outputs
    assert wall[0].startswith("TIME                             PID")
    for line in wall[1:]:
        assert line[26:32] == "+05:30"
        assert timedelta() < datetime.fromisoformat(line[:32]) - began < timedelta(seconds=60)
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert all(0 < now - float(line.split()[0]) < 60 for line in boot[1:])
    assert all(0 < time.time() - float(line.split()[0]) < 60 for line in tcpprobe)
    assert plain[0].startswith("PID")
    assert {line.split()[0] for line in plain[1:]} == {str(os.getpid())}
