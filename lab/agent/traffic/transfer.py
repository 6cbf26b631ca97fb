# SPDX-License-Identifier: Apache-2.0
"""What all kinds of flows have in common while they run."""

from __future__ import annotations

from typing import Protocol

from lab.job.protocol import Flow, FlowResult


class TransferError(Exception):
    """A flow did not start, or did not end."""


class Transfer(Protocol):
    """One flow of a job.  Times are from the start of traffic unless said otherwise; in ns."""

    flow: Flow

    def wait_until_ready(self) -> None:
        """Return once it could start.  Raises :class:`TransferError`."""

    def begin(self, start_ns: int) -> None:
        """Traffic starts now, ``start_ns`` on CLOCK_MONOTONIC."""

    def start(self) -> None:
        """Its own time has come."""

    def tick(self, now_ns: int) -> None:
        """Called several times a second."""

    def before_end(self, now_ns: int) -> None:
        """Called shortly before its declared end."""

    def is_running(self) -> bool: ...

    def finish(self, *, is_late: bool) -> None:
        """Traffic has ended; ``is_late``: it was given all the time there is.  Raises :class:`TransferError`."""

    def result(self) -> FlowResult:
        """What it came to.  Raises :class:`TransferError`."""

    def stop(self) -> None:
        """End its processes, whatever they are doing."""
