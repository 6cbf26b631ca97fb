# SPDX-License-Identifier: Apache-2.0
"""A link that goes down, and what the traces say of the timeouts: against the kernel's own counters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.job.protocol import Job, Record
from lab.store.rows import Context, read_rows, rows_to_table
from tests.conftest import FAST_AND_AT_NIGHT_VM, record_in
from tests.guest.dumbbell import job

pytestmark = pytest.mark.vm

DOWN_S, UP_S = 1.0, 2.5
DOWN = [{"at": f"{DOWN_S}s", "loss": "100%"}, {"at": f"{UP_S}s", "loss": "0%"}]


@pytest.fixture(scope="module", params=FAST_AND_AT_NIGHT_VM)
def outage(run_job: Callable[[Job], Path], request: pytest.FixtureRequest) -> Path:
    link = {"schedule": DOWN, "reverse": {"schedule": DOWN}}
    collect: dict[str, Any] = {"tcp_probe": {}, "retrans": {}}
    return run_job(job(request.param, {"f": {"from": "s1", "to": "d1"}}, link, collect=collect))


def rows(folder: Path, record: Record, name: str) -> list[dict[str, Any]]:
    found = record["collectors"][name]
    table = rows_to_table(read_rows(folder, name, found), Context.of(record), found["names"])
    return [row for row in table.to_pylist() if row["flow"] == "f"]


def test_there_is_a_row_for_each_timeout(outage: Path) -> None:
    record = record_in(outage)
    assert record["status"] == "ok", record.get("error")
    traced = [row for row in rows(outage, record, "tcp_probe") if row["is_transmit"] == "timeout"]
    assert len(traced) == record["counters"]["s1"]["TcpExtTCPTimeouts"] >= 2
    assert {(row["end"], row["ca_state"]) for row in traced} == {("source", "Loss")}
    # While the link is down, nothing can raise the window of one segment with which a timeout begins (RFC 5681).
    down = [row for row in traced if DOWN_S * 1e9 < row["time_ns"] < UP_S * 1e9]
    assert down
    assert all(row["snd_cwnd"] == 1 for row in down)
    # The collector of retransmissions has seen the same segments.
    again = {row["time_ns"] for row in rows(outage, record, "retrans") if row["kind"] == "timeout"}
    assert all(any(abs(row["time_ns"] - at) < 100_000 for at in again) for row in traced)


def test_nothing_comes_through_a_link_that_is_down(outage: Path) -> None:
    record = record_in(outage)
    acks = [row["time_ns"] / 1e9 for row in rows(outage, record, "tcp_probe") if row["is_transmit"] == "receive"]
    # What was on the wire when the link went down still arrives.
    assert not [at for at in acks if DOWN_S + 0.03 < at < UP_S]
    assert [at for at in acks if at > UP_S]
