# SPDX-License-Identifier: Apache-2.0
"""CSV: the values of the Parquet files, in a form that Python's own reader takes."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.errors import InputError
from lab.export.formats import export
from lab.store.run import Run


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def text_of(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


@pytest.mark.parametrize("collector", ["tcp_probe", "packets", "drops", "states", "queue", "accounts"])
def test_a_table_has_the_values_of_its_file(collector: str, replayed: Callable[[str], Run], tmp_path: Path) -> None:
    run = replayed("everything")
    (path,) = export(run, "csv", tmp_path, ["bbr-r1"], [collector])
    assert path == tmp_path / f"bbr-r1.{collector}.csv"
    expected = run.trial("bbr-r1").collected(collector).to_pylist()
    found = rows_of(path)
    assert len(found) == len(expected) > 0
    for row, values in zip(found, expected, strict=True):
        assert row == {name: text_of(value) for name, value in values.items()}


def test_metrics_and_all_tables(replayed: Callable[[str], Run], tmp_path: Path) -> None:
    run = replayed("failed")
    paths = export(run, "csv", tmp_path)
    assert paths[0] == tmp_path / "metrics.csv"
    tables = sorted(path.stem for path in run.trial("cubic-r1").path.glob("*.parquet"))
    assert [path.name for path in paths[1:]] == [f"cubic-r1.{name}.csv" for name in tables]
    (row,) = rows_of(paths[0])
    assert (row["trial"], row["flow"], row["cc"]) == ("cubic-r1", "bulk", "cubic")
    assert float(row["goodput_bps"]) > 1e6
    again = export(run, "csv", tmp_path / "again")
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in paths]
    assert not list(tmp_path.rglob(".tmp-*"))


def test_what_is_not_there_is_refused_before_anything_is_written(
    replayed: Callable[[str], Run], tmp_path: Path
) -> None:
    run = replayed("failed")
    for trials, collectors, message in (
        (["nosuch-r1"], [], r"has no finished trial nosuch-r1; expected one of cubic-r1"),
        ([], ["tcp_probe", "x"], r"trial cubic-r1 has no table 'x'; expected one of accounts"),
    ):
        with pytest.raises(InputError, match=message):
            export(run, "csv", tmp_path / "out", trials, collectors)
    with pytest.raises(InputError, match="found the format 'xlsx'; expected one of tcpprobe, pcap, flent, csv"):
        export(run, "xlsx", tmp_path / "out")
    with pytest.raises(InputError, match="a choice of collectors, which is for csv only"):
        export(run, "pcap", tmp_path / "out", (), ["packets"])
    assert not (tmp_path / "out").exists()
