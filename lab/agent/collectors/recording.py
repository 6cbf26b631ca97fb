# SPDX-License-Identifier: Apache-2.0
"""Run a collector during a trial: start it, drain it while traffic runs, stop it; write its rows to files."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from lab.agent.collectors.flow_totals import FlowTotals
from lab.agent.collectors.loader import Programs
from lab.agent.collectors.names import ENUMS, names_of, symbols
from lab.agent.collectors.options import Settings
from lab.agent.collectors.registry import RECORDERS
from lab.agent.collectors.ringbuffer import HEADER_BYTES, RingBuffer
from lab.job.protocol import CollectorResult, Field
from lab.job.watched import Layout

Results = dict[str, CollectorResult]

TICK_NS = 250_000_000
"""Collectors are drained, switched on and switched off at multiples of this time since the start of traffic, in ns."""

RELAXED_TICK_NS = 4 * TICK_NS
"""The longest time between two readings, in nanoseconds.  In User-mode Linux, four readings each second would
take a sixth of the processor time of a trial at 20 Mbit/s."""

_QUIET_SHARE = 1 / 8
"""A ring buffer is read after the longest time if, at the rate of events since the last reading, less than this share
of it will be in use by then.  So the rate can grow eightfold meanwhile before events are lost."""

STAGES = 7
BUCKETS = 64
"""``STAGES`` and ``BUCKETS`` must equal ``STAGES`` and ``DROPS_BUCKETS`` of ``bpf/drops.bpf.c``."""


def recorder(name: str, programs: Programs, directory: Path, settings: Settings, interval_ns: int = 0) -> Recorder:
    """Return the recorder of the collector *name*; ``interval_ns`` is used only by collectors read at intervals."""
    if name == "flow":
        return FlowRecorder(programs, directory, settings, interval_ns)
    if name == "drops":
        return DropsRecorder(programs, directory, settings)
    return RingRecorder(name, programs, directory, settings)


class Recorder:
    """The base class of all recorders, each of which runs one collector during a trial."""

    def __init__(self, name: str, programs: Programs, directory: Path, settings: Settings) -> None:
        self.name = name
        self._programs = programs
        self._settings = settings
        self._directory = directory
        self._lost_before = 0
        (directory / "collect").mkdir(exist_ok=True)

    def start(self, *, on: bool = True) -> None:
        """Write the collector's settings and discard its state; then attach it, or with ``on=False`` leave it detached.

        A collector that was started with ``on=False`` records nothing until :meth:`switch_on` is called.
        """
        for table, values in self._settings.tables.items():
            self._programs.write(table, values)
        self._programs.clear(self.name)
        self._lost_before = self._programs.lost(self.name)
        if on:
            self.switch_on()

    def switch_on(self) -> None:
        """Attach the collector's programs to their hooks."""
        self._programs.attach(self.name, self._settings.hooks)

    def switch_off(self) -> None:
        """Detach the collector's programs, so that it costs the kernel nothing."""
        self._programs.detach(self.name)

    def drain(self, now_ns: int) -> None:
        """Move the events that the kernel has buffered to the record; ``now_ns`` is the time since traffic started."""

    def drain_by(self, now_ns: int) -> int:
        """Return the time since traffic started, in ns, by which :meth:`drain` must be called again.

        It was called for the last time at ``now_ns``.
        """
        return now_ns + RELAXED_TICK_NS

    def stop(self, now_ns: int) -> Results:
        """Detach the collector, drain it for the last time, and return a description of the files it has written."""
        raise NotImplementedError

    def _open(self, part: str) -> tuple[str, BinaryIO]:
        relative = f"collect/{part}.bin"
        return relative, open(self._directory / relative, "wb")

    def _lost(self) -> int:
        return self._programs.lost(self.name) - self._lost_before

    def _names(self) -> dict[str, dict[str, str]]:
        found = {}
        for field, enum in RECORDERS[self.name].names:
            found[field] = _texts(names_of(enum, self._programs.enumerators))
        return found


class RingRecorder(Recorder):
    """The recorder of a collector whose programs write fixed-size events to a ring buffer.

    Addresses in the field ``location`` are resolved to the names of the kernel's functions.
    """

    def __init__(self, name: str, programs: Programs, directory: Path, settings: Settings) -> None:
        super().__init__(name, programs, directory, settings)
        event_bytes, self._fields = programs.layout(name)
        self._ring = RingBuffer(*programs.ring(name), event_bytes)
        self._relative, self._file = self._open(name)
        self._rows = 0
        self._drained_ns = 0
        self._bytes_per_ns = 0.0

    def drain(self, now_ns: int) -> None:
        rows = self._ring.drain(self._file)
        self._rows += rows
        self._bytes_per_ns = rows * self._ring.row_bytes / max(now_ns - self._drained_ns, 1)
        self._drained_ns = now_ns

    def drain_by(self, now_ns: int) -> int:
        is_quiet = self._bytes_per_ns * RELAXED_TICK_NS < self._ring.data_bytes * _QUIET_SHARE
        return now_ns + (RELAXED_TICK_NS if is_quiet else TICK_NS)

    def layout(self) -> Layout:
        """Return what the rows consist of."""
        return {"row_bytes": self._ring.row_bytes, "fields": self._row_fields(), "names": self._names()}

    def take(self) -> bytes:
        """Return the rows that have been drained so far, and remove them from the record."""
        self._file.flush()
        rows = (self._directory / self._relative).read_bytes()
        self._file.seek(0)
        self._file.truncate()
        return rows

    def _row_fields(self) -> list[Field]:
        return [{**field, "offset": field["offset"] + HEADER_BYTES} for field in self._fields]

    def stop(self, now_ns: int, last_rows: Iterable[bytes] = ()) -> Results:
        """Stop as every recorder does; add *last_rows* for what the kernel has not written, in the form of its events.

        They are asked for when the programs no longer run.
        """
        self.switch_off()
        self.drain(now_ns)
        self._ring.close()
        for row in last_rows:
            self._rows += 1
            self._file.write(bytes(HEADER_BYTES) + row)
        self._file.close()
        fields = self._row_fields()
        result: CollectorResult = {
            "file": self._relative,
            "rows": self._rows,
            "lost": self._lost(),
            "row_bytes": self._ring.row_bytes,
            "fields": fields,
            "names": self._names(),
        }
        if any(field["name"] == "location" for field in fields):
            result["names"]["location"] = _texts(symbols(self._values_of("location")))
        return {self.name: result}

    def _values_of(self, field: str) -> set[int]:
        """Return the distinct values of a 64-bit field in the rows recorded so far."""
        (offset,) = (known["offset"] + HEADER_BYTES for known in self._fields if known["name"] == field)
        words = memoryview((self._directory / self._relative).read_bytes()).cast("Q")
        return set(words[offset // 8 :: self._ring.row_bytes // 8])


class DropsRecorder(RingRecorder):
    """The recorder of dropped packets.

    With the option ``latency``, it adds a histogram of the times that packets took between places in the network stack.
    """

    def __init__(self, programs: Programs, directory: Path, settings: Settings) -> None:
        super().__init__("drops", programs, directory, settings)
        self._missed_before = 0

    def start(self, *, on: bool = True) -> None:
        self._missed_before = self._programs.missed_samples(self.name)
        super().start(on=on)

    def stop(self, now_ns: int, last_rows: Iterable[bytes] = ()) -> Results:
        results = super().stop(now_ns, last_rows)
        if "latency" in self._settings.hooks:
            results["drops_latency"] = self._latency()
        return results

    def _latency(self) -> CollectorResult:
        rows = [(low, count, before, after) for before, after, low, count in latencies(self._programs)]
        stages = _texts(ENUMS["drops_stage"])
        return write_rows(
            *self._open("drops_latency"),
            rows,
            (("at_least_ns", "<u8"), ("packets", "<u8"), ("from", "<u4"), ("to", "<u4")),
            names={"from": stages, "to": stages},
            lost=self._programs.missed_samples(self.name) - self._missed_before,
        )


def latencies(programs: Programs) -> list[tuple[int, int, int, int]]:
    """Return every non-empty bucket of the histogram as (previous stage, stage, lower bound in ns, packets)."""
    found = []
    for index, count in enumerate(programs.table("drops_latency").values()):
        if count.value:
            pair, bucket = divmod(index, BUCKETS)
            found.append((*divmod(pair, STAGES), 1 << bucket if bucket else 0, int(count.value)))
    return found


class FlowRecorder(Recorder):
    """The recorder of bytes sent and received per process and connection, which are read at intervals."""

    def __init__(self, programs: Programs, directory: Path, settings: Settings, interval_ns: int) -> None:
        super().__init__("flow", programs, directory, settings)
        self._interval_ns = interval_ns
        self._next_ns = interval_ns
        self._totals = FlowTotals(programs)
        self._rows: list[tuple[int | bytes, ...]] = []

    def start(self, *, on: bool = True) -> None:
        super().start(on=on)
        self._totals.forget()

    def drain_by(self, now_ns: int) -> int:
        return min(self._next_ns, now_ns + RELAXED_TICK_NS)

    def drain(self, now_ns: int) -> None:
        if now_ns < self._next_ns:
            return
        self._read(now_ns)
        while self._next_ns <= now_ns:
            self._next_ns += self._interval_ns

    def stop(self, now_ns: int) -> Results:
        self.switch_off()
        self._read(now_ns)
        fields = (
            ("time_ns", "<u8"),
            ("tx_bytes", "<u8"),
            ("rx_bytes", "<u8"),
            ("tx_total_bytes", "<u8"),
            ("rx_total_bytes", "<u8"),
            ("saddr", "V16"),
            ("daddr", "V16"),
            ("comm", "V16"),
            ("pid", "<u4"),
            ("netns", "<u4"),
            ("sport", "<u2"),
            ("dport", "<u2"),
            ("family", "<u2"),
        )
        relative, file = self._open("flow")
        return {"flow": write_rows(relative, file, self._rows, fields, lost=self._lost())}

    def _read(self, now_ns: int) -> None:
        for key, sent, received, total_sent, total_received in self._totals.changes():
            self._rows.append((now_ns, sent, received, total_sent, total_received, *key))


def write_rows(
    relative: str,
    file: BinaryIO,
    rows: Iterable[tuple[int | bytes, ...]],
    fields: Iterable[tuple[str, str]],
    *,
    names: dict[str, dict[str, str]] | None = None,
    lost: int = 0,
) -> CollectorResult:
    """Write rows that the agent has made in the same binary format as the rows that come from the kernel.

    ``fields`` are pairs of a name and a numpy type.  Closes ``file``, and returns its description for the record.
    """
    codes = {"<u8": "Q", "<u4": "I", "<u2": "H", "V16": "16s"}
    described: list[Field] = []
    layout = "<"
    for name, kind in fields:
        described.append({"name": name, "type": kind, "offset": struct.calcsize(layout)})
        layout += codes[kind]
    packed = struct.Struct(layout)
    count = 0
    with file:
        for row in rows:
            file.write(packed.pack(*row))
            count += 1
    return {
        "file": relative,
        "rows": count,
        "lost": lost,
        "row_bytes": packed.size,
        "fields": described,
        "names": names or {},
    }


def _texts(names: dict[int, str]) -> dict[str, str]:
    return {str(value): name for value, name in sorted(names.items())}
