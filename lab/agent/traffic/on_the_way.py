# SPDX-License-Identifier: Apache-2.0
"""What happens to packets between the ends of the flows: how long links' queues are, and where packets are dropped.

Like the accounts of flows, this is recorded in every trial.  The programs are in ``bpf/backlog.bpf.c`` and
``bpf/losses.bpf.c``.
"""

from __future__ import annotations

import ctypes
import itertools
import struct
from collections.abc import Iterator
from pathlib import Path

from lab.agent.collectors.loader import Programs
from lab.agent.collectors.options import Settings
from lab.agent.collectors.recording import Results, RingRecorder
from lab.agent.topology import links
from lab.agent.topology.network import Network


class OnTheWay:
    """The queues of a job's links, and the drops of its flows' packets."""

    def __init__(self, network: Network, programs: Programs, directory: Path) -> None:
        self._network = network
        self._job = network.job
        self._programs = programs
        self._backlog = RingRecorder("backlog", programs, directory, Settings(tables={}))
        self._losses = RingRecorder("losses", programs, directory, Settings(tables={}))
        self._recorders = (self._backlog, self._losses)

    @property
    def rings(self) -> list[RingRecorder]:
        """The recorders of queues and losses."""
        return list(self._recorders)

    def start(self) -> None:
        """Attach the programs.  They record nothing until :meth:`begin` is called."""
        self._configure(0, 0)
        for recorder in self._recorders:
            recorder.start(on=False)
        self._declare_queues()
        for recorder in self._recorders:
            recorder.switch_on()

    def begin(self, start_ns: int) -> None:
        """Begin to record, in bins that are counted from the start of traffic on CLOCK_MONOTONIC."""
        self._configure(start_ns, self._job["bin_ns"])

    def drain(self, now_ns: int) -> None:
        """Move buffered events to the record."""
        for recorder in self._recorders:
            recorder.drain(now_ns)

    def drain_by(self, now_ns: int) -> int:
        """Return the time by which :meth:`drain` must be called again."""
        return min(recorder.drain_by(now_ns) for recorder in self._recorders)

    def stop(self, now_ns: int) -> Results:
        """Stop recording; return the description of the files."""
        results = self._backlog.stop(now_ns, self._open_backlog()) | self._losses.stop(now_ns, self._open_losses())
        flows = enumerate(self._job["flows"])
        results["losses"]["names"]["flow"] = {str(number): flow["name"] for number, flow in flows}
        return results

    def _configure(self, start_ns: int, bin_ns: int) -> None:
        for name in ("backlog_config", "losses_config"):
            self._programs.write(name, {"start_ns": start_ns, "bin_ns": bin_ns})

    def _declare_queues(self) -> None:
        """Tell the programs which interfaces on the paths of the flows' data have a queue."""
        own_queue = {
            node["name"]
            for node in self._job["nodes"]
            if (settings := node.get("settings")) is not None and settings["queue"] is not None
        }
        table = self._programs.table("backlog_places")
        places = self._network.places()
        paths = [self._network.path(flow["source"], flow["destination"]) for flow in self._job["flows"]]
        for port in dict.fromkeys(itertools.chain.from_iterable(paths)):
            if port.node in own_queue or links.leaving(self._job, port)["rate_bps"] is not None:
                table[table.Key(*places[port.node, port.interface])] = ctypes.c_uint32(1)

    def _open_backlog(self) -> Iterator[bytes]:
        """Yield the rows of the bins of queues that have not ended."""
        # A hash table has no order of its own.
        states = sorted(self._programs.table("backlog_states").values(), key=lambda state: (state.netns, state.ifindex))
        for state in states:
            if state.is_followed and (state.byte_ns or state.entered_packets or state.left_packets):
                begin_ns = state.bin_end_ns - self._job["bin_ns"]
                yield struct.pack(
                    "=4Q8I",
                    *(begin_ns, state.since_ns - begin_ns, state.byte_ns, state.packet_ns),
                    *(state.netns, state.ifindex, state.most_bytes, state.bytes),
                    *(state.entered_packets, state.left_packets, state.removed_bytes, state.most_packets),
                )

    def _open_losses(self) -> Iterator[bytes]:
        """Yield the rows of the bins of drops that have not ended."""
        rows = []
        for key, counted in self._programs.table("losses_bins").items():
            if counted.packets:
                where = (key.location, key.netns, key.ifindex, key.flow, key.reason, key.is_backward)
                rows.append((counted.end_ns - self._job["bin_ns"], *where, counted.packets, counted.bytes, 0))
        yield from (struct.pack("=2Q8I", *row) for row in sorted(rows))
