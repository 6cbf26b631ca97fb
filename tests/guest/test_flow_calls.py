# SPDX-License-Identifier: Apache-2.0
"""Check that ``lab trace flow`` counts exactly the bytes that the calls of a process say they have moved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lab.engine.vm.engine import VmEngine
from tests.guest.own_guest import run_script
from tests.guest.scripts.flow_calls import CASES, OLD_CASES

pytestmark = [pytest.mark.vm, pytest.mark.nightly]

KERNELS = ("debian-13", "debian-12")
"""Linux 6.12, and 6.1, where sendfile() and splice() have a way of their own into a socket (before 6.5)."""

NAMES = (*CASES, *(f"{name} on an old connection" for name in OLD_CASES), "IPv6", "IPv4 in an IPv6 socket")


@pytest.fixture(scope="module", params=KERNELS)
def moved(lab_cache: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> dict[str, Any]:
    """What was moved on one of the kernels, and the rows that ``flow`` printed."""
    engine = VmEngine([request.param])
    engine.locate(print)
    script = Path(__file__).parent / "scripts" / "flow_calls.py"
    found: dict[str, Any] = run_script(engine, script, tmp_path_factory.mktemp("flow"), kernel=request.param)
    traced = found["traced"]
    assert traced["status"] == 0, traced["errors"]
    assert traced["errors"].strip().endswith("events, 0 lost")
    found["rows"] = [json.loads(line) for line in traced["output"].splitlines()]
    return found


def total(rows: list[dict[str, Any]], direction: str, **values: Any) -> int:
    """Return the bytes of the rows with these values: the sum over all intervals, which must be the last total."""
    own = [row for row in rows if all(row[name] == value for name, value in values.items())]
    last = {(row["pid"], row["comm"], row["daddr"], row["dport"]): row[f"{direction}_total_bytes"] for row in own}
    assert sum(last.values()) == sum(row[f"{direction}_bytes"] for row in own)
    return sum(last.values())


@pytest.mark.parametrize("name", NAMES)
def test_every_byte_is_counted_once(moved: dict[str, Any], name: str) -> None:
    done, rows = moved["done"][name], moved["rows"]
    reader = {"sport": done["reader"], "dport": done["sender"]}
    sender = {"sport": done["sender"], "dport": done["reader"]}
    assert (total(rows, "rx", **reader), total(rows, "tx", **sender)) == (done["read"], done["sent"])
    # Nothing is counted in the other direction.
    assert (total(rows, "tx", **reader), total(rows, "rx", **sender)) == (0, 0)


def test_all_cases_are_here(moved: dict[str, Any]) -> None:
    assert set(moved["done"]) == set(NAMES)


def test_bytes_belong_to_the_process_that_reads_them(moved: dict[str, Any]) -> None:
    port = moved["shared"]["reader"]
    for reader in moved["readers"]:
        assert total(moved["rows"], "rx", sport=port, pid=reader["pid"]) == reader["read"]
    assert total(moved["rows"], "rx", sport=port) == moved["shared"]["sent"]


def test_there_is_room_for_any_number_of_processes_and_connections(moved: dict[str, Any]) -> None:
    crowd = moved["crowd"]
    assert crowd["traced"]["errors"].strip().endswith("events, 0 lost")
    rows = [json.loads(line) for line in crowd["traced"]["output"].splitlines()]
    own = [row for row in rows if row["sport"] == crowd["sender"]]
    assert sum(row["tx_bytes"] for row in own) == crowd["sent"]
    totals = {row["comm"]: row["tx_total_bytes"] for row in own}
    assert totals == {f"crowd{number}": 1 + (number % 100 == 0) for number in range(crowd["count"])}


def test_the_family_is_that_of_the_addresses(moved: dict[str, Any]) -> None:
    for name, family, address in (
        ("recv", 2, "127.0.0.1"),
        ("IPv4 in an IPv6 socket", 2, "127.0.0.1"),
        ("IPv6", 10, "::1"),
    ):
        ends = moved["done"][name]
        own = [row for row in moved["rows"] if {row["sport"], row["dport"]} == {ends["reader"], ends["sender"]}]
        assert {(row["family"], row["saddr"], row["daddr"]) for row in own} == {(family, address, address)}


def test_mptcp_is_left_out(moved: dict[str, Any]) -> None:
    port = moved["multipath"]["port"]
    assert [row for row in moved["rows"] if port in (row["sport"], row["dport"])] == []
