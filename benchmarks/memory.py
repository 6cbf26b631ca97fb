# SPDX-License-Identifier: Apache-2.0
"""Measure the memory of the QEMU processes that this process has started, as Linux accounts for it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_SIZE = re.compile(r"^(\w+): +(\d+) kB", re.MULTILINE)


@dataclass(frozen=True)
class Memory:
    """The memory of one process, in MiB."""

    resident: float
    """Resident set size (RSS): all pages of the process that are in memory."""
    proportional: float
    """Proportional set size (PSS): a page that n processes share counts as 1/n page, so that the sum over all processes
    is the memory that they use together."""
    dirty: float
    """Private dirty memory: pages that the process has written and shares with no other process."""


class PeakMemory:
    """The maximum of each figure over all virtual machines and all samples."""

    def __init__(self) -> None:
        self.peak = Memory(0.0, 0.0, 0.0)
        self.machines = 0
        """The maximum number of machines that ran at the same time."""

    def sample(self) -> None:
        """Read the memory of all machines and update the maxima."""
        found = list(_machines())
        self.machines = max(self.machines, len(found))
        for machine in found:
            self.peak = Memory(
                max(self.peak.resident, machine.resident),
                max(self.peak.proportional, machine.proportional),
                max(self.peak.dirty, machine.dirty),
            )


def _machines() -> Iterator[Memory]:
    for process in _descendants(os.getpid()):
        try:
            if not Path(f"/proc/{process}/comm").read_text(encoding="utf-8").startswith("qemu"):
                continue
            rollup = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="utf-8")
        except OSError:  # The process has ended meanwhile.
            continue
        sizes = {name: int(size) / 1024 for name, size in _SIZE.findall(rollup)}
        if sizes:
            yield Memory(sizes["Rss"], sizes["Pss"], sizes["Private_Dirty"])


def _descendants(process: int) -> Iterator[int]:
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            found = [int(child) for child in children.read_text(encoding="ascii").split()]
        except OSError:
            continue
        for child in found:
            yield child
            yield from _descendants(child)
