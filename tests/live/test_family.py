# SPDX-License-Identifier: Apache-2.0
"""Check that ``family`` is that of the addresses if an IPv6 socket carries IPv4 (RFC 3493, section 3.7)."""

from __future__ import annotations

import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.live.tracing import Rows, Tracer, transfer

pytestmark = pytest.mark.live


@contextmanager
def dual_stack() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as server:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        server.bind(("::ffff:127.0.0.1", 0))
        server.listen()
        yield server


def connected(port: int) -> socket.socket:
    """A connection from an IPv6 socket to 127.0.0.1."""
    client = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    client.connect(("::ffff:127.0.0.1", port))
    return client


def check(rows: Rows) -> None:
    assert rows
    for row in rows:
        assert row["family"] == 2, row
        assert {row["saddr"], row["daddr"]} <= {"127.0.0.1", "0.0.0.0"}, row
        assert row["saddr"] == "127.0.0.1" or row["oldstate"] in ("CLOSE", "SYN_SENT"), row


@pytest.mark.parametrize("collector", ["states", "life", "destroy", "tcp_probe"])
def test_of_a_connection(collector: str) -> None:
    with dual_stack() as server:
        port = server.getsockname()[1]
        tracer = Tracer(collector, "--json", "--port", str(port), "--host", "127.0.0.1")
        transfer(server)  # from an IPv6 socket, too
        with connected(port):
            server.accept()[0].close()
        time.sleep(0.1)
        check(tracer.rows())


def test_of_a_reset() -> None:
    with dual_stack() as server:
        port = server.getsockname()[1]
        tracer = Tracer("resets", "--json", "--port", str(port))
        client = connected(port)
        accepted, _peer = server.accept()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        accepted.close()
        rows = tracer.rows()
    assert {row["is_sent"] for row in rows} == {"sent", "received"}
    check(rows)


def test_of_a_retransmission(namespace: str) -> None:
    tracer = Tracer("retrans", "--json", "--port", "4321")
    program = (
        "import socket\n"
        "s = socket.socket(socket.AF_INET6); s.settimeout(1.6)\n"
        "try: s.connect(('::ffff:10.99.0.2', 4321))\n"
        "except TimeoutError: pass\n"
    )
    subprocess.run(["ip", "netns", "exec", namespace, "python3", "-c", program], check=True)
    rows = tracer.rows()
    assert {(row["family"], row["saddr"], row["daddr"]) for row in rows} == {(2, "10.99.0.1", "10.99.0.2")}


def test_what_an_ipv6_socket_listens_on_is_ipv6() -> None:
    tracer = Tracer("states", "--json")
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as server:
        server.bind(("::", 0))
        server.listen()
        port = server.getsockname()[1]
    rows = [row for row in tracer.rows() if row["sport"] == port]
    assert {(row["family"], row["saddr"], row["daddr"]) for row in rows} == {(10, "::", "::")}
