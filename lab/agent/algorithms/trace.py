# SPDX-License-Identifier: Apache-2.0
"""The rows that the algorithms of a job record with ``lab_trace``: drained while traffic runs, like a collector's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from lab.agent.algorithms.registered import RegisteredAlgorithm
from lab.agent.collectors.recording import RELAXED_TICK_NS, TICK_NS
from lab.agent.collectors.ringbuffer import HEADER_BYTES, RingBuffer
from lab.job.protocol import CollectorResult, Field
from lab.job.watched import Layout

NAME = "cc_trace"
"""The name of the table in the record."""

MOST_ROWS = 1_000_000
"""The most rows of all algorithms together; further ones count as lost."""

ROW_BYTES = 72
"""The size of ``struct lab_trace_row`` in lab/cc/include/lab_cc.h."""

_FIELDS: tuple[Field, ...] = (
    {"name": "ts_ns", "type": "<u8", "offset": 0},
    {"name": "value", "type": "<i8", "offset": 8},
    {"name": "name", "type": "V16", "offset": 16},
    {"name": "saddr", "type": "V16", "offset": 32},
    {"name": "daddr", "type": "V16", "offset": 48},
    {"name": "sport", "type": "<u2", "offset": 64},
    {"name": "dport", "type": "<u2", "offset": 66},
)


class AlgorithmTrace:
    """The recorder of the rows of all algorithms that record some."""

    name = NAME

    def __init__(self, algorithms: Sequence[RegisteredAlgorithm], directory: Path) -> None:
        self._algorithms = [one for one in algorithms if one.ring is not None]
        self._directory = directory
        self._rings: list[RingBuffer] = []
        self._path = directory / f"collect/{NAME}.bin"
        self._file: BinaryIO | None = None
        self._rows = self._too_many = self._lost_before = 0

    @property
    def is_empty(self) -> bool:
        """Whether no algorithm records anything."""
        return not self._algorithms

    def start(self) -> None:
        """Begin to record."""
        if not self._algorithms:
            return
        (self._directory / "collect").mkdir(exist_ok=True)
        self._file = open(self._path, "wb")  # noqa: SIM115 - closed in stop()
        self._lost_before = sum(one.lost() for one in self._algorithms)
        for one in self._algorithms:
            ring = one.ring
            assert ring is not None
            self._rings.append(RingBuffer(ring.fd, ring.data_bytes, ROW_BYTES))

    def drain(self, now_ns: int) -> None:
        """Move the rows that the kernel has buffered to the record; ``now_ns`` is the time since traffic started."""
        if self._file is None:
            return
        for ring in self._rings:
            if self._rows < MOST_ROWS:
                self._rows += ring.drain(self._file)
            else:
                self._too_many += ring.skip()

    def drain_by(self, now_ns: int) -> int:
        """Return the time since traffic started, in ns, by which :meth:`drain` must be called again."""
        return now_ns + (TICK_NS if self._rings else RELAXED_TICK_NS)

    def layout(self) -> Layout:
        """Return what the rows consist of."""
        fields: list[Field] = [{**field, "offset": field["offset"] + HEADER_BYTES} for field in _FIELDS]
        return {"row_bytes": self._rings[0].row_bytes, "fields": fields, "names": {}}

    def take(self) -> bytes:
        """Return the rows that have been drained so far, and remove them from the record."""
        if self._file is None:
            return b""
        self._file.flush()
        rows = self._path.read_bytes()
        self._file.seek(0)
        self._file.truncate()
        self._rows = 0  # The limit is for what the record keeps.
        return rows

    def stop(self, now_ns: int) -> dict[str, CollectorResult]:
        """Drain for the last time, and describe the rows; empty if no algorithm records any."""
        if self._file is None:
            return {}
        self.drain(now_ns)
        layout = self.layout()
        for ring in self._rings:
            ring.close()
        self._file.close()
        self._file = None
        return {
            NAME: {
                "file": f"collect/{NAME}.bin",
                "rows": self._rows,
                "lost": sum(one.lost() for one in self._algorithms) - self._lost_before + self._too_many,
                **layout,
            }
        }
