# SPDX-License-Identifier: Apache-2.0
"""Read and set properties of interfaces in the calling thread's network namespace, by ioctl and without a process.

Sources: include/uapi/linux/sockios.h, include/uapi/linux/ethtool.h, include/uapi/linux/if.h.
"""

from __future__ import annotations

import ctypes
import fcntl
import socket
import struct

_SIOCETHTOOL = 0x8946
_SIOCGIFMTU = 0x8921
_REQUEST = struct.Struct("16sQ8x")
_MTU_REQUEST = struct.Struct("16si20x")

_READ = {"tso": 0x1E, "gso": 0x23, "gro": 0x2B}
"""Name of an offload → the ethtool command that reads it (ETHTOOL_GTSO, _GGSO, _GGRO); the next number sets it."""


class _EthtoolValue(ctypes.Structure):
    """``struct ethtool_value``."""

    _fields_ = (("cmd", ctypes.c_uint32), ("data", ctypes.c_uint32))


def set_offloads(interface: str, *, on: bool) -> None:
    """Switch TSO, GSO and GRO on or off.

    Raises:
        OSError: The interface does not exist, or does not let an offload be changed.
    """
    with _any_socket() as any_socket:
        for command in _READ.values():
            _ethtool(any_socket, interface, command + 1, int(on))


def read_offloads(interface: str) -> dict[str, bool]:
    """Return the settings of tso, gso and gro."""
    with _any_socket() as any_socket:
        return {name: bool(_ethtool(any_socket, interface, command)) for name, command in _READ.items()}


def read_mtu(interface: str) -> int:
    """Return the size of the largest IP packet, in bytes."""
    with _any_socket() as any_socket:
        request = _MTU_REQUEST.pack(interface.encode(), 0)
        return int(_MTU_REQUEST.unpack(fcntl.ioctl(any_socket, _SIOCGIFMTU, request))[1])


def interface_names() -> dict[int, str]:
    """Return index → name of all interfaces."""
    return dict(socket.if_nameindex())


def _any_socket() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def _ethtool(any_socket: socket.socket, interface: str, command: int, data: int = 0) -> int:
    value = _EthtoolValue(command, data)
    request = _REQUEST.pack(interface.encode(), ctypes.addressof(value))
    try:
        fcntl.ioctl(any_socket, _SIOCETHTOOL, request)
    except OSError as exc:
        raise OSError(exc.errno, f"ethtool command {command:#x} on {interface}: {exc.strerror}") from exc
    return int(value.data)
