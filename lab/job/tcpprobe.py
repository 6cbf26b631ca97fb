# SPDX-License-Identifier: Apache-2.0
"""The text format of the kernel's former tcpprobe module, which many gnuplot scripts read.

Source: tcpprobe_sprint(), net/ipv4/tcp_probe.c, up to Linux 4.15:
``"%lu.%09lu %pISpc %pISpc %d %#x %#x %u %u %u %u %u\\n"``: time, source, destination, length, snd_nxt, snd_una,
snd_cwnd, ssthresh, snd_wnd, srtt, rcv_wnd.  The module measured time from the moment when it was loaded.

Live tracing and the export of results use this module.  It therefore uses only the standard library and imports nothing
else from ``lab``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

COLUMNS = (
    "time_ns",
    "saddr",
    "sport",
    "daddr",
    "dport",
    "data_len",
    "snd_nxt",
    "snd_una",
    "snd_cwnd",
    "ssthresh",
    "snd_wnd",
    "srtt_us",
    "rcv_wnd",
)
"""The columns of the collector ``tcp_probe`` that :func:`tcpprobe_line` needs."""


def tcpprobe_line(row: Mapping[str, Any]) -> str:
    """Return the line for a row of the collector ``tcp_probe``, without a newline at its end."""
    seconds, nanoseconds = divmod(row["time_ns"], 1_000_000_000)
    return (
        f"{seconds}.{nanoseconds:09d} {endpoint(row['saddr'], row['sport'])} {endpoint(row['daddr'], row['dport'])} "
        f"{row['data_len']} {row['snd_nxt']:#x} {row['snd_una']:#x} {row['snd_cwnd']} {row['ssthresh']} "
        f"{row['snd_wnd']} {row['srtt_us']} {row['rcv_wnd']}"
    )


def endpoint(address: str, port: int) -> str:
    """Return an address and port as the kernel's ``%pISpc`` prints them: ``10.0.0.1:80`` or ``[fd00::1]:80``."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
