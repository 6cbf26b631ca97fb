# SPDX-License-Identifier: Apache-2.0
"""Run the flows of a trial, each of which is started at its own time."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lab.agent.collectors.recording import TICK_NS
from lab.agent.topology.network import Network
from lab.agent.traffic.accounts import Accounts, data_port
from lab.agent.traffic.iperf3 import Iperf3Flow
from lab.agent.traffic.lead import lead_ns
from lab.agent.traffic.short_flows import ShortFlows, completions_result
from lab.agent.traffic.transfer import Transfer
from lab.job.accounts import FlowAccounts
from lab.job.protocol import CollectorResult, FlowResult, Job

_OVERTIME_NS = 1_000_000_000
"""Time after a flow's declared end, in nanoseconds, after which it is ended.  Its figures do not include this time."""

_GRACE_NS = 60_000_000_000
"""Time after the declared end of the last flow, in nanoseconds, after which short flows that still run are given up."""

_POLL_NS = 50_000_000
"""How often the agent looks whether flows have ended, once their time is over, in nanoseconds."""


class Traffic:
    """All flows of a job."""

    def __init__(
        self,
        network: Network,
        accounts: Accounts,
        directory: Path,
        on_tick: Callable[[int], int],
        *,
        tick_ns: int = TICK_NS,
    ) -> None:
        """Start the servers of all flows.

        While traffic runs, ``on_tick`` is called at multiples of ``tick_ns`` with the time since the start of traffic,
        in ns; it returns the time by which it must be called again.
        """
        self._network = network
        self._job: Job = network.job
        self._on_tick = on_tick
        (directory / "iperf3").mkdir(exist_ok=True)
        self._directory = directory
        self._accounts = accounts
        self._flows: list[Transfer] = [self._transfer(number) for number in range(len(self._job["flows"]))]
        self.start_ns = 0
        self.end_ns = 0
        self._every_ns = self._tick_ns = tick_ns

    def _transfer(self, number: int) -> Transfer:
        flow = self._job["flows"][number]
        if flow["arrivals"] is not None:
            return ShortFlows(self._network, flow, self._directory)
        return Iperf3Flow(self._network, flow, data_port(number), self._directory)

    def wait_until_ready(self) -> None:
        """Wait until every flow can be started."""
        for flow in self._flows:
            flow.wait_until_ready()

    def run(
        self,
        rtt_ns: Mapping[tuple[str, str], int] | None,
        changes: Sequence[tuple[int, Callable[[], None]]] = (),
        on_start: Callable[[int], None] = lambda _start_ns: None,
    ) -> None:
        """Run every flow from its start to its end.

        This sets ``start_ns``, the start of traffic on CLOCK_MONOTONIC, and ``end_ns``, the end of traffic relative to
        the start.

        Args:
            rtt_ns: The round-trip time between the source and the destination of each flow, from which it follows how
                long before a flow's start its connections are opened.  None: they are opened at the flow's start,
                because nothing can hold the data until then, and so the data begin after it.
            changes: Pairs of a time in ns since the start of traffic and a function to call then.  If a flow starts at
                the same time, the change comes first.
            on_start: Called before the first connection is opened with the start of traffic on CLOCK_MONOTONIC, in ns.
        """
        schedule = [(at_ns, number - len(changes), change) for number, (at_ns, change) in enumerate(changes)]
        last_start = last_end = 0
        for number, flow in enumerate(self._flows):
            asked = flow.flow
            opens_ns = asked["start_ns"]
            if rtt_ns is not None and isinstance(flow, Iperf3Flow):
                opens_ns -= lead_ns(self._job, asked, rtt_ns[asked["source"], asked["destination"]])
            end_ns = asked["start_ns"] + asked["duration_ns"]
            schedule.append((opens_ns, number, flow.start))
            schedule.append((end_ns + _OVERTIME_NS, len(self._flows) + number, flow.give_up))
            last_start, last_end = max(last_start, asked["start_ns"]), max(last_end, end_ns)
        heapq.heapify(schedule)
        self.start_ns = time.monotonic_ns() + max(0, -schedule[0][0])
        self._accounts.begin(self.start_ns)
        on_start(self.start_ns)
        for flow in self._flows:
            flow.begin(self.start_ns)
        # No flow that sends for a time can end before that time.
        are_timed = all(flow.flow["limit_bytes"] is None and flow.flow["arrivals"] is None for flow in self._flows)
        quiet_until = last_end if are_timed else last_start
        while self.now() <= last_end + _GRACE_NS:
            now = self.now()
            if now >= quiet_until and not any(flow.is_running() for flow in self._flows):
                break
            step = max(quiet_until, now + (_POLL_NS if now >= last_end else TICK_NS))
            self._sleep_until(min(step, schedule[0][0]) if schedule else step)
            while schedule and schedule[0][0] <= self.now():
                heapq.heappop(schedule)[2]()
        self.end_ns = self.now()
        for flow in self._flows:
            flow.finish()

    def now(self) -> int:
        """Return the time since the start of traffic in ns."""
        return time.monotonic_ns() - self.start_ns

    def _sleep_until(self, when_ns: int) -> None:
        while (now := self.now()) < when_ns:
            if now < self._tick_ns:
                time.sleep((min(when_ns, self._tick_ns) - now) / 1e9)
            if (now := self.now()) >= self._tick_ns:
                # Ticks are at multiples of this time, regardless of what else is scheduled.
                every_ns = self._every_ns
                self._tick_ns = max(self._on_tick(now) // every_ns, now // every_ns + 1) * every_ns

    def results(self, accounts: Sequence[FlowAccounts]) -> list[FlowResult]:
        """Return the results of all flows, whose accounts are given, in the order of the job."""
        return [flow.result(own) for flow, own in zip(self._flows, accounts, strict=True)]

    def completions(self) -> dict[str, CollectorResult]:
        """Return collector name → the rows of all short flows; an empty dictionary if the job has no short flows."""
        short = [flow for flow in self._flows if isinstance(flow, ShortFlows)]
        return completions_result(short, self._directory)

    def stop(self) -> None:
        """Kill the processes of all flows that are still running."""
        for flow in self._flows:
            flow.stop()
