# SPDX-License-Identifier: Apache-2.0
"""Run the flows of a trial, each of which is started at its own time."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from lab.agent.collectors.recording import TICK_NS
from lab.agent.topology.network import Network
from lab.agent.traffic.iperf3 import INFO_BEFORE_END_NS, Iperf3Flow
from lab.agent.traffic.short_flows import ShortFlows, completions_result
from lab.agent.traffic.sockdiag import SocketDiagnostics
from lab.agent.traffic.transfer import Transfer
from lab.job.protocol import CollectorResult, Flow, FlowResult, Job

_STUCK_NS = 3_000_000_000
"""Time after the end of the last flow, in nanoseconds, by which iperf3 normally has exchanged its results.  An iperf3
that takes longer is stuck because the packets with its results are lost repeatedly."""

_GRACE_NS = 60_000_000_000
"""Time after the declared end of the last flow, in nanoseconds, after which flows that still run are given up.  Until
then, the last data leave the queues and iperf3 exchanges its results over the loaded path."""


class Traffic:
    """All flows of a job."""

    def __init__(self, network: Network, directory: Path, on_tick: Callable[[int], int]) -> None:
        """Start the servers of all flows.

        While traffic runs, ``on_tick`` is called at multiples of ``TICK_NS`` with the time since the start of traffic,
        in ns; it returns the time by which it must be called again.
        """
        self._network = network
        self._job: Job = network.job
        self._on_tick = on_tick
        (directory / "iperf3").mkdir(exist_ok=True)
        self._directory = directory
        sources = dict.fromkeys(flow["source"] for flow in self._job["flows"])
        self._diagnostics = {name: SocketDiagnostics(network.pid(name), self._job["ip"]) for name in sources}
        self._flows: list[Transfer] = [self._transfer(flow) for flow in self._job["flows"]]
        self.start_ns = 0
        self.end_ns = 0
        self._tick_ns = TICK_NS

    def _transfer(self, flow: Flow) -> Transfer:
        if flow["arrivals"] is not None:
            return ShortFlows(self._network, flow, self._directory)
        return Iperf3Flow(self._network, flow, self._directory, self._diagnostics[flow["source"]])

    def wait_until_ready(self) -> None:
        """Wait until every flow can be started."""
        for flow in self._flows:
            flow.wait_until_ready()

    def run(
        self,
        changes: Sequence[tuple[int, Callable[[], None]]] = (),
        on_stuck: Callable[[], None] = lambda: None,
        on_start: Callable[[int], None] = lambda _start_ns: None,
    ) -> None:
        """Run every flow from its start to its end.

        This sets ``start_ns``, the start of traffic on CLOCK_MONOTONIC, and ``end_ns``, the end of traffic relative to
        the start.

        Args:
            changes: Pairs of a time in ns since the start of traffic and a function to call then.  If a flow starts at
                the same time, the change comes first.
            on_stuck: Called once if all flows have ended but iperf3 cannot exchange its results.  iperf3 gives up
                after 10 s, and during this time TCP's exponential backoff leaves it only a few attempts.
            on_start: Called at the start of traffic with its time on CLOCK_MONOTONIC, in ns.
        """
        schedule = [(at_ns, number - len(changes), change) for number, (at_ns, change) in enumerate(changes)]
        self.start_ns = time.monotonic_ns()
        on_start(self.start_ns)
        last = 0
        for number, flow in enumerate(self._flows):
            flow.begin(self.start_ns)
            schedule.append((flow.flow["start_ns"], 2 * number, flow.start))
            end = flow.flow["start_ns"] + flow.flow["duration_ns"]
            last = max(last, end)
            near = end - INFO_BEFORE_END_NS
            schedule.append((near, 2 * number + 1, lambda flow=flow: flow.before_end(self.now())))  # type: ignore[misc]
        heapq.heapify(schedule)
        while schedule:
            self._sleep_until(schedule[0][0])
            heapq.heappop(schedule)[2]()
        stuck = False
        while any(flow.is_running() for flow in self._flows) and self.now() <= last + _GRACE_NS:
            is_iperf = any(isinstance(flow, Iperf3Flow) and flow.is_running() for flow in self._flows)
            if is_iperf and not stuck and self.now() > last + _STUCK_NS:
                stuck = True
                on_stuck()
            self._sleep_until(self.now() + TICK_NS // 5)
        self.end_ns = self.now()
        for flow in self._flows:
            flow.finish(is_late=flow.is_running())

    def now(self) -> int:
        """Return the time since the start of traffic in ns."""
        return time.monotonic_ns() - self.start_ns

    def _sleep_until(self, when_ns: int) -> None:
        while (now := self.now()) < when_ns:
            if now < self._tick_ns:
                time.sleep((min(when_ns, self._tick_ns) - now) / 1e9)
            if (now := self.now()) >= self._tick_ns:
                self._tick(now)

    def _tick(self, now: int) -> None:
        next_ns = self._on_tick(now)
        for flow in self._flows:
            flow.tick(self.now())
        if any(flow.wants_ticks() for flow in self._flows):
            next_ns = now + TICK_NS
        # Ticks are at multiples of TICK_NS, regardless of what else is scheduled.
        self._tick_ns = max(next_ns // TICK_NS, now // TICK_NS + 1) * TICK_NS

    def results(self) -> list[FlowResult]:
        """Return the results of all flows, in the order of the job."""
        return [flow.result() for flow in self._flows]

    def completions(self) -> dict[str, CollectorResult]:
        """Return collector name → the rows of all short flows; an empty dictionary if the job has no short flows."""
        short = [flow for flow in self._flows if isinstance(flow, ShortFlows)]
        return completions_result(short, self._directory)

    def stop(self) -> None:
        """Kill the processes of all flows that are still running."""
        for flow in self._flows:
            flow.stop()
        for diagnostics in self._diagnostics.values():
            diagnostics.close()
