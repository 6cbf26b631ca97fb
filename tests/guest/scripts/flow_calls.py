# SPDX-License-Identifier: Apache-2.0
"""Test script for the guest: trace ``flow`` while bytes are moved by every call that reads or writes a TCP socket.

It returns what was printed, and how many bytes the calls themselves said they had moved.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

PIECE = 10_007
PIECES = 10
ALL = PIECE * PIECES
PAUSE_S = 0.02

LIMIT_S = 20
"""The longest time that one case may take."""

MSG_ZEROCOPY = 0x4000000
SO_ZEROCOPY = 60
TCP_ZEROCOPY_RECEIVE = 35
AF_UNSPEC = 0
PR_SET_NAME = 15

libc = ctypes.CDLL(None, use_errno=True)


class Vector(ctypes.Structure):
    """``struct iovec``."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class Message(ctypes.Structure):
    """``struct mmsghdr``."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.POINTER(Vector)),
        ("vectors_length", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
        ("padding", ctypes.c_uint32),
        ("length", ctypes.c_uint32),
    )


class Pair:
    """The two ends of a connection over the loopback interface, and how many bytes calls say they have moved."""

    def __init__(self, address: str = "127.0.0.1", *, is_dual_stack: bool = False) -> None:
        family = socket.AF_INET6 if is_dual_stack or ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as server:
            if is_dual_stack:
                server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            server.bind(("::" if is_dual_stack else address, 0))
            server.listen()
            self.sender = socket.create_connection((address, server.getsockname()[1]))
            self.reader = server.accept()[0]
        self.sent = self.read = 0

    def send(self, count: int, flags: int = 0) -> None:
        while count > 0:
            done = self.sender.send(bytes(count), flags)
            self.sent += done
            count -= done

    def in_pieces(self, *, close: bool = False) -> threading.Thread:
        """Send all bytes piece by piece, so that a reader that wants them all must wait several times."""

        def act() -> None:
            for _ in range(PIECES):
                self.send(PIECE)
                time.sleep(PAUSE_S)
            if close:
                self.sender.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=act)
        thread.start()
        return thread

    def receive(self, count: int, flags: int = 0) -> int:
        got = len(self.reader.recv(count, flags))
        if not flags & (socket.MSG_PEEK | socket.MSG_OOB):
            self.read += got
        return got

    def receive_all(self, count: int) -> None:
        while count > 0:
            count -= self.receive(count)

    def described(self) -> dict[str, Any]:
        found = {
            "sender": self.sender.getsockname()[1],
            "reader": self.reader.getsockname()[1],
            "sent": self.sent,
            "read": self.read,
        }
        self.sender.close()
        self.reader.close()
        return found


Case = Callable[[Pair], None]


def wait_for_all(pair: Pair) -> None:
    thread = pair.in_pieces()
    assert pair.receive(ALL, socket.MSG_WAITALL) == ALL
    thread.join()


def wait_for_more_than_comes(pair: Pair) -> None:
    """The FIN arrives while the call is waiting."""
    thread = pair.in_pieces(close=True)
    assert pair.receive(2 * ALL, socket.MSG_WAITALL) == ALL
    assert pair.receive(1) == 0
    thread.join()


def wait_until_a_timeout(pair: Pair) -> None:
    pair.send(PIECE)
    pair.reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("qq", 0, 200_000))
    assert pair.receive(ALL, socket.MSG_WAITALL) == PIECE


def low_water_mark(pair: Pair) -> None:
    pair.reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, ALL // 2)
    pair.send(PIECE)
    time.sleep(PAUSE_S)
    thread = pair.in_pieces()
    assert pair.receive(2 * ALL) >= ALL // 2
    pair.reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
    pair.receive_all(ALL + PIECE - pair.read)
    thread.join()


def peek(pair: Pair) -> None:
    """Peek at everything three times, and read the half of it."""
    pair.send(PIECE)
    time.sleep(PAUSE_S)
    for _ in range(3):
        assert pair.receive(PIECE, socket.MSG_PEEK) == PIECE
    pair.receive_all(PIECE // 2)
    assert pair.receive(PIECE, socket.MSG_PEEK) == PIECE - PIECE // 2


def peek_and_wait(pair: Pair) -> None:
    thread = pair.in_pieces()
    assert pair.receive(ALL, socket.MSG_PEEK | socket.MSG_WAITALL) == ALL
    thread.join()


def peek_at_the_end(pair: Pair) -> None:
    pair.send(PIECE)
    pair.sender.shutdown(socket.SHUT_WR)
    time.sleep(PAUSE_S)
    assert pair.receive(2 * PIECE, socket.MSG_PEEK) == PIECE
    assert pair.receive(2 * PIECE) == PIECE
    assert pair.receive(2 * PIECE, socket.MSG_PEEK) == 0


def discard(pair: Pair) -> None:
    """With MSG_TRUNC, TCP drops the bytes instead of copying them (man 7 tcp)."""
    thread = pair.in_pieces()
    assert pair.receive(ALL, socket.MSG_TRUNC | socket.MSG_WAITALL) == ALL
    thread.join()


def splice_both_ways(pair: Pair) -> None:
    """From a pipe into the one socket, and from the other socket into a pipe."""
    for _ in range(PIECES):
        inward, into = os.pipe()
        outward, out_of = os.pipe()
        try:
            os.write(into, bytes(PIECE))
            pair.sent += os.splice(inward, pair.sender.fileno(), PIECE)
            left = PIECE
            while left:
                done = os.splice(pair.reader.fileno(), out_of, left)
                pair.read += done
                left -= done
                assert len(os.read(outward, done)) == done
        finally:
            for end in (inward, into, outward, out_of):
                os.close(end)


def send_a_file(pair: Pair) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(bytes(ALL))
        file.flush()
        while pair.sent < ALL:
            pair.sent += os.sendfile(pair.sender.fileno(), file.fileno(), pair.sent, ALL - pair.sent)
    pair.receive_all(ALL)


def send_without_copying(pair: Pair) -> None:
    pair.sender.setsockopt(socket.SOL_SOCKET, SO_ZEROCOPY, 1)
    pair.send(ALL, MSG_ZEROCOPY)
    pair.receive_all(ALL)
    # The kernel reports that it is done with the pages on the error queue, which holds no data of the connection.
    pair.sender.recvmsg(1, 1000, socket.MSG_ERRQUEUE)


def several_messages(pair: Pair) -> None:
    """sendmmsg(2) and recvmmsg(2)."""

    buffers = [ctypes.create_string_buffer(PIECE) for _ in range(PIECES)]

    def messages() -> Any:
        made = (Message * PIECES)()
        for message, buffer in zip(made, buffers, strict=True):
            message.vectors = ctypes.pointer(Vector(ctypes.addressof(buffer), PIECE))
            message.vectors_length = 1
        return made

    ours = messages()
    assert libc.sendmmsg(pair.sender.fileno(), ours, PIECES, 0) == PIECES
    pair.sent += sum(message.length for message in ours)
    theirs = messages()
    assert libc.recvmmsg(pair.reader.fileno(), theirs, PIECES, socket.MSG_WAITALL, None) == PIECES
    pair.read += sum(message.length for message in theirs)


def acknowledge_at_once(pair: Pair) -> None:
    """The kernel implements TCP_QUICKACK as if a byte had been read, if an acknowledgement is due."""
    for _ in range(5):
        pair.reader.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
        pair.send(PIECE)
        time.sleep(PAUSE_S / 2)
        pair.reader.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        pair.receive_all(PIECE)


def urgent_data(pair: Pair) -> None:
    """The urgent byte is read apart from the others."""
    pair.send(PIECE)
    pair.send(1, socket.MSG_OOB)
    pair.send(PIECE)
    time.sleep(PAUSE_S)
    assert pair.receive(1, socket.MSG_OOB) == 1
    pair.receive_all(2 * PIECE)


def map_pages(pair: Pair) -> None:
    """TCP_ZEROCOPY_RECEIVE, which copies what it cannot map into a buffer (struct tcp_zerocopy_receive)."""
    pair.send(PIECE)
    time.sleep(PAUSE_S)
    buffer = ctypes.create_string_buffer(PIECE)
    request = ctypes.create_string_buffer(
        struct.pack("QIIIiQiIQQII", 0, 0, 0, 0, 0, ctypes.addressof(buffer), PIECE, 0, 0, 0, 0, 0)
    )
    size = ctypes.c_uint32(40)
    done = libc.getsockopt(pair.reader.fileno(), socket.IPPROTO_TCP, TCP_ZEROCOPY_RECEIVE, request, ctypes.byref(size))
    assert done == 0, os.strerror(ctypes.get_errno())
    (copied,) = struct.unpack_from("i", request, 32)
    assert copied == PIECE
    pair.read += copied


def connect_again(pair: Pair) -> None:
    """The same socket is used for a second connection."""
    pair.send(PIECE)
    pair.receive_all(PIECE)
    with socket.create_server(("127.0.0.1", 0)) as server:
        reader = pair.sender
        pair.sender.shutdown(socket.SHUT_WR)
        nothing = struct.pack("H14x", AF_UNSPEC)
        assert libc.connect(reader.fileno(), nothing, len(nothing)) == 0, os.strerror(ctypes.get_errno())
        reader.connect(server.getsockname())
        pair.reader.close()
        pair.reader, (pair.sender, _peer) = reader, server.accept()
    pair.sent = pair.read = 0
    thread = pair.in_pieces()
    assert pair.receive(ALL, socket.MSG_WAITALL) == ALL
    thread.join()


def plainly(pair: Pair) -> None:
    thread = pair.in_pieces(close=True)
    while pair.receive(1 << 16):
        pass
    thread.join()


CASES: dict[str, Case] = {
    "recv": plainly,
    "MSG_WAITALL": wait_for_all,
    "MSG_WAITALL until FIN": wait_for_more_than_comes,
    "MSG_WAITALL until a timeout": wait_until_a_timeout,
    "SO_RCVLOWAT": low_water_mark,
    "MSG_PEEK": peek,
    "MSG_PEEK and MSG_WAITALL": peek_and_wait,
    "MSG_PEEK and FIN": peek_at_the_end,
    "MSG_TRUNC": discard,
    "splice": splice_both_ways,
    "sendfile": send_a_file,
    "MSG_ZEROCOPY": send_without_copying,
    "sendmmsg and recvmmsg": several_messages,
    "TCP_QUICKACK": acknowledge_at_once,
    "MSG_OOB": urgent_data,
    "TCP_ZEROCOPY_RECEIVE": map_pages,
    "a second connection": connect_again,
}

OLD_CASES = ("recv", "MSG_WAITALL", "MSG_PEEK", "MSG_TRUNC", "splice", "TCP_QUICKACK")
"""Those that are also tried with connections that have carried data before tracing began."""


def used_pair() -> Pair:
    pair = Pair()
    pair.send(3 * PIECE)
    pair.receive_all(3 * PIECE)
    pair.sent = pair.read = 0
    return pair


def two_readers(pair: Pair) -> list[dict[str, int]]:
    """Let two processes read in turn from the same socket; return what each of them has read."""
    counts = []
    for count in (PIECE, 3 * PIECE):
        pair.send(count)
        inward, into = os.pipe()
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                left = count
                while left:
                    left -= len(pair.reader.recv(left, socket.MSG_WAITALL))
                os.write(into, b"!")
            os._exit(0)
        os.close(into)
        assert os.read(inward, 1) == b"!"
        os.close(inward)
        os.waitpid(child, 0)
        counts.append({"pid": child, "read": count})
    return counts


def multipath() -> dict[str, int] | None:
    """Send bytes over an MPTCP connection; return nothing if the kernel has no MPTCP."""
    try:
        server = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_MPTCP)
    except OSError:
        return None
    with server, socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_MPTCP) as client:
        server.bind(("127.0.0.1", 0))
        server.listen()
        client.connect(server.getsockname())
        accepted, _peer = server.accept()
        with accepted:
            client.sendall(bytes(PIECE))
            left = PIECE
            while left:
                left -= len(accepted.recv(left))
        return {"port": server.getsockname()[1]}


def crowd(count: int) -> dict[str, int]:
    """Send *count* bytes, each under another name of the process, and then one more under some of these names."""
    pair = Pair()
    for sent, number in enumerate((*range(count), *range(0, count, 100)), 1):
        libc.prctl(PR_SET_NAME, f"crowd{number}".encode(), 0, 0, 0)
        pair.send(1)
        if sent % 1000 == 0:
            pair.receive_all(1000)
            time.sleep(0.3)
    libc.prctl(PR_SET_NAME, b"python3", 0, 0, 0)
    return {"count": count, **pair.described()}


@contextmanager
def tracing(*arguments: str) -> Iterator[dict[str, Any]]:
    """Run ``lab trace flow`` and add what it printed to the yielded dictionary."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryFile("w+") as output:  # A pipe that nobody reads would hold up the trace.
        process = subprocess.Popen(
            [sys.executable, "-m", "lab.live", "flow", "--json", "--interval", "0.2", *arguments],
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        first = process.stderr.readline()
        assert "tracing" in first, first + process.stderr.read()
        yield found
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _output, found["errors"] = process.communicate()
        found["status"] = process.returncode
        output.seek(0)
        found["output"] = output.read()


def give_up(_signal: int, _frame: FrameType | None) -> None:
    raise TimeoutError("a call is waiting for bytes that do not come")


def main(_asked: Any) -> dict[str, Any]:
    signal.signal(signal.SIGALRM, give_up)
    old = {name: used_pair() for name in OLD_CASES}
    done: dict[str, Any] = {}
    with tracing() as traced:
        for name, act in CASES.items():
            signal.alarm(LIMIT_S)
            pair = Pair()
            act(pair)
            done[name] = pair.described()
        for name, pair in old.items():
            signal.alarm(LIMIT_S)
            CASES[name](pair)
            done[f"{name} on an old connection"] = pair.described()
        for name, pair in (
            ("IPv6", Pair("::1")),
            ("IPv4 in an IPv6 socket", Pair(is_dual_stack=True)),
        ):
            signal.alarm(LIMIT_S)
            wait_for_all(pair)
            done[name] = pair.described()
        shared = Pair()
        readers = two_readers(shared)
        paths = multipath()
        signal.alarm(0)
        own = {"pid": os.getpid(), **shared.described()}
    with tracing() as traced_crowd:
        crowded = crowd(40_000)
    return {
        "crowd": {**crowded, "traced": traced_crowd},
        "traced": traced,
        "done": done,
        "readers": readers,
        "shared": own,
        "multipath": paths,
    }
