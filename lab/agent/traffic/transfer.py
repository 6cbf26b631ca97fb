# SPDX-License-Identifier: Apache-2.0
"""The interface that all kinds of flows implement."""

from __future__ import annotations

from typing import Protocol

from lab.job.accounts import FlowAccounts
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

    def give_up(self) -> None:
        """End the flow if it still runs; called when it should have ended long ago."""

    def is_running(self) -> bool:
        """Return whether the flow has been started and has not ended yet."""

    def finish(self) -> None:
        """Complete the flow after the end of traffic, even if it is still running.

        Raises:
            TransferError: The flow has failed.
        """

    def result(self, accounts: FlowAccounts) -> FlowResult:
        """Return the flow's result for the record; *accounts* is what the kernel saw of it.

        Raises:
            TransferError: The flow has no valid result.
        """

    def stop(self) -> None:
        """Kill the flow's processes that are still running."""
