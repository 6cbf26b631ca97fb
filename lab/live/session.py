# SPDX-License-Identifier: Apache-2.0
"""Run one collector live: attach it, print its events until it is stopped, and detach it."""

from __future__ import annotations

import io
import itertools
import json
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from lab.agent.collectors.bcc_loader import BccPrograms
from lab.agent.collectors.flow_totals import FlowTotals
from lab.agent.collectors.loader import LoaderError
from lab.agent.collectors.names import ENUMS
from lab.agent.collectors.options import Settings, settings
from lab.agent.collectors.recording import latencies
from lab.agent.collectors.ringbuffer import RingBuffer
from lab.agent.collectors.support import first_line
from lab.job.tcpprobe import tcpprobe_line
from lab.live.events import Decoder, Row, address_text, names_for
from lab.live.output import Output
from lab.live.qdiscs import Qdiscs
from lab.live.switch import Switch, SwitchError
from lab.live.tables import heading, line, table_of, time_text
from lab.live.timestamps import Timestamps

_POLL_S = 0.1
_ALL_PORTS = (0, 65535)


@dataclass(frozen=True)
class Request:
    """A trace that the command line asks for."""

    collector: str
    options: dict[str, Any] = field(default_factory=dict)
    form: str = "table"
    """The output format: ``table``, ``json`` or ``tcpprobe``."""
    duration_s: float | None = None
    """Time after which the trace ends; None if it has no limit."""
    count: int | None = None
    """Number of events (for ``flow``: of intervals) after which the trace ends; None if it has no limit."""
    interval_s: float = 1.0
    """Time between two tables of ``flow``."""
    start_off: bool = False
    """Whether the trace starts switched off."""
    timestamps: str | None = None
    """What times are relative to, one of :data:`lab.live.timestamps.KINDS`.  None is ``start``, and leaves tables that
    have no times as they are."""


class Session:
    """One live trace of a collector."""

    def __init__(self, request: Request, sources: Path, out: Output, say: Callable[[str], None]) -> None:
        """Compile and load the collector's programs from *sources*.

        Events are written to ``out``; ``say`` is called with messages about the state of the trace and must not raise
        anything.

        Raises:
            LoaderError: The programs cannot be compiled or loaded.
        """
        self._request = request
        self._out = out
        self._say = say
        self._name = request.collector
        self._programs = BccPrograms(sources, [self._name])
        self._settings: Settings = settings(self._name, request.options, _ALL_PORTS)
        self._stopped = False
        self._printed = 0
        self._is_on = False
        self._clock = Timestamps("start", 0)

    def run(self) -> int:
        """Print events until the trace ends, and return how many were printed.

        Raises:
            LoaderError: The programs cannot be attached.
            SwitchError: The trace could not be switched, because another one is running.
            OutputError: The events cannot be written, or nobody reads them any more.
        """
        for table, values in self._settings.tables.items():
            self._programs.write(table, values)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        switch = Switch(self._name, self._told) if self._name == "drops" else None
        try:
            self._clock = Timestamps(self._request.timestamps or "start", time.monotonic_ns())
            if not self._request.start_off:
                self._switch(on=True)
            self._say("tracing; press Ctrl-C to stop")
            follow = self._follow_totals if self._name == "flow" else self._follow_events
            follow(switch.look if switch is not None else lambda: None)
        finally:
            self._switch(on=False)
            if switch is not None:
                switch.close()
        return self._printed

    @property
    def lost(self) -> int:
        """The number of events that were lost."""
        return self._programs.lost(self._name)

    def latency_lines(self) -> list[str]:
        """Return the lines of the histogram that ``drops --latency`` prints; none without that option."""
        if "latency" not in self._settings.hooks:
            return []
        stages = ENUMS["drops_stage"]
        lines = [f"{'FROM':<20}{'TO':<20}{'AT LEAST (ns)':>14}{'PACKETS':>10}"]
        for before, after, low, packets in latencies(self._programs):
            lines.append(f"{stages[before]:<20}{stages[after]:<20}{low:>14}{packets:>10}")
        return lines

    def _follow_events(self, look: Callable[[], None]) -> None:
        event_bytes, fields = self._programs.layout(self._name)
        ring = RingBuffer(*self._programs.ring(self._name), event_bytes)
        names = names_for(self._name, self._programs.enumerators)
        decoder = Decoder(self._name, fields, ring.row_bytes, names, self._clock)
        qdiscs = Qdiscs()
        print_row = self._printer()

        def print_new() -> int:
            batch = io.BytesIO()
            rows = ring.drain(batch)
            if rows and not self._is_enough():
                if self._name == "drops":
                    decoder.with_qdiscs(qdiscs.kinds())
                self._print(decoder.rows(batch.getvalue()), print_row)
            return rows

        end = self._end()
        while not self._stopped and time.monotonic() < end:
            look()
            if print_new() == 0:
                self._out.check_reader()
                time.sleep(_POLL_S)
        self._switch(on=False)
        print_new()
        ring.close()

    def _print(self, rows: Iterable[Row], print_row: Callable[[Row], str]) -> None:
        self._clock.follow()
        left = None if self._request.count is None else self._request.count - self._printed
        lines = [print_row(row) for row in itertools.islice(rows, left)]
        self._out.write(lines)
        self._printed += len(lines)
        self._stopped = self._stopped or self._is_enough()

    def _is_enough(self) -> bool:
        return self._request.count is not None and self._printed >= self._request.count

    def _printer(self) -> Callable[[Row], str]:
        if self._request.form == "json":
            return json.dumps
        if self._request.form == "tcpprobe":
            return tcpprobe_line
        columns = table_of(self._name, self._request.timestamps)
        self._out.write([heading(columns)])
        return lambda row: line(columns, row)

    def _follow_totals(self, _look: Callable[[], None]) -> None:
        totals = FlowTotals(self._programs)
        columns = table_of("flow", None)
        end = self._end()
        intervals = 0
        is_last = False
        while not is_last:
            until = min(end, time.monotonic() + self._request.interval_s)
            while not self._stopped and (left := until - time.monotonic()) > 0:
                self._out.check_reader()
                time.sleep(min(left, _POLL_S))
            intervals += 1
            # What has been counted until the trace is stopped is printed, also if it is stopped while it prints.
            is_last = self._stopped or time.monotonic() >= end or intervals == self._request.count
            self._clock.follow()
            now_ns = self._clock.time_ns(time.monotonic_ns())
            rows = [_flow_row(now_ns, *change) for change in totals.changes()]
            if self._request.form == "json":
                self._out.write(json.dumps(self._clock.dated(row)) for row in rows)
            else:
                kind = self._request.timestamps
                when = time.strftime("%H:%M:%S") if kind is None else time_text(kind, now_ns)
                self._out.write([when, heading(columns), *(line(columns, row) for row in rows), ""])
            self._printed += len(rows)

    def _end(self) -> float:
        return time.monotonic() + self._request.duration_s if self._request.duration_s is not None else float("inf")

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        self._stopped = True
        # If the trace waits for the reader of its output, it takes a second signal to end it.
        signal.signal(number, signal.SIG_DFL)

    def _switch(self, *, on: bool) -> None:
        if on and not self._is_on:
            self._programs.attach(self._name, self._settings.hooks)
        elif not on:
            self._programs.detach(self._name)
        self._is_on = on

    def _told(self, command: str) -> str:
        if command in ("on", "off"):
            try:
                self._switch(on=command == "on")
            except LoaderError as exc:
                raise SwitchError(first_line(exc)) from exc
            self._say(f"switched {command}")
        return f"{'on' if self._is_on else 'off'}, {self._printed} events so far"


def _flow_row(time_ns: int, key: Any, sent: int, received: int, total_sent: int, total_received: int) -> Row:
    saddr, daddr, comm, pid, netns, sport, dport, family = key
    return {
        "time_ns": time_ns,
        "pid": pid,
        "comm": comm.partition(b"\0")[0].decode(errors="replace"),
        "saddr": address_text(saddr),
        "sport": sport,
        "daddr": address_text(daddr),
        "dport": dport,
        "tx_bytes": sent,
        "rx_bytes": received,
        "tx_total_bytes": total_sent,
        "rx_total_bytes": total_received,
        "netns": netns,
        "family": family,
    }
