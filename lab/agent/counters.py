# SPDX-License-Identifier: Apache-2.0
"""Read the kernel's protocol counters of a network namespace, under the names that ``nstat`` uses."""

from __future__ import annotations

from pathlib import Path

_PAIRED = ("netstat", "snmp")
"""Files in which each prefix has two lines: the names, then the values (net/ipv4/proc.c)."""
_PLAIN = ("snmp6",)
"""Files in which each line holds one name and its value (net/ipv6/proc.c)."""

_NOT_COUNTERS = {"TcpRtoAlgorithm", "TcpRtoMin", "TcpRtoMax", "TcpMaxConn", "TcpCurrEstab", "IpForwarding"}
_NOT_COUNTERS |= {"IpDefaultTTL"}


def read_counters() -> dict[str, int]:
    """Return the counters (``TcpRetransSegs``, ``TcpExtTCPTimeouts`` …) of the calling thread's network namespace."""
    found: dict[str, int] = {}
    # /proc/net shows the namespace of the process, but only the calling thread has entered the node's namespace.
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
    """Return by how much each counter changed from *before* to *after*; unchanged counters are left out."""
    grown = {name: value - before.get(name, 0) for name, value in after.items()}
    return {name: value for name, value in sorted(grown.items()) if value}
