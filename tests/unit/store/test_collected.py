# SPDX-License-Identifier: Apache-2.0
"""Collectors' raw rows → Parquet: each column against the bytes, and what does not fit together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from lab.errors import StoreError
from lab.job.drop_causes import cause_of
from lab.job.protocol import CollectorResult
from lab.store.rows import COLUMN_UNITS, read_rows, write_table
from lab.store.run import Run
from tests.data.capture import names
from tests.data.raw import RawTrial

REPLACED = {"ts_ns", "netns", "ifindex"}
"""Of the raw rows: other columns say it."""


def qdisc_kinds(trial: RawTrial, node: str | None, interface: str | None) -> list[str]:
    for port in trial.record["interfaces"]:
        if (port["node"], port["interface"]) == (node, interface):
            return [qdisc["kind"] for qdisc in port["qdiscs_after"]]
    return []


@pytest.mark.parametrize("name", names())
def test_every_value_of_every_row_is_stored(
    name: str, replayed: Callable[[str], Run], raw: Callable[[str], dict[str, RawTrial]]
) -> None:
    for trial in replayed(name).trials():
        if not trial.ok:
            continue
        source = raw(name)[trial.id]
        assert {path.stem for path in trial.path.glob("*.parquet")} == source.record["collectors"].keys()
        for collector in source.record["collectors"]:
            rows = [row for row in source.rows(collector) if row.get("interface") != "mgmt"]
            table = trial.collected(collector)
            stored = {column: table.column(column).to_pylist() for column in table.column_names}
            assert table.num_rows == len(rows)
            expected: dict[str, list[Any]] = {
                # An empty name stands for a value that is not there.
                field["name"]: [row[field["name"]] if row[field["name"]] != "" else None for row in rows]
                for field in source.record["collectors"][collector]["fields"]
                if field["name"] not in REPLACED and not field["name"].startswith("unused")
            }
            if rows and "t" in rows[0]:
                expected["time_ns"] = [row["t"] for row in rows]
            if rows and "end" in rows[0]:
                expected |= {column: [row[column] for row in rows] for column in ("flow", "end")}
            if rows and "node" in rows[0]:
                expected["node"] = [row["node"] for row in rows]
                if "ifindex" in rows[0]:
                    expected["interface"] = [row["interface"] for row in rows]
            if collector in ("drops", "losses"):
                expected["cause"] = [
                    cause_of(row["reason"], row["location"], qdisc_kinds(source, row["node"], row["interface"]))
                    for row in rows
                ]
            if "sojourn_ns" in expected:
                expected["sojourn_ns"] = [None if value == 2**64 - 1 else value for value in expected["sojourn_ns"]]
            if not rows:
                continue
            assert stored.keys() == expected.keys(), collector
            for column, values in expected.items():
                assert stored[column] == values, (collector, column)


def test_columns_say_their_units(replayed: Callable[[str], Run]) -> None:
    (trial, _other) = replayed("everything").trials()
    schema = trial.collected("tcp_probe").schema
    assert schema.field("srtt_us").metadata == {b"unit": b"microseconds"}
    assert {field.name for field in schema if field.metadata} == set(schema.names) & COLUMN_UNITS.keys()


def test_the_same_table_gives_the_same_bytes(replayed: Callable[[str], Run], tmp_path: Path) -> None:
    (trial, _other) = replayed("everything").trials()
    for collector in ("tcp_probe", "drops"):
        table = trial.collected(collector)
        write_table(table, tmp_path / "again")
        assert (tmp_path / "again").read_bytes() == (trial.path / f"{collector}.parquet").read_bytes()
        assert pq.read_table(tmp_path / "again").equals(table)


# --- what a record may say that is not so --------------------------------------------------------------------


def described(**changes: Any) -> CollectorResult:
    about: Any = {
        "file": "rows.bin",
        "rows": 2,
        "lost": 0,
        "row_bytes": 12,
        "fields": [{"name": "ts_ns", "type": "<u8", "offset": 0}, {"name": "value", "type": "<u4", "offset": 8}],
        "names": {},
    }
    return {**about, **changes}  # type: ignore[typeddict-item]


@pytest.fixture
def record(tmp_path: Path) -> Path:
    folder = tmp_path / "record"
    folder.mkdir()
    (folder / "rows.bin").write_bytes(bytes(range(24)))
    return folder


def test_rows_are_read_as_described(record: Path) -> None:
    rows = read_rows(record, "c", described())
    assert rows["value"].tolist() == [0x0B0A0908, 0x17161514]
    assert rows["ts_ns"].tolist() == [0x0706050403020100, 0x131211100F0E0D0C]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": 3}, "24 bytes, but .* 3 rows of 12 bytes"),
        ({"rows": 1}, "24 bytes, but .* 1 rows"),
        ({"row_bytes": 8, "rows": 3}, "'value' lies outside"),
        ({"fields": [{"name": "x", "type": "<u4", "offset": -1}]}, "'x' lies outside"),
        ({"fields": [{"name": "x", "type": "O", "offset": 0}]}, "'x' has the unknown type 'O'"),
        ({"fields": [{"name": "x", "type": "<u4,<u4", "offset": 0}]}, "unknown type"),
        ({"file": "gone.bin"}, "is missing"),
        ({"file": "../record/rows.bin"}, "lies outside"),
        ({"file": "/etc/passwd"}, "lies outside"),
        ({"file": ""}, "the file of collector c"),
        ({"file": "link.bin"}, "is a symbolic link"),
    ],
)
def test_a_description_that_does_not_fit(changes: dict[str, Any], message: str, record: Path) -> None:
    (record / "link.bin").symlink_to("rows.bin")
    with pytest.raises(StoreError, match=message):
        read_rows(record, "c", described(**changes))
