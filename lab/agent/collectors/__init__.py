# SPDX-License-Identifier: Apache-2.0
"""Collectors: record events of the kernel during a trial, and the registry that knows them by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lab.agent.collectors.loader import Programs
from lab.agent.collectors.ringbuffer import HEADER_BYTES, RingBuffer
from lab.protocol import CollectorResult, Field, Flow

COLLECTORS = ("tcp_probe",)
"""Every collector there is; each has ``bpf/<name>.bpf.c``."""


class RingCollector:
    """A collector whose program writes fixed-size events to a ring buffer."""

    def __init__(self, name: str, programs: Programs, directory: Path) -> None:
        self.name = name
        self._programs = programs
        event_bytes, self._fields = programs.layout(name)
        self._ring = RingBuffer(*programs.ring(name), event_bytes)
        self._relative = f"collect/{name}.bin"
        (directory / "collect").mkdir(exist_ok=True)
        self._file = open(directory / self._relative, "wb")  # noqa: SIM115 - closed in stop()
        self._rows = 0

    def start(self, config: dict[str, int]) -> None:
        self._programs.configure(self.name, config)
        self._lost_before = self._programs.lost(self.name)
        self._programs.attach(self.name)

    def drain(self) -> None:
        """Move what the kernel has written so far to the record; call it several times a second."""
        self._rows += self._ring.drain(self._file)

    def stop(self) -> CollectorResult:
        self._programs.detach(self.name)
        self.drain()
        self._ring.close()
        self._file.close()
        fields: list[Field] = [{**field, "offset": field["offset"] + HEADER_BYTES} for field in self._fields]
        return {
            "file": self._relative,
            "rows": self._rows,
            "lost": self._programs.lost(self.name) - self._lost_before,
            "row_bytes": self._ring.row_bytes,
            "fields": fields,
        }


def configuration(name: str, options: dict[str, Any], flows: list[Flow]) -> dict[str, int]:
    """A collector's options in an experiment → its ``config`` struct in the kernel."""
    if name != "tcp_probe":
        raise ValueError(f"no such collector: {name}")
    ports = [flow["port"] for flow in flows]
    return {
        "port_low": min(ports),
        "port_high": max(ports),
        "cwnd_change_only": int(options.get("record") == "cwnd_change"),
    }
