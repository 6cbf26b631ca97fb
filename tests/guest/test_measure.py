# SPDX-License-Identifier: Apache-2.0
"""What the kernel counts within the measured window of a flow, against the bins and the rows of tcp_probe."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.job.protocol import Job
from lab.store.rows import Context, read_rows, rows_to_table
from tests.conftest import FAST_AND_AT_NIGHT_VM, record_in
from tests.guest.dumbbell import flow, job

pytestmark = pytest.mark.vm

RunJob = Callable[[Job], Path]
SIDES = ("sent", "arrived", "sent_backward", "arrived_backward", "delivered")

FLOWS: dict[str, dict[str, Any]] = {
    "whole": {"from": "s1", "to": "d1"},
    "early": {"from": "s2", "to": "d2", "duration": "2s", "direction": "reverse"},
    "late": {"from": "s1", "to": "d1", "start": "2s", "cc": "bbr"},
    "own": {"from": "s2", "to": "d2", "measure": {"from": "500ms", "to": "1500ms"}},
    "all": {"from": "s2", "to": "d2", "measure": {}},
    "datagrams": {"from": "s1", "to": "d1", "protocol": "udp", "rate": "2mbit"},
}
WINDOWS_MS = {
    "whole": (1000, 3000),
    "early": (1000, 2000),
    "late": (2000, 3000),
    "own": (500, 1500),
    "all": (0, 4000),
    "datagrams": (1000, 3000),
}


@pytest.fixture(scope="module", params=FAST_AND_AT_NIGHT_VM)
def directory(run_job: RunJob, request: pytest.FixtureRequest) -> Path:
    measure = {"from": "1s", "to": "3s"}
    return run_job(job(request.param, FLOWS, {"loss": "1%", "queue": {"limit": "100p"}}, measure=measure))


def bins(directory: Path) -> list[dict[str, Any]]:
    record = record_in(directory)
    about = record["collectors"]["accounts"]
    assert about["lost"] == 0
    rows: list[dict[str, Any]] = rows_to_table(
        read_rows(directory, "accounts", about), Context.of(record), about["names"]
    ).to_pylist()
    return rows


@pytest.mark.parametrize("name", FLOWS)
def test_a_window_holds_exactly_its_bins(directory: Path, name: str) -> None:
    start_ns, end_ns = (bound * 10**6 for bound in WINDOWS_MS[name])
    sides = flow(record_in(directory), name)["accounts"]["sides"]
    for side in SIDES:
        own = [row for row in bins(directory) if (row["flow"], row["side"]) == (name, side)]
        inside = [row for row in own if start_ns <= row["time_ns"] < end_ns]
        counted: dict[str, Any] = dict(sides[side]["measured"])
        for field in ("packets", "bytes", "again_packets", "again_bytes", "ce_packets"):
            assert counted[field] == sum(row[field] for row in inside), (side, field)
        if side in ("sent", "arrived"):
            assert counted["packets"] > 50
            assert inside[0]["time_ns"] <= counted["first_ns"] < inside[0]["time_ns"] + 10**7
            assert inside[-1]["time_ns"] <= counted["last_ns"] < inside[-1]["time_ns"] + 10**7


def test_a_window_that_is_not_cut_is_the_declared_time(directory: Path) -> None:
    record = record_in(directory)
    for side in SIDES:
        found = flow(record, "all")["accounts"]["sides"][side]
        assert found["measured"] == found["declared"]
    cut = flow(record, "whole")["accounts"]["sides"]["arrived"]
    assert cut["measured"]["packets"] < cut["declared"]["packets"]


def test_datagrams_are_counted_in_the_window(directory: Path) -> None:
    found = flow(record_in(directory), "datagrams")["accounts"]
    assert found["datagrams"] is not None
    assert found["datagrams"]["left"] == found["sides"]["sent"]["measured"]["packets"]
    assert found["datagrams"]["arrived"] == found["sides"]["arrived"]["measured"]["packets"]
    assert flow(record_in(directory), "whole")["accounts"]["datagrams"] is None
