# SPDX-License-Identifier: Apache-2.0
"""The kernel's own counters of a network namespace, as ``nstat`` names them."""

from __future__ import annotations

from pathlib import Path

_PAIRED = ("netstat", "snmp")
"""Each prefix has two lines: names, then values (net/ipv4/proc.c)."""
_PLAIN = ("snmp6",)
"""A name and a value to a line (net/ipv6/proc.c)."""

_NOT_COUNTERS = {"TcpRtoAlgorithm", "TcpRtoMin", "TcpRtoMax", "TcpMaxConn", "TcpCurrEstab", "IpForwarding"}
_NOT_COUNTERS |= {"IpDefaultTTL"}


def read_counters() -> dict[str, int]:
    """Return ``TcpRetransSegs``, ``TcpExtTCPTimeouts`` … of the calling thread's namespace."""
    found: dict[str, int] = {}
    # Not /proc/net, which is the process's and not the thread's.
    folder = Path("/proc/thread-self/net")
    for name in _PAIRED:
        lines = (folder / name).read_text(encoding="ascii").splitlines()
        for names, values in zip(lines[::2], lines[1::2], strict=True):
            prefix, *keys = names.split()
            found |= {prefix.rstrip(":") + key: int(value) for key, value in zip(keys, values.split()[1:], strict=True)}
    for name in _PLAIN:
        if (folder / name).exists():
            lines = (folder / name).read_text(encoding="ascii").splitlines()
            found |= {key: int(value) for key, value in (line.split() for line in lines)}
    return {name: value for name, value in found.items() if name not in _NOT_COUNTERS}


def counted_between(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """Return how much each counter grew; those that did not are left out."""
    grown = {name: value - before.get(name, 0) for name, value in after.items()}
    return {name: value for name, value in sorted(grown.items()) if value}
