# SPDX-License-Identifier: Apache-2.0
"""Record when packets leave an interface, with the kernel's own time stamps.

A packet socket sees a packet when the queueing discipline has let it go, just before the device gets it
(dev_queue_xmit_nit() in net/core/dev.c).
"""

from __future__ import annotations

import socket
import struct
import time

_ETH_P_ALL = 3
_SO_RCVBUFFORCE = 33
_SO_TIMESTAMPNS = 35
"""SO_TIMESTAMPNS, and the type of its control message (include/uapi/asm-generic/socket.h)."""
_TIMESPEC = struct.Struct("@qq")
_ROOM_PER_PACKET = 4096
"""Bytes of receive buffer that a full-size packet takes, with the kernel's bookkeeping."""
_MOST_PACKETS = 4096
_PAUSE_S = 0.002


class Departures:
    """The departures of all packets of one length; use it as a context manager."""

    def __init__(self, interface: str, length: int) -> None:
        """Start to record at an *interface* of the calling thread's network namespace.

        ``length`` is that of the packets in bytes, including the Ethernet header.
        """
        self._length = length
        self._times: list[int] = []
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        # SO_RCVBUFFORCE is not limited by net.core.rmem_max.
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _MOST_PACKETS * _ROOM_PER_PACKET)
        # The socket was created without a protocol and therefore receives nothing from other interfaces.
        self._socket.bind((interface, _ETH_P_ALL))

    def __enter__(self) -> Departures:
        return self

    def __exit__(self, *_error: object) -> None:
        self._socket.close()

    def wait_for(self, count: int, shortest_ns: int, longest_ns: int) -> list[int]:
        """Return the times, in ns, at which packets have left since the start, at most ``count``.

        Wait for ``shortest_ns`` at first, and after that only as long as packets are missing, up to ``longest_ns``.
        """
        began = time.monotonic_ns()
        time.sleep(shortest_ns / 1e9)
        self._drain()
        while len(self._times) < count and time.monotonic_ns() - began < longest_ns:
            time.sleep(_PAUSE_S)
            self._drain()
        return self._times[:count]

    def _drain(self) -> None:
        while True:
            try:
                # A longer packet is cut off.  The extra byte tells it from one of the expected length.
                data, control, _flags, address = self._socket.recvmsg(self._length + 1, 64)
            except BlockingIOError:
                return
            if address[2] != socket.PACKET_OUTGOING or len(data) != self._length:
                continue
            for _level, kind, value in control:
                if kind == _SO_TIMESTAMPNS:
                    seconds, nanoseconds = _TIMESPEC.unpack(value)
                    self._times.append(seconds * 1_000_000_000 + nanoseconds)
