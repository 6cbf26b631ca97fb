# SPDX-License-Identifier: Apache-2.0
"""Check how times are converted and shown."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from lab.live.tables import heading, line, table_of
from lab.live.timestamps import Timestamps, date_text, seconds_text

EPOCH_NS = 1_795_715_123_123_456_789


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[None]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("UTC", "2026-11-26T17:45:23.{}+00:00"),
        ("America/St_Johns", "2026-11-26T14:15:23.{}-03:30"),
        ("Asia/Kathmandu", "2026-11-26T23:30:23.{}+05:45"),
    ],
    indirect=["zone"],
)
@pytest.mark.usefixtures("zone")
def test_a_date_says_its_offset_from_utc(expected: str) -> None:
    from lab.live import timestamps

    timestamps._local.cache_clear()
    assert date_text(EPOCH_NS) == expected.format("123456")
    assert date_text(EPOCH_NS, digits=9) == expected.format("123456789")
    timestamps._local.cache_clear()


@pytest.mark.parametrize(
    ("time_ns", "expected"),
    [
        (0, "0.000000"),
        (1_499, "0.000001"),
        (1_500, "0.000002"),
        (1_999_999_500, "2.000000"),
        (10**15 + 1_000, "1000000.000001"),
        (10**18 + 1_000, "1000000000.000001"),
    ],
)
def test_seconds_are_exact_however_long_ago_the_machine_was_booted(time_ns: int, expected: str) -> None:
    assert seconds_text(time_ns) == expected


def test_the_start_is_zero() -> None:
    clock = Timestamps("start", 5_000)
    clock.follow()
    assert clock.time_ns(7_000) == 2_000
    assert clock.dated({"time_ns": 1}) == {"time_ns": 1}


@pytest.mark.parametrize(("kind", "clock"), [("boot", time.CLOCK_BOOTTIME), ("wall", time.CLOCK_REALTIME)])
def test_clocks_are_the_kernels(kind: str, clock: int) -> None:
    ours = Timestamps(kind, 0)
    earliest = latest = 0
    for _ in range(1000):
        ours.follow()
        before = time.clock_gettime_ns(clock)
        converted = ours.time_ns(time.monotonic_ns())
        after = time.clock_gettime_ns(clock)
        earliest, latest = min(earliest, converted - before), max(latest, converted - after)
    # The offset is known to some tens of nanoseconds.
    assert earliest > -1000
    assert latest < 1000


def test_a_table_without_times_gets_them_when_they_are_asked_for() -> None:
    assert heading(table_of("life", None)).startswith("PID")
    for kind, title, cell in (("start", "     TIME(s) ", "    1.000000 "), ("boot", "         TIME(s) ", None)):
        columns = table_of("life", kind)
        assert heading(columns).startswith(f"{title}PID")
        if cell is not None:
            assert line(columns[:1], {"time_ns": 1_000_000_000}) == cell.rstrip()
    assert heading(table_of("states", "wall")).split()[:2] == ["TIME", "SKADDR"]
    assert len(table_of("states", "wall")) == len(table_of("states", None))
