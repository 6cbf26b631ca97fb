# SPDX-License-Identifier: Apache-2.0
"""The interface that all kinds of flows implement."""

from __future__ import annotations

from typing import Protocol

from lab.job.protocol import Flow, FlowResult


class TransferError(Exception):
    """A flow did not start, did not end, or failed."""


class Transfer(Protocol):
    """One flow of a job while it runs.

    Times are in nanoseconds since the start of traffic unless noted otherwise.
    """

    flow: Flow

    def wait_until_ready(self) -> None:
        """Wait until the flow can be started.

        Raises:
            TransferError: The flow cannot be started.
        """

    def begin(self, start_ns: int) -> None:
        """Tell the flow that traffic starts at ``start_ns`` on CLOCK_MONOTONIC."""

    def start(self) -> None:
        """Start the flow; called at the flow's own start time."""

    def wants_ticks(self) -> bool:
        """Return whether :meth:`tick` must be called four times a second."""

    def tick(self, now_ns: int) -> None:
        """Do periodic work; called at least once a second while traffic runs, and four times if it is wanted."""

    def before_end(self, now_ns: int) -> None:
        """Do work that must be done before the flow ends; called shortly before the flow's declared end."""

    def is_running(self) -> bool:
        """Return whether the flow has been started and has not ended yet."""

    def finish(self, *, is_late: bool) -> None:
        """Complete the flow after the end of traffic; ``is_late`` means that it is still running after its deadline.

        Raises:
            TransferError: The flow has not ended or has failed.
        """

    def result(self) -> FlowResult:
        """Return the flow's result for the record.

        Raises:
            TransferError: The flow has no valid result.
        """

    def stop(self) -> None:
        """Kill the flow's processes that are still running."""
