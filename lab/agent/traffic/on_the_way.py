# SPDX-License-Identifier: Apache-2.0
"""What happens to packets between the ends of the flows: how long links' queues are, and where packets are dropped.

Like the accounts of flows, this is recorded in every trial.  The programs are in ``bpf/backlog.bpf.c`` and
``bpf/losses.bpf.c``.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from lab.agent.collectors.loader import Programs
from lab.agent.collectors.options import Settings
from lab.agent.collectors.recording import Results, RingRecorder
from lab.agent.topology import links
from lab.agent.topology.interfaces import interface_names
from lab.agent.topology.netns import network_namespace
from lab.agent.topology.network import Network


class OnTheWay:
    """The queues of a job's links, and the drops of its flows' packets."""

    def __init__(self, network: Network, programs: Programs, directory: Path) -> None:
        self._network = network
        self._job = network.job
        self._programs = programs
        self._recorders = (
            _Backlog("backlog", programs, directory, self._job["bin_ns"]),
            _Losses("losses", programs, directory, self._job["bin_ns"]),
        )

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
        results = {name: result for recorder in self._recorders for name, result in recorder.stop(now_ns).items()}
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
        paths = [self._network.path(flow["source"], flow["destination"]) for flow in self._job["flows"]]
        for port in dict.fromkeys(itertools.chain.from_iterable(paths)):
            if port.node not in own_queue and links.leaving(self._job, port)["rate_bps"] is None:
                continue
            pid = self._network.pid(port.node)
            with network_namespace(pid):
                indices = {name: index for index, name in interface_names().items()}
            key = table.Key()
            key.netns, key.ifindex = os.stat(f"/proc/{pid}/ns/net").st_ino, indices[port.interface]
            table[key] = ctypes.c_uint32(1)


class _InBins(RingRecorder):
    """A recorder of what the kernel counts in bins of time."""

    def __init__(self, name: str, programs: Programs, directory: Path, bin_ns: int) -> None:
        super().__init__(name, programs, directory, Settings(tables={}))
        self._bin_ns = bin_ns


class _Backlog(_InBins):
    """The recorder of the lengths of queues."""

    def _last_rows(self) -> Iterator[bytes]:
        # A hash table has no order of its own.
        states = sorted(self._programs.table("backlog_states").values(), key=lambda state: (state.netns, state.ifindex))
        for state in states:
            if state.is_followed and (state.byte_ns or state.entered_packets or state.left_packets):
                begin_ns = state.bin_end_ns - self._bin_ns
                yield struct.pack(
                    "=4Q8I",
                    *(begin_ns, state.since_ns - begin_ns, state.byte_ns, state.packet_ns),
                    *(state.netns, state.ifindex, state.most_bytes, state.bytes),
                    *(state.entered_packets, state.left_packets, state.removed_bytes, state.most_packets),
                )


class _Losses(_InBins):
    """The recorder of dropped packets of flows."""

    def _last_rows(self) -> Iterator[bytes]:
        rows = []
        for key, counted in self._programs.table("losses_bins").items():
            if counted.packets:
                where = (key.location, key.netns, key.ifindex, key.flow, key.reason, key.is_backward)
                rows.append((counted.end_ns - self._bin_ns, *where, counted.packets, counted.bytes, 0))
        return (struct.pack("=2Q8I", *row) for row in sorted(rows))
