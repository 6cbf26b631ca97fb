# SPDX-License-Identifier: Apache-2.0
"""The client and server of short flows.

The client opens connections at given times, and the server records when the last byte of each arrives.

``python3 -m lab.agent.traffic.short_flow_ends server ADDRESS PORT OUTPUT`` receives data until it gets a SIGTERM, and
then writes rows of :data:`RECEIVED` to ``OUTPUT``.

``… client ADDRESS PORT CONGESTION MSS PACING PLAN OUTPUT`` waits for a line with the start of traffic
(``CLOCK_MONOTONIC``, in ns) on its standard input and then opens the connections of ``PLAN`` (JSON with the lists
``at_ns`` and ``bytes``).  It ends when the server has closed all connections or when it gets a SIGTERM, and then writes
rows of :data:`SENT` to ``OUTPUT``.  ``MSS`` (in bytes) and ``PACING`` (in bytes per second) are 0 if the kernel is to
choose.

Client and server are separate processes, so that nothing that the agent does delays them.
"""

from __future__ import annotations

import contextlib
import errno
import json
import select
import signal
import socket
import struct
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from lab.agent.traffic.latency_probe_ends import family_of
from lab.agent.traffic.sockdiag import parse_tcp_info

SENT = struct.Struct("<QQQIIIH16sxx")
"""One flow as the client saw it: when it began, when its connection was established (0 if never), bytes sent, number,
retransmitted segments, whether the server closed the connection, the client's port, and the congestion control read
back from the socket.  Times are in ns on CLOCK_MONOTONIC."""
RECEIVED = struct.Struct("<QQHxxxxxx")
"""One flow as the server saw it: when its last byte was read (in ns on CLOCK_MONOTONIC), bytes received, and the
client's port."""

_BACKLOG = 4096
_SO_MAX_PACING_RATE = 47
_BLOCK = memoryview(bytes(1 << 17))
_READ_BYTES = 1 << 18


class _EndedError(Exception):
    """The process has received a SIGTERM."""


def _end(_signal: int, _frame: object) -> None:
    raise _EndedError


def serve(address: str, port: int, output: Path) -> None:
    """Receive the data of all connections until a SIGTERM, then write a row for each to *output*."""
    rows = bytearray()
    ready = select.epoll()
    listening = socket.create_server((address, port), family=family_of(address), backlog=_BACKLOG)
    listening.setblocking(False)
    ready.register(listening, select.EPOLLIN)
    open_: dict[int, _Receiver] = {}
    print("ready", flush=True)
    with contextlib.suppress(_EndedError):
        while True:
            for fd, _events in ready.poll():
                if fd == listening.fileno():
                    connection, peer = listening.accept()
                    connection.setblocking(False)
                    open_[connection.fileno()] = _Receiver(connection, peer[1])
                    ready.register(connection, select.EPOLLIN)
                    continue
                if open_[fd].has_ended():
                    receiver = open_.pop(fd)
                    rows += receiver.row()
                    ready.unregister(fd)
                    receiver.connection.close()
    for receiver in open_.values():
        rows += receiver.row()
    output.write_bytes(rows)


@dataclass
class _Receiver:
    """The server's end of one short flow."""

    connection: socket.socket
    port: int
    """The client's port."""
    last_ns: int = 0
    total_bytes: int = 0

    def has_ended(self) -> bool:
        """Read the data that have arrived, and return whether the connection has been closed or reset."""
        try:
            data = self.connection.recv(_READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            return True
        if data:
            self.last_ns = time.monotonic_ns()
            self.total_bytes += len(data)
        return not data

    def row(self) -> bytes:
        return RECEIVED.pack(self.last_ns, self.total_bytes, self.port)


class _Sender:
    """The client's end of one short flow, which sends *amount* bytes."""

    def __init__(self, number: int, amount: int) -> None:
        self.number = number
        self.amount = amount
        self.left = amount
        self.began_ns = self.connected_ns = 0
        self.retransmissions = 0
        self.port = 0
        self.is_closed = False
        self.congestion = b""
        self.socket: socket.socket | None = None

    def begin(self, address: str, port: int, congestion: str, mss: int, pacing: int) -> socket.socket:
        """Begin to open the connection, without waiting for it, and return its socket."""
        connection = socket.socket(family_of(address), socket.SOCK_STREAM)
        self.socket = connection
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, congestion.encode())
        if mss:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, mss)
        if pacing:
            connection.setsockopt(socket.SOL_SOCKET, _SO_MAX_PACING_RATE, pacing)
        self.began_ns = time.monotonic_ns()
        status = connection.connect_ex((address, port))
        if status not in (0, errno.EINPROGRESS):
            raise OSError(status, f"the short flow number {self.number} cannot connect")
        self.port = connection.getsockname()[1]
        return connection

    def proceed(self) -> int:
        """Do as much as is possible without waiting, and return the epoll events to wait for.

        Returns 0 when the flow has ended.
        """
        assert self.socket is not None
        if not self.connected_ns:
            if self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                return self.close()
            self.connected_ns = time.monotonic_ns()
        try:
            while self.left:
                self.left -= self.socket.send(_BLOCK[: min(self.left, len(_BLOCK))])
                if not self.left:
                    # This tells the receiver that all data have been sent.  The flow ends when the receiver, too,
                    # has closed the connection.
                    self.socket.shutdown(socket.SHUT_WR)
            if self.socket.recv(1) == b"":
                self.is_closed = True
                return self.close()
        except BlockingIOError:
            return select.EPOLLOUT if self.left else select.EPOLLIN
        except OSError:
            return self.close()
        return select.EPOLLIN

    def close(self) -> int:
        """Close the socket and return 0, the events to wait for from then on."""
        if self.socket is not None:
            self._read_back()
            self.socket.close()
            self.socket = None
        return 0

    def _read_back(self) -> None:
        assert self.socket is not None
        with contextlib.suppress(OSError):
            info = parse_tcp_info(self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256))
            self.retransmissions = info.get("total_retrans", 0)
            self.congestion = self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0")

    def row(self) -> bytes:
        return SENT.pack(
            self.began_ns,
            self.connected_ns,
            self.amount - self.left,
            self.number,
            self.retransmissions,
            int(self.is_closed),
            self.port,
            self.congestion,
        )


def send(address: str, port: int, congestion: str, mss: int, pacing: int, plan: Path, output: Path) -> None:
    """Begin every flow of *plan* at its time, wait until all have ended, and write their rows to *output*."""
    planned = json.loads(plan.read_text(encoding="ascii"))
    print("ready", flush=True)
    start_ns = int(sys.stdin.readline())
    flows = [_Sender(number, amount) for number, amount in enumerate(planned["bytes"])]
    begun = 0
    wait_s: float | None
    busy: dict[int, _Sender] = {}
    ready = select.epoll()
    with contextlib.suppress(_EndedError):
        while begun < len(flows) or busy:
            wait_s = None
            if begun < len(flows):
                wait_ns = start_ns + planned["at_ns"][begun] - time.monotonic_ns()
                if wait_ns <= 0:
                    fd = flows[begun].begin(address, port, congestion, mss, pacing).fileno()
                    busy[fd] = flows[begun]
                    ready.register(fd, select.EPOLLOUT)
                    begun += 1
                    continue
                wait_s = wait_ns / 1e9
            # select() is used for waiting because the timeout of epoll has a resolution of 1 ms only.
            select.select([ready], [], [], wait_s)
            for fd, _events in ready.poll(0):
                events = busy[fd].proceed()
                if events:
                    ready.modify(fd, events)
                else:
                    # The kernel removes a closed descriptor from the epoll set by itself.
                    del busy[fd]
    for flow in busy.values():
        flow.close()
    output.write_bytes(b"".join(flow.row() for flow in flows[:begun]))


def main(arguments: list[str]) -> None:
    signal.signal(signal.SIGTERM, _end)
    role, address, port, *more = arguments
    if role == "server":
        serve(address, int(port), Path(more[0]))
        return
    congestion, mss, pacing, plan, output = more
    send(address, int(port), congestion, int(mss), int(pacing), Path(plan), Path(output))


if __name__ == "__main__":
    main(sys.argv[1:])
