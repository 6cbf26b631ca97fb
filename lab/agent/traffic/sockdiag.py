# SPDX-License-Identifier: Apache-2.0
"""Read the state of TCP sockets from the kernel with NETLINK_SOCK_DIAG, as ``ss -ti`` does.

``ss`` itself is not used.
Starting a process takes about ten million instructions, which would disturb a trial on its single virtual processor.
Sources: include/uapi/linux/inet_diag.h, include/uapi/linux/tcp.h, include/uapi/linux/sock_diag.h.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from dataclasses import dataclass

from lab.agent.topology.netns import network_namespace

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST_DUMP = 0x1 | 0x300
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_INET_DIAG_INFO, _INET_DIAG_CONG = 2, 4
_LISTEN_BIT, _ESTABLISHED_BIT = 1 << 10, 1 << 1
_ALL_BUT_LISTEN = 0xFFF & ~_LISTEN_BIT

_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBBxI48s")
_MESSAGE = struct.Struct("=BBBB48sIIIII")
_ATTRIBUTE = struct.Struct("=HH")

# These are the fields of struct tcp_info up to tcpi_rcv_wnd.  An older kernel that has fewer fields sends fewer bytes.
_TCP_INFO: tuple[tuple[str, str], ...] = (
    *((name, "B") for name in ("state", "ca_state", "retransmits", "probes", "backoff", "options", "wscale", "flags")),
    *(
        (name, "I")
        for name in (
            "rto", "ato", "snd_mss", "rcv_mss", "unacked", "sacked", "lost", "retrans", "fackets", "last_data_sent",
            "last_ack_sent", "last_data_recv", "last_ack_recv", "pmtu", "rcv_ssthresh", "rtt", "rttvar",
            "snd_ssthresh", "snd_cwnd", "advmss", "reordering", "rcv_rtt", "rcv_space", "total_retrans",
        )
    ),
    *((name, "Q") for name in ("pacing_rate", "max_pacing_rate", "bytes_acked", "bytes_received")),
    *((name, "I") for name in ("segs_out", "segs_in", "notsent_bytes", "min_rtt", "data_segs_in", "data_segs_out")),
    *((name, "Q") for name in ("delivery_rate", "busy_time", "rwnd_limited", "sndbuf_limited")),
    *((name, "I") for name in ("delivered", "delivered_ce")),
    *((name, "Q") for name in ("bytes_sent", "bytes_retrans")),
    *((name, "I") for name in ("dsack_dups", "reord_seen", "rcv_ooopack", "snd_wnd", "rcv_wnd")),
)  # fmt: skip


@dataclass(frozen=True)
class Socket:
    """One TCP socket and its state."""

    local_address: str
    local_port: int
    remote_address: str
    remote_port: int
    congestion_control: str
    info: dict[str, int]
    """``struct tcp_info`` by field name, without the prefix ``tcpi_``; times in µs (``last_*`` in ms), rates in
    bytes/s."""


class SocketDiagnostics:
    """A netlink socket that lists the TCP sockets in the network namespace of process ``pid``."""

    def __init__(self, pid: int, ip: str) -> None:
        self._family = socket.AF_INET6 if ip == "ipv6" else socket.AF_INET
        with network_namespace(pid):
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG)
        self._socket.settimeout(10)

    def close(self) -> None:
        self._socket.close()

    def connections(self) -> list[Socket]:
        """Return all TCP sockets of the namespace that are not listening."""
        return self._dump(_ALL_BUT_LISTEN)

    def listening_ports(self) -> set[int]:
        """Return the ports on which a TCP socket listens.

        IPv6 sockets are included even in an IPv4 network, because a dual-stack server listens on ``::``.
        """
        ports = {found.local_port for found in self._dump(_LISTEN_BIT, socket.AF_INET)}
        return ports | {found.local_port for found in self._dump(_LISTEN_BIT, socket.AF_INET6)}

    def _dump(self, states: int, family: int | None = None) -> list[Socket]:
        extensions = 1 << (_INET_DIAG_INFO - 1) | 1 << (_INET_DIAG_CONG - 1)
        body = _REQUEST.pack(family or self._family, socket.IPPROTO_TCP, extensions, states, bytes(48))
        self._socket.send(
            _HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST_DUMP, 1, 0) + body
        )
        found: list[Socket] = []
        while True:
            data = self._socket.recv(1 << 18)
            offset = 0
            while offset < len(data):
                length, kind, _flags, _sequence, _port = _HEADER.unpack_from(data, offset)
                if kind == _NLMSG_DONE:
                    return found
                payload = data[offset + _HEADER.size : offset + length]
                if kind == _NLMSG_ERROR:
                    number = -struct.unpack_from("=i", payload)[0]
                    raise OSError(number, "sock_diag")
                found.append(_parse(payload))
                offset += (length + 3) & ~3


def _parse(payload: bytes) -> Socket:
    family, _state, _timer, _retrans, identity = _MESSAGE.unpack_from(payload)[:5]
    local_port, remote_port = struct.unpack_from(">HH", identity)
    width = 16 if family == socket.AF_INET6 else 4
    local, remote = identity[4 : 4 + width], identity[20 : 20 + width]
    attributes = _attributes(payload[_MESSAGE.size :])
    return Socket(
        local_address=str(ipaddress.ip_address(local)),
        local_port=local_port,
        remote_address=str(ipaddress.ip_address(remote)),
        remote_port=remote_port,
        congestion_control=attributes.get(_INET_DIAG_CONG, b"").rstrip(b"\0").decode("ascii"),
        info=parse_tcp_info(attributes.get(_INET_DIAG_INFO, b"")),
    )


def _attributes(data: bytes) -> dict[int, bytes]:
    result, offset = {}, 0
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        result[kind] = data[offset + _ATTRIBUTE.size : offset + length]
        offset += max((length + 3) & ~3, _ATTRIBUTE.size)
    return result


def parse_tcp_info(data: bytes) -> dict[str, int]:
    """Return field name → value of a ``struct tcp_info``; fields that a shorter struct lacks are left out."""
    result, offset = {}, 0
    for name, code in _TCP_INFO:
        size = struct.calcsize(code)
        offset = (offset + size - 1) // size * size
        if offset + size > len(data):
            break
        (result[name],) = struct.unpack_from("=" + code, data, offset)
        offset += size
    return result
