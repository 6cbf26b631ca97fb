# SPDX-License-Identifier: Apache-2.0
"""The rows of algorithms: in the record, or taken while a trial is watched."""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from lab.agent.algorithms import trace
from lab.agent.algorithms.registered import RegisteredAlgorithm, Ring
from lab.agent.algorithms.trace import NAME, ROW_BYTES, AlgorithmTrace
from lab.agent.collectors.ringbuffer import HEADER_BYTES

DATA_BYTES = 1 << 14


class Tracing:
    """An algorithm whose ring buffer is a file in memory."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("ring")
        os.ftruncate(self.fd, 2 * mmap.PAGESIZE + 2 * DATA_BYTES)
        self.ring = Ring(self.fd, DATA_BYTES)
        self._produced = 0

    def lost(self) -> int:
        return 0

    def write(self, value: int) -> None:
        row = struct.pack("=II", ROW_BYTES, 0) + struct.pack("<Qq16s", 5, value, b"w").ljust(ROW_BYTES, b"\0")
        os.pwrite(self.fd, row, 2 * mmap.PAGESIZE + self._produced)
        self._produced += len(row)
        os.pwrite(self.fd, struct.pack("=Q", self._produced), mmap.PAGESIZE)


@pytest.fixture
def tracing() -> Iterator[Tracing]:
    made = Tracing()
    yield made
    os.close(made.fd)


def begun(tracing: Tracing, folder: Path) -> AlgorithmTrace:
    made = AlgorithmTrace([cast("RegisteredAlgorithm", tracing)], folder)
    made.start()
    return made


def values(rows: bytes, layout: Any) -> list[int]:
    (at,) = (field["offset"] for field in layout["fields"] if field["name"] == "value")
    size = layout["row_bytes"]
    return [struct.unpack_from("<q", rows, start + at)[0] for start in range(0, len(rows), size)]


def test_what_was_taken_is_not_in_the_record(tracing: Tracing, tmp_path: Path) -> None:
    made = begun(tracing, tmp_path)
    assert made.name == NAME
    assert made.layout()["row_bytes"] == HEADER_BYTES + ROW_BYTES
    tracing.write(7)
    tracing.write(-8)
    made.drain(10)
    assert values(made.take(), made.layout()) == [7, -8]
    assert made.take() == b""
    tracing.write(9)
    result = made.stop(20)[NAME]
    assert (result["rows"], result["lost"]) == (1, 0)
    assert values((tmp_path / result["file"]).read_bytes(), result) == [9]


def test_a_long_lecture_is_shown_to_its_end(tracing: Tracing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "MOST_ROWS", 3)
    made = begun(tracing, tmp_path)
    for tick in range(10):
        tracing.write(tick)
        made.drain(tick)
        assert values(made.take(), made.layout()) == [tick]
    for value in range(5):
        tracing.write(value)
        made.drain(value)
    result = made.stop(20)[NAME]
    assert (result["rows"], result["lost"]) == (3, 2)


def test_algorithms_that_record_nothing_have_no_table(tmp_path: Path) -> None:
    made = AlgorithmTrace([], tmp_path)
    assert made.is_empty
    made.start()
    made.drain(0)
    assert made.take() == b""
    assert made.stop(1) == {}
