# SPDX-License-Identifier: Apache-2.0
"""Measure how busy the machine was while traffic ran: processor time, load, CPU pressure, stolen time, early drops.

Sources: Documentation/accounting/psi.rst, Documentation/filesystems/proc.rst, net/core/net-procfs.c.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from lab.job.protocol import Cpu, Pressure

_STEAL = 7
_DROPPED, _SQUEEZED = 1, 2
"""Columns of /proc/net/softnet_stat, whose numbers are hexadecimal."""


class MachineUse:
    """The difference of the machine's counters between the start and the end of a trial's traffic."""

    def __init__(self, *, with_pressure: bool) -> None:
        """Prepare to read the counters; without *with_pressure*, only those of the processor are read."""
        self._with_pressure = with_pressure

    def begin(self) -> None:
        """Read the counters for the first time, at the start of traffic."""
        self._pressure = read_pressure() if self._with_pressure else None
        self._cpu = _read_cpu()

    def end(self) -> tuple[Cpu, Pressure | None]:
        """Read the counters again and return the differences (pressure is None if it was not to be read)."""
        cpu = _cpu_between(self._cpu, _read_cpu())
        return cpu, between(self._pressure, read_pressure()) if self._pressure is not None else None


@dataclass(frozen=True)
class Reading:
    """The load average and cumulative counters at one point in time."""

    load: float
    stall_us: int | None
    """Time for which at least one task waited for a processor, in microseconds; None if the kernel has no PSI."""
    steal_ns: int
    dropped: int
    squeezed: int


def read_pressure() -> Reading:
    """Read the load average, CPU pressure, stolen time and softnet counters."""
    with open("/proc/stat", encoding="ascii") as file:
        steal = int(file.readline().split()[1 + _STEAL])
    rows = [line.split() for line in Path("/proc/net/softnet_stat").read_text(encoding="ascii").splitlines()]
    return Reading(
        load=float(Path("/proc/loadavg").read_text(encoding="ascii").split()[0]),
        stall_us=_stall_us(Path("/proc/pressure/cpu")),
        steal_ns=steal * 1_000_000_000 // os.sysconf("SC_CLK_TCK"),
        dropped=sum(int(row[_DROPPED], 16) for row in rows),
        squeezed=sum(int(row[_SQUEEZED], 16) for row in rows),
    )


def _stall_us(path: Path) -> int | None:
    """Return the total of the ``some`` line of a PSI file, in microseconds."""
    try:
        first = path.read_text(encoding="ascii").splitlines()[0]
    except OSError:
        return None  # PSI is switched off or not built into this kernel.
    return int(first.rpartition("total=")[2])


def between(before: Reading, after: Reading) -> Pressure:
    """Return by how much each counter grew; the load is the load average before the trial."""
    stall = None
    if before.stall_us is not None and after.stall_us is not None:
        stall = (after.stall_us - before.stall_us) * 1000
    return {
        "load_before": before.load,
        "stall_ns": stall,
        "steal_ns": after.steal_ns - before.steal_ns,
        "softnet_dropped": after.dropped - before.dropped,
        "softnet_squeezed": after.squeezed - before.squeezed,
    }


def _read_cpu() -> tuple[int, list[int]]:
    """Return (monotonic time in ns, the fields of the first line of /proc/stat in USER_HZ ticks)."""
    with open("/proc/stat", encoding="ascii") as file:
        return time.monotonic_ns(), [int(field) for field in file.readline().split()[1:]]


def _cpu_between(before: tuple[int, list[int]], after: tuple[int, list[int]]) -> Cpu:
    processors = os.cpu_count() or 1
    tick_ns = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    total = (after[0] - before[0]) * processors
    idle_and_iowait = (3, 4)
    idle = sum(after[1][field] - before[1][field] for field in idle_and_iowait) * tick_ns
    return {"total_ns": total, "busy_ns": max(0, total - idle), "processors": processors}
