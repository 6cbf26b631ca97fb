# SPDX-License-Identifier: Apache-2.0
"""Memory of the QEMU processes that this process has started, as Linux accounts for it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_SIZE = re.compile(r"^(\w+): +(\d+) kB", re.MULTILINE)


@dataclass(frozen=True)
class Memory:
    """Of one process, in MiB."""

    resident: float
    proportional: float
    """A page that n processes share counts as 1/n of one: the sum over all is what they take together."""
    dirty: float
    """Pages that it has written and shares with nobody."""


class PeakMemory:
    """The largest figures seen in any machine, over all samples."""

    def __init__(self) -> None:
        self.peak = Memory(0.0, 0.0, 0.0)
        self.machines = 0
        """Most that ran at the same time."""

    def sample(self) -> None:
        found = list(_machines())
        self.machines = max(self.machines, len(found))
        for one in found:
            self.peak = Memory(
                max(self.peak.resident, one.resident),
                max(self.peak.proportional, one.proportional),
                max(self.peak.dirty, one.dirty),
            )


def _machines() -> Iterator[Memory]:
    for process in _descendants(os.getpid()):
        try:
            if not Path(f"/proc/{process}/comm").read_text(encoding="utf-8").startswith("qemu-system"):
                continue
            rollup = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="utf-8")
        except OSError:  # it has ended
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
