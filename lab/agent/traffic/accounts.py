# SPDX-License-Identifier: Apache-2.0
"""What the kernel saw of each flow: the packets and bytes that were sent and that arrived, and its sockets' counters.

This runs in every trial, whatever else is collected, and does not depend on what programs say about themselves.  The
programs are in ``bpf/accounts.bpf.c`` and ``bpf/sockets.bpf.c``.
"""

from __future__ import annotations

import ctypes
import struct
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lab.agent.collectors.loader import LoaderError, Programs
from lab.agent.collectors.names import ENUMS
from lab.agent.collectors.options import Settings
from lab.agent.collectors.recording import Results, RingRecorder
from lab.agent.topology.netns import network_namespace, read_sysctl
from lab.agent.topology.network import Network
from lab.job.accounts import Account, DatagramCounts, FlowAccounts, SocketEnd
from lab.job.protocol import Flow
from lab.job.windows import is_cut

_LEAST_SETTLING_NS = 50_000_000
_LONGEST_SETTLING_NS = 10_000_000_000

_FIRST_DATA_PORT = 20000
_SIDES = ("sent", "arrived", "sent_backward", "arrived_backward", "delivered")
assert tuple(ENUMS["accounts_side"].values()) == _SIDES

_TIMES = ("first_ns", "last_ns")
_DATAGRAMS = tuple(DatagramCounts.__annotations__)
_CHRONOS = ("chrono_busy", "chrono_rwnd_limited", "chrono_sndbuf_limited")


def data_port(number: int) -> int:
    """Return the client's port of the data connection of the flow with this number in the job."""
    return _FIRST_DATA_PORT + number


class Accounts:
    """The accounts of all flows of a job."""

    def __init__(self, network: Network, programs: Programs, directory: Path, longest_rtt_ns: int) -> None:
        self._network = network
        self._job = network.job
        self._programs = programs
        self._bins = RingRecorder("accounts", programs, directory, Settings(tables={}))
        self._sockets = RingRecorder("sockets", programs, directory, Settings(tables={}))
        self._directory = directory
        self._start_ns = 0
        self._fin_timeouts_us: dict[str, int] = {}
        self._settling_ns = longest_rtt_ns + _LEAST_SETTLING_NS

    @property
    def rings(self) -> list[RingRecorder]:
        """The recorder of the packets that were sent and that arrived."""
        return [self._bins]

    def start(self) -> None:
        """Begin to count."""
        self._declare_interfaces()
        self._clear()
        for recorder in (self._bins, self._sockets):
            recorder.start(on=False)
        self._sockets.switch_on()
        try:
            self._programs.attach("accounts", {"by_function"})
        except LoaderError:
            # This kernel allows no programs at functions.
            self._programs.attach("accounts", {"by_interface"})

    def begin(self, start_ns: int) -> None:
        """Announce the start of traffic on CLOCK_MONOTONIC, to which the declared times of all flows are relative.

        Must be called before the first flow opens a connection.
        """
        self._start_ns = start_ns
        self._programs.write("accounts_config", {"start_ns": start_ns, "bin_ns": self._job["bin_ns"]})
        table = self._programs.table("flows_by_port")
        for number, flow in enumerate(self._job["flows"]):
            entry = table.Leaf()
            entry.start_ns = start_ns + flow["start_ns"]
            entry.end_ns = entry.start_ns + flow["duration_ns"]
            entry.measured_start_ns = start_ns + flow["measured"]["start_ns"]
            entry.measured_end_ns = start_ns + flow["measured"]["end_ns"]
            entry.flow = number
            entry.is_reverse = flow["initiator"] == "destination"
            if flow["arrivals"] is None:
                entry.data_port_low = entry.data_port_high = data_port(number)
                entry.waits_for_data = flow["limit_bytes"] is not None and not entry.is_reverse
            table[ctypes.c_uint32(flow["port"])] = entry

    def drain(self, now_ns: int) -> None:
        """Move buffered events to the record."""
        self._bins.drain(now_ns)
        self._sockets.drain(now_ns)

    def drain_by(self, now_ns: int) -> int:
        """Return the time by which :meth:`drain` must be called again."""
        return min(self._bins.drain_by(now_ns), self._sockets.drain_by(now_ns))

    def settle(self) -> None:
        """Wait until no packets are on their way any more, so that none of them counts as lost."""
        deadline = time.monotonic_ns() + _LONGEST_SETTLING_NS
        before = None
        while time.monotonic_ns() < deadline:
            sides = [
                self._side(number, side) for number in range(len(self._job["flows"])) for side in range(len(_SIDES))
            ]
            packets = [int(side.all.packets) for side in sides]
            if packets == before:
                break
            before = packets
            time.sleep(self._settling_ns / 1e9)

    def stop(self, now_ns: int) -> tuple[Results, list[FlowAccounts]]:
        """Stop counting; return the description of the files with bins and sockets, and the accounts of each flow."""
        self._programs.detach("accounts")
        sides = [[self._side(number, side) for side in range(len(_SIDES))] for number in range(len(self._job["flows"]))]
        results = self._bins.stop(now_ns, self._open_bins(sides)) | self._sockets.stop(now_ns)
        names = {str(number): flow["name"] for number, flow in enumerate(self._job["flows"])}
        for result in results.values():
            result["names"]["flow"] = names
        accounts: list[FlowAccounts] = [
            {
                "sides": {name: self._account(flow, side) for name, side in zip(_SIDES, sides[number], strict=True)},
                "datagrams": self._datagrams(number) if flow["protocol"] == "udp" else None,
                "sockets": [],
            }
            for number, flow in enumerate(self._job["flows"])
        ]
        self._read_sockets(results["sockets"], accounts)
        return results, accounts

    def _declare_interfaces(self) -> None:
        """Tell the programs at which interfaces packets reach a host, and behind which of them netem delays packets."""
        table = self._programs.table("accounts_interfaces")
        places = self._network.places()
        for node in self._job["nodes"]:
            for port in self._network.ports_of(node["name"]) if node["role"] == "host" else ():
                key = table.Key(*places[port.node, port.interface])
                table[key] = ctypes.c_uint32(int(self._network.has_netem(port)))

    def _clear(self) -> None:
        flows = len(self._job["flows"])
        for name, entries in (("accounts_sides", flows * len(_SIDES)), ("datagrams_streams", flows)):
            table = self._programs.table(name)
            empty = table.Leaf()
            for number in range(entries):
                table[ctypes.c_int(number)] = empty

    def _side(self, flow: int, side: int) -> Any:
        return self._programs.table("accounts_sides")[ctypes.c_int(flow * len(_SIDES) + side)]

    def _datagrams(self, flow: int) -> DatagramCounts:
        stream = self._programs.table("datagrams_streams")[ctypes.c_int(flow)]
        counts: Any = {name: int(getattr(stream, name)) for name in _DATAGRAMS}
        return counts  # type: ignore[no-any-return]

    def _account(self, flow: Flow, side: Any) -> Account:
        return {
            "all": self._total(side.all),
            "declared": self._total(side.declared),
            # The programs do not count the same twice.
            "measured": self._total(side.measured if is_cut(flow) else side.declared),
            "frame_bytes": int(side.frame_bytes),
        }

    def _total(self, total: Any) -> Any:
        values: dict[str, int | None] = {name: int(getattr(total, name)) for name, _kind in total._fields_}
        for name in _TIMES:
            at_ns = int(getattr(total, name))
            values[name] = at_ns - self._start_ns if at_ns else None
        return values

    def _open_bins(self, sides: Sequence[Sequence[Any]]) -> Iterator[bytes]:
        """Yield the rows of the bins that have not ended, in the form of the kernel's events."""
        for flow, of_flow in enumerate(sides):
            for number, side in enumerate(of_flow):
                if side.bin_packets or side.bin_bytes:
                    counts = (side.bin_packets, side.bin_bytes, side.bin_again_packets, side.bin_again_bytes)
                    begin_ns = side.bin_end_ns - self._job["bin_ns"]
                    yield struct.pack("=Q8I", begin_ns, flow, number, *counts, side.bin_ce_packets, 0)

    def _read_sockets(self, result: Any, accounts: list[FlowAccounts]) -> None:
        """Add to each flow's accounts what its sockets had counted when they ended."""
        formats = {"<u8": "Q", "<u4": "I", "<u2": "H", "<u1": "B", "V16": "16s"}
        raw = (self._directory / result["file"]).read_bytes()
        for start in range(0, len(raw), result["row_bytes"]):
            row: dict[str, Any] = {}
            for field in result["fields"]:
                (row[field["name"]],) = struct.unpack_from("=" + formats[field["type"]], raw, start + field["offset"])
            accounts[row["flow"]]["sockets"].append(self._socket(row))

    def _fin_timeout_us(self, host: str) -> int:
        """Return the sysctl tcp_fin_timeout, which the kernel keeps in jiffies: so it tells how long a jiffy is."""
        if host not in self._fin_timeouts_us:
            with network_namespace(self._network.pid(host)):
                self._fin_timeouts_us[host] = int(read_sysctl("net.ipv4.tcp_fin_timeout")) * 1_000_000
        return self._fin_timeouts_us[host]

    def _socket(self, row: dict[str, Any]) -> SocketEnd:
        flow = self._job["flows"][row["flow"]]
        tick_us = self._fin_timeout_us(flow["source" if row["is_sender"] else "destination"]) // row["fin_timeout"]
        chronos = [row[name] for name in _CHRONOS]
        if row["chrono_type"]:
            chronos[row["chrono_type"] - 1] += (row["jiffies"] - row["chrono_start"]) & 0xFFFFFFFF
        busy, rwnd, sndbuf = sum(chronos), chronos[1], chronos[2]
        skipped = {"ts_ns", "jiffies", "fin_timeout", "flow", "sport", "dport", "oldstate", "newstate", "is_sender"}
        info = {
            name: int(value)
            for name, value in row.items()
            if name not in skipped and not name.startswith(("chrono_", "unused", "ca_name"))
        }
        info |= {"busy_time": busy * tick_us, "rwnd_limited": rwnd * tick_us, "sndbuf_limited": sndbuf * tick_us}
        return {
            "at_ns": row["ts_ns"] - self._start_ns,
            "is_sender": bool(row["is_sender"]),
            "is_last": ENUMS["tcp_state"][row["newstate"]] == "CLOSE",
            "local_port": row["sport"],
            "remote_port": row["dport"],
            "congestion_control": row["ca_name"].partition(b"\0")[0].decode(),
            "tcp_info": info,
        }
