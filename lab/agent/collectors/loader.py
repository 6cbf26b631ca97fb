# SPDX-License-Identifier: Apache-2.0
"""What a collector needs of whatever puts BPF programs into the kernel.

bcc is one implementation (:mod:`lab.agent.collectors.bcc_loader`); another (libbpf, bpftrace, ftrace) can take its
place without collectors, experiments, storage or analysis noticing.
"""

from __future__ import annotations

from typing import Protocol

from lab.protocol import Field


class LoaderError(Exception):
    """The programs cannot be compiled, verified or attached; the message says what the kernel or compiler said."""


class Programs(Protocol):
    """Compiled and verified programs, not attached yet."""

    def attach(self, collector: str) -> None:
        """Attach the collector's hooks."""

    def detach(self, collector: str) -> None:
        """Detach them; nothing of the collector runs in the kernel afterwards."""

    def configure(self, collector: str, values: dict[str, int]) -> None:
        """Write the collector's ``config`` struct, by field name."""

    def lost(self, collector: str) -> int:
        """Events that found no room, since loading."""

    def ring(self, collector: str) -> tuple[int, int]:
        """(file descriptor, data bytes) of the collector's BPF ring buffer."""

    def layout(self, collector: str) -> tuple[int, list[Field]]:
        """(size in bytes, fields) of the collector's event struct."""
