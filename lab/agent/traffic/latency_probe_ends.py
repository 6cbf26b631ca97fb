# SPDX-License-Identifier: Apache-2.0
"""The client and server of a latency probe, which sends small packets at intervals and measures the time to the answer.

``python3 -m lab.agent.traffic.latency_probe_ends server KIND ADDRESS PORT RESPONSE_BYTES`` prints ``ready`` and
answers requests.

``… client KIND ADDRESS PORT INTERVAL_NS REQUEST_BYTES RESPONSE_BYTES OUTPUT`` waits for a line on its standard input
with the time of the first request and the end time (``CLOCK_MONOTONIC``, in ns).  It then sends requests and writes a
row of :data:`ROW` for each to OUTPUT.

KIND is ``ping``, ``tcp`` or ``udp``; ``ping`` needs no server.  Client and server are separate processes, so that
nothing that the agent does delays them.
"""

from __future__ import annotations

import select
import socket
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROW = struct.Struct("<QQ")
"""When a request was sent (CLOCK_MONOTONIC) and how long its answer took, both in ns; 0 if no answer came."""
SEQUENCE = struct.Struct("!Q")
MIN_BYTES = SEQUENCE.size
READY = "ready"
"""What an end prints when it can take what comes: see :func:`lab.agent.process.is_ready`."""

_ECHO_REQUEST = {socket.AF_INET: 8, socket.AF_INET6: 128}
_ECHO_REPLY = {socket.AF_INET: 0, socket.AF_INET6: 129}
_ICMP = struct.Struct("!BBHHH")
_LAST_ANSWERS_NS = 2_000_000_000


def family_of(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def serve(kind: str, address: str, port: int, response_bytes: int) -> None:
    """Answer requests until the process is killed."""
    filler = bytes(response_bytes)
    if kind == "udp":
        with socket.socket(family_of(address), socket.SOCK_DGRAM) as inbox:
            inbox.bind((address, port))
            print(READY, flush=True)
            while True:
                data, source = inbox.recvfrom(65536)
                inbox.sendto(data[:MIN_BYTES] + filler[MIN_BYTES:], source)
    with socket.create_server((address, port), family=family_of(address)) as listening:
        print(READY, flush=True)
        while True:
            connection, _peer = listening.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with connection:
                _answer(connection, filler)


def _answer(connection: socket.socket, filler: bytes) -> None:
    """Answer the requests of one connection until it is closed; each request begins with its length."""
    while header := _receive(connection, MIN_BYTES):
        length = SEQUENCE.unpack(header)[0]
        if length > MIN_BYTES and not _receive(connection, length - MIN_BYTES):
            return
        connection.sendall(filler)


def _receive(connection: socket.socket, count: int) -> bytes:
    """Return exactly *count* bytes, or none if the other end closes the connection first."""
    found = b""
    while len(found) < count:
        part = connection.recv(count - len(found))
        if not part:
            return b""
        found += part
    return found


def _until(when_ns: int) -> None:
    wait = when_ns - time.monotonic_ns()
    if wait > 0:
        time.sleep(wait / 1e9)


def ask_tcp(
    address: str, port: int, interval_ns: int, request_bytes: int, response_bytes: int
) -> Iterator[tuple[int, int]]:
    """Send requests over one TCP connection and yield (time of sending, time until the answer), both in ns.

    A request is sent only after the previous one has been answered.
    """
    with socket.create_connection((address, port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        request = SEQUENCE.pack(request_bytes) + bytes(request_bytes - MIN_BYTES)
        begin, end = _times()
        due = begin
        while due < end:
            _until(due)
            sent = time.monotonic_ns()
            connection.sendall(request)
            if not _receive(connection, response_bytes):
                return
            now = time.monotonic_ns()
            yield sent, now - sent
            # The next request is sent at a whole number of intervals after the first one, even if a slow answer has
            # made the probe skip some.
            due = begin + max((now - begin) // interval_ns + 1, (due - begin) // interval_ns + 1) * interval_ns


def ask_datagrams(
    kind: str, address: str, port: int, interval_ns: int, request_bytes: int
) -> Iterator[tuple[int, int]]:
    """Send one ping or UDP request each interval and yield (time of sending, time until the answer), both in ns.

    A request is sent whether or not earlier ones have been answered.  For a request that is never answered, the second
    number is 0.
    """
    family = family_of(address)
    if kind == "ping":
        protocol = socket.IPPROTO_ICMP if family == socket.AF_INET else socket.IPPROTO_ICMPV6
        # The kernel gives such a socket its own identifier, and only the replies to it.
        box = socket.socket(family, socket.SOCK_DGRAM, protocol)
    else:
        box = socket.socket(family, socket.SOCK_DGRAM)
    box.connect((address, port if kind == "udp" else 0))
    box.setblocking(False)
    begin, end = _times()
    sent: list[int] = []
    answered: dict[int, int] = {}
    due = begin
    while True:
        now = time.monotonic_ns()
        if now >= due and due < end:
            sent.append(now)
            box.send(_request(kind, family, len(sent) - 1, request_bytes))
            due += interval_ns
            continue
        last = end + _LAST_ANSWERS_NS
        if now >= last or (due >= end and len(answered) == len(sent)):
            break
        until = due if due < end else last
        if select.select([box], [], [], max(0, until - now) / 1e9)[0]:
            arrived = time.monotonic_ns()
            number = _number(kind, family, box.recv(65536))
            if number is not None and number < len(sent):
                answered.setdefault(number, arrived)
    box.close()
    for number, at in enumerate(sent):
        yield at, answered[number] - at if number in answered else 0


def _request(kind: str, family: socket.AddressFamily, number: int, request_bytes: int) -> bytes:
    data = SEQUENCE.pack(number) + bytes(max(0, request_bytes - MIN_BYTES))
    if kind == "udp":
        return data
    # The kernel fills in the checksum and the identifier.
    return _ICMP.pack(_ECHO_REQUEST[family], 0, 0, 0, number & 0xFFFF) + data


def _number(kind: str, family: socket.AddressFamily, packet: bytes) -> int | None:
    """Return the number of the request that *packet* answers; None if it is any other packet."""
    if kind == "ping":
        if len(packet) < _ICMP.size or packet[0] != _ECHO_REPLY[family]:
            return None
        packet = packet[_ICMP.size :]
    return int(SEQUENCE.unpack_from(packet)[0]) if len(packet) >= MIN_BYTES else None


def _times() -> tuple[int, int]:
    """Report to the agent that the client is ready, and return (time of the first request, end time) from it."""
    print(READY, flush=True)
    begin, end = sys.stdin.readline().split()
    return int(begin), int(end)


def main(arguments: list[str]) -> None:
    role, kind, address, port, *more = arguments
    if role == "server":
        serve(kind, address, int(port), int(more[0]))
        return
    interval_ns, request_bytes, response_bytes = map(int, more[:3])
    if kind == "tcp":
        rows = ask_tcp(address, int(port), interval_ns, request_bytes, response_bytes)
    else:
        rows = ask_datagrams(kind, address, int(port), interval_ns, request_bytes)
    with Path(more[3]).open("wb") as output:
        for row in rows:
            output.write(ROW.pack(*row))


if __name__ == "__main__":
    main(sys.argv[1:])
