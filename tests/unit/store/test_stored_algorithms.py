# SPDX-License-Identifier: Apache-2.0
"""Jobs with congestion controls of the user that others have written, and rows that a guest has forged."""

from __future__ import annotations

import base64
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lab.agent.algorithms.trace import ROW_BYTES
from lab.errors import StoreError
from lab.job.protocol import Job
from lab.store.rows import Context, read_rows, rows_to_table
from lab.store.stored_job import check_job
from tests.jobs import job_with


def packed(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data)).decode()


GOOD: dict[str, Any] = {"name": "my_cc", "source_sha256": "0" * 64, "object": packed(b"\x7fELF" + bytes(60))}


def job(*algorithms: Any) -> Job:
    made = job_with(["s1", "d1"], [("s1", "d1")])
    made["algorithms"] = list(algorithms)
    return made


def test_a_job_with_an_algorithm_can_be_read() -> None:
    assert check_job(job(GOOD), "the plan") == job(GOOD)
    module = {**GOOD, "form": "module"}
    assert check_job(job(module), "the plan") == job(module)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../x"},
        {"name": "a/b"},
        {"name": ""},
        {"name": "x" * 16},
        {"name": 7},
        {"source_sha256": "0" * 63},
        {"source_sha256": "../../etc/passwd"},
        {"object": "?"},
        {"object": ""},
        {"object": packed(b"#!/bin/sh")},
        {"object": packed(b"\x7fELF" + bytes(2 << 20))},
        {"object": packed(b"\x7fELF" + bytes(60))[:-8]},
        {"form": "module source"},
        {"form": 1},
        {"more": 1},
    ],
)
def test_a_damaged_algorithm_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(StoreError, match="the plan is damaged"):
        check_job(job({**GOOD, **change}), "the plan")


def test_two_algorithms_of_one_name_are_refused() -> None:
    with pytest.raises(StoreError, match="each of them once"):
        check_job(job(GOOD, GOOD), "the plan")


FIELDS = [
    {"name": "ts_ns", "type": "<u8", "offset": 8},
    {"name": "value", "type": "<i8", "offset": 16},
    {"name": "name", "type": "V16", "offset": 24},
]


def written(folder: Path, data: bytes, **changes: Any) -> Any:
    (folder / "collect").mkdir()
    (folder / "collect" / "cc_trace.bin").write_bytes(data)
    width = ROW_BYTES + 8
    described = {"file": "collect/cc_trace.bin", "rows": len(data) // width, "lost": 0, "row_bytes": width}
    return {**described, "fields": FIELDS, "names": {}, **changes}


@pytest.mark.parametrize(
    "changes",
    [
        {"file": "../../../etc/passwd"},
        {"file": "/etc/passwd"},
        {"rows": 10**12},
        {"rows": -1},
        {"row_bytes": 10**12},
        {"row_bytes": 0},
        {"fields": [{"name": "ts_ns", "type": "O", "offset": 0}]},
        {"fields": [{"name": "ts_ns", "type": "V9999999", "offset": 0}]},
        {"fields": [{"name": "ts_ns", "type": "<u8", "offset": 10**9}]},
        {"fields": [{"name": "ts_ns", "type": "<u8", "offset": -8}]},
    ],
)
def test_a_forged_description_of_rows_is_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    described = written(tmp_path, bytes(2 * (ROW_BYTES + 8)), **changes)
    with pytest.raises(StoreError):
        read_rows(tmp_path, "cc_trace", described)


def test_any_bytes_in_a_row_become_values(tmp_path: Path) -> None:
    width = ROW_BYTES + 8
    rows = np.random.default_rng(1).integers(0, 256, 50 * width, dtype=np.uint8).tobytes() + b"\xff" * width
    found = read_rows(tmp_path, "cc_trace", written(tmp_path, rows))
    table = rows_to_table(found, Context(0, [], [], {}))
    assert table.num_rows == 51
    assert all(isinstance(name, str) for name in table.column("name").to_pylist())
