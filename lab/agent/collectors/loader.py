# SPDX-License-Identifier: Apache-2.0
"""What a collector needs of whatever puts BPF programs into the kernel.

bcc is one implementation (:mod:`lab.agent.collectors.bcc_loader`); another (libbpf, bpftrace, ftrace) can take its
place without collectors, experiments, storage or analysis noticing.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, Protocol

from lab.job.protocol import Field

BPF_SOURCES = Path(__file__).resolve().parents[3] / "bpf"
"""Beside the package, in a checkout as in the guest."""


BPF_WARNINGS = "lab: the compiler warns of the BPF programs:"
"""What the guest's console says before such warnings."""


class LoaderError(Exception):
    """The programs cannot be compiled, verified or attached; the message says what the kernel or compiler said."""


class Programs(Protocol):
    """Compiled and verified programs, not attached yet."""

    def attach(self, collector: str, options: Collection[str] = ()) -> None:
        """Attach the collector's hooks, those that belong to an option only if it is among ``options``."""

    def detach(self, collector: str) -> None:
        """Detach them; nothing of the collector runs in the kernel afterwards."""

    def write(self, table: str, values: dict[str, Any]) -> None:
        """Fill the only entry of a collector's ``<collector>_filter`` or ``_config``, by field name."""

    def table(self, name: str) -> Any:
        """A map, as bcc gives it."""

    def clear(self, collector: str) -> None:
        """Empty the maps in which the collector remembers."""

    def enumerators(self, enum: str) -> dict[int, str]:
        """Value → name of an enum of the kernel's; empty when it has none of that name."""

    def lost(self, collector: str) -> int:
        """Events that found no room, or met their program running, since loading."""

    def missed_samples(self, collector: str) -> int:
        """Runs of the collector's sampling programs that the kernel skipped, since loading."""

    def ring(self, collector: str) -> tuple[int, int]:
        """(file descriptor, data bytes) of the collector's BPF ring buffer."""

    def layout(self, collector: str) -> tuple[int, list[Field]]:
        """(size in bytes, fields) of the collector's event struct."""
