# SPDX-License-Identifier: Apache-2.0
"""The interface between the collectors and the library that loads their BPF programs into the kernel.

The implementation is :mod:`lab.agent.collectors.bcc_loader`.  It can be replaced (by one that uses libbpf, bpftrace or
ftrace) without a change to collectors, experiments, storage or analysis.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Protocol

from lab.job.protocol import Field

BPF_WARNINGS = "lab: the compiler warns of the BPF programs:"
"""What the guest's console says before such warnings."""


class LoaderError(Exception):
    """The programs cannot be compiled, verified or attached; the message includes that of the kernel or compiler."""


class Programs(Protocol):
    """Compiled and verified BPF programs of some collectors, which can be attached and detached."""

    def attach(self, collector: str, options: Collection[str] = ()) -> None:
        """Attach the collector's programs to their hooks; skip hooks of options that are not among ``options``.

        Raises:
            LoaderError: A program that is required cannot be attached.
        """

    def detach(self, collector: str) -> None:
        """Detach the collector's programs; none of them runs in the kernel afterwards."""

    def write(self, table: str, values: dict[str, Any]) -> None:
        """Write the single entry of a map (``<collector>_filter`` or ``<collector>_config``), given by field name."""

    def table(self, name: str) -> Any:
        """Return a map as bcc's table object."""

    def take(self, table: str, key: Any) -> Any:
        """Remove an entry from a hash map and return its value; None if there is none, or the kernel cannot do it."""

    def clear(self, collector: str) -> None:
        """Empty the maps in which the collector keeps state between events."""

    def enumerators(self, enum: str) -> dict[int, str]:
        """Return value → name of a kernel enum's members; empty if the kernel has no such enum."""

    def lost(self, collector: str) -> int:
        """Return how many events were lost since loading: no room in the buffer, or the program already running."""

    def missed_samples(self, collector: str) -> int:
        """Return how many runs of the collector's sampling programs the kernel has skipped since loading."""

    def classifier(self, name: str) -> int:
        """Return the file descriptor of a program for ``tc``.

        Raises:
            LoaderError: The kernel does not accept the program.
        """

    def ring(self, collector: str) -> tuple[int, int]:
        """Return (file descriptor, size in bytes) of the collector's BPF ring buffer."""

    def layout(self, collector: str) -> tuple[int, list[Field]]:
        """Return (size in bytes, fields) of the collector's event struct."""
