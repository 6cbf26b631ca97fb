# SPDX-License-Identifier: Apache-2.0
"""Check how the kernel's answers about sockets are parsed: with captured bytes, and with a socket of this process."""

from __future__ import annotations

import os
import socket
import struct

import pytest

from lab.agent.traffic import sockdiag
from lab.agent.traffic.sockdiag import Socket, SocketDiagnostics, parse_tcp_info

# This is an INET_DIAG message of Linux 6.18 without its netlink header, for a connection over 127.0.0.1 that has sent
# 100,000 bytes, all of which are acknowledged.
CAPTURED = bytes.fromhex(
    "02010000dca097bf7f0000010000000000000000000000007f00000100000000000000000000000000000000021000000000000000000000"
    "000000000000000000000000e86a0100050008000000000008000f00000000000c001500010000000000000006001600520000001c010200"
    "010000000007aa00e01c03000000000000ba0000180200000000000000000000000000000000000000000000300000000000000030000000"
    "30000000ffff0000d7ff00001a0000000c000000ffffff7f0d000000cbff00000300000000000000d7ff000000000000c4f3268307000000"
    "ffffffffffffffffa18601000000000000000000000000000500000003000000000000000b00000000000000030000005e43c02a01000000"
    "0000000000000000000000000000000000000000000000000400000000000000a08601000000000000000000000000000000000000000000"
    "00000000006c0100000001000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
    "0800040062627200"
)


@pytest.fixture
def captured() -> Socket:
    return sockdiag._parse(CAPTURED)


def test_the_ends_and_the_algorithm(captured: Socket) -> None:
    assert (captured.local_address, captured.local_port) == ("127.0.0.1", 56480)
    assert (captured.remote_address, captured.remote_port) == ("127.0.0.1", 38847)
    assert captured.congestion_control == "bbr"


def test_every_width_of_tcp_info_is_at_its_place(captured: Socket) -> None:
    expected = {
        "state": 1,
        "options": 7,
        "rto": 204_000,
        "snd_mss": 47_616,
        "pmtu": 65_535,
        "rtt": 26,
        "rttvar": 12,
        "snd_ssthresh": 2**31 - 1,
        "snd_cwnd": 13,
        "total_retrans": 0,
        "max_pacing_rate": 2**64 - 1,
        "bytes_acked": 100_001,
        "segs_out": 5,
        "min_rtt": 11,
        "delivery_rate": 5_012_210_526,
        "delivered": 4,
        "bytes_sent": 100_000,
        "snd_wnd": 93_184,
        "rcv_wnd": 65_536,
    }
    assert {name: captured.info[name] for name in expected} == expected


def tcp_info_bytes() -> bytes:
    attributes = sockdiag._attributes(CAPTURED[sockdiag._MESSAGE.size :])
    return attributes[sockdiag._INET_DIAG_INFO]


def test_an_older_kernels_shorter_struct_lacks_only_its_end() -> None:
    whole = tcp_info_bytes()
    short = parse_tcp_info(whole[:104])  # In Linux 3.x, the struct ended with tcpi_total_retrans.
    assert list(short)[-1] == "total_retrans"
    everything = parse_tcp_info(whole)
    assert {name: everything[name] for name in short} == short
    assert parse_tcp_info(b"") == {}


def test_a_newer_kernels_longer_struct_is_read_as_far_as_it_is_known() -> None:
    assert parse_tcp_info(tcp_info_bytes() + bytes(64)) == parse_tcp_info(tcp_info_bytes())


def test_the_layout_is_that_of_this_kernel() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        accepted, _ = server.accept()
        with accepted:
            client.sendall(b"x" * 1000)
            assert len(accepted.recv(1000, socket.MSG_WAITALL)) == 1000
            accepted.sendall(b"y")
            assert client.recv(1) == b"y"
            info = parse_tcp_info(client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 512))
            mss = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
    assert info["state"] == 1
    assert info["snd_mss"] == mss
    assert info["bytes_sent"] == 1000
    assert info["bytes_received"] == 1
    assert info["snd_ssthresh"] == 2**31 - 1


@pytest.mark.parametrize("ip", ["ipv4", "ipv6"])
def test_a_socket_of_our_own_is_found(ip: str) -> None:
    address = {"ipv4": "127.0.0.1", "ipv6": "::1"}[ip]
    family = {"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}[ip]
    try:
        diagnostics = SocketDiagnostics(os.getpid(), ip)
    except PermissionError:
        pytest.skip("entering a network namespace requires root")
    with (
        socket.create_server((address, 0), family=family) as server,
        socket.create_connection(server.getsockname()[:2]) as client,
    ):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")
        port, own = server.getsockname()[1], client.getsockname()[1]
        assert port in diagnostics.listening_ports()
        (found,) = (one for one in diagnostics.connections() if (one.local_port, one.remote_port) == (own, port))
    diagnostics.close()
    assert (found.local_address, found.remote_address) == (address, address)
    assert found.congestion_control == "reno"
    assert found.info["state"] == 1


def test_an_attribute_of_length_zero_ends_the_parsing() -> None:
    assert sockdiag._attributes(struct.pack("=HH", 0, 7) * 3) == {7: b""}
