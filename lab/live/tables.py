# SPDX-License-Identifier: Apache-2.0
"""The tables that ``lab trace`` prints, one line per event.

The columns of each collector are those of the well-known tool that it corresponds to (bcc's tools, tcpprobe).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass

from lab.job.tcpprobe import endpoint
from lab.live.events import Row
from lab.live.timestamps import date_text, seconds_text


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    title: str
    width: int
    """The width in characters; a negative number means that the column is aligned to the left."""
    value: Callable[[Row], str]
    """Returns the text of the cell for an event."""


FLAGS = (("U", 0x20), ("A", 0x10), ("P", 0x08), ("R", 0x04), ("S", 0x02), ("F", 0x01), ("E", 0x40), ("C", 0x80))
"""The TCP flags (URG, ACK, PSH, RST, SYN, FIN, then ECE and CWR) as pairs of letter and bit."""


def _text(name: str) -> Callable[[Row], str]:
    return lambda row: str(row[name])


def _hex(name: str) -> Callable[[Row], str]:
    return lambda row: f"{row[name]:#x}"


def time_text(kind: str, time_ns: int) -> str:
    """Return a time as tables show it; *kind* is one of :data:`lab.live.timestamps.KINDS`."""
    return date_text(time_ns) if kind == "wall" else seconds_text(time_ns)


def _time_column(kind: str) -> Column:
    title, width = {"start": ("TIME(s)", 12), "boot": ("TIME(s)", 16), "wall": ("TIME", -32)}[kind]
    return Column(title, width, lambda row: time_text(kind, row["time_ns"]))


def _milliseconds(name: str) -> Callable[[Row], str]:
    return lambda row: f"{row[name] / 1e6:.3f}"


def _sojourn(row: Row) -> str:
    return "" if row["sojourn_ns"] is None else f"{row['sojourn_ns'] / 1e6:.3f}"


def _kilobytes(name: str) -> Callable[[Row], str]:
    return lambda row: f"{row[name] / 1024:.0f}"


def _flag(bit: int, letter: str) -> Callable[[Row], str]:
    return lambda row: letter if row["flags"] & bit else "."


def _local(row: Row) -> str:
    return endpoint(row["saddr"], row["sport"])


def _remote(row: Row) -> str:
    return endpoint(row["daddr"], row["dport"])


def _version(row: Row) -> str:
    return "6" if ipaddress.ip_address(row["saddr"]).version == 6 else "4"


TIME = _time_column("start")
_ENDS = (
    Column("LADDR", -16, _text("saddr")),
    Column("LPORT", 5, _text("sport")),
    Column("RADDR", -16, _text("daddr")),
    Column("RPORT", 5, _text("dport")),
)

_PAIR = (Column("SOURCE", -21, _local), Column("DESTINATION", -21, _remote))
_PROCESS = (Column("PID", -8, _text("pid")), Column("COMM", -12, _text("comm")))
_SKADDR = Column("SKADDR", -16, lambda row: f"{row['skaddr']:x}")

TABLES: dict[str, tuple[Column, ...]] = {
    "tcp_probe": (
        TIME,
        *_PAIR,
        Column("LEN", 6, _text("data_len")),
        Column("SND_NXT", 10, _hex("snd_nxt")),
        Column("SND_UNA", 10, _hex("snd_una")),
        Column("CWND", 6, _text("snd_cwnd")),
        Column("SSTHRESH", 10, _text("ssthresh")),
        Column("SND_WND", 9, _text("snd_wnd")),
        Column("SRTT", 8, _text("srtt_us")),
        Column("RCV_WND", 9, _text("rcv_wnd")),
        Column("CC", -8, _text("ca_name")),
        Column("STATE", -8, _text("ca_state")),
    ),
    "flow": (
        *_PROCESS,
        Column("RX_KB", 8, _kilobytes("rx_bytes")),
        Column("TX_KB", 8, _kilobytes("tx_bytes")),
        Column("RXSUM_KB", 10, _kilobytes("rx_total_bytes")),
        Column("TXSUM_KB", 10, _kilobytes("tx_total_bytes")),
        Column("SUM_KB", 10, lambda row: f"{(row['rx_total_bytes'] + row['tx_total_bytes']) / 1024:.0f}"),
        Column("LADDR", -21, _local),
        Column("RADDR", -21, _remote),
    ),
    "life": (
        *_PROCESS,
        *_ENDS,
        Column("TX_KB", 8, _kilobytes("tx_bytes")),
        Column("RX_KB", 8, _kilobytes("rx_bytes")),
        Column("MS", 10, lambda row: f"{row['duration_ns'] / 1e6:.2f}"),
    ),
    "states": (
        TIME,
        _SKADDR,
        Column("C-PID", 7, _text("pid")),
        Column("C-COMM", -12, _text("comm")),
        *_ENDS,
        Column("OLDSTATE", -12, _text("oldstate")),
        Column("-> NEWSTATE", -14, lambda row: f"-> {row['newstate']}"),
        Column("MS", 10, _milliseconds("duration_ns")),
    ),
    "retrans": (
        TIME,
        Column("IP", 2, _version),
        Column("LADDR:LPORT", -21, _local),
        Column("T>", -2, lambda row: "L>" if row["kind"] == "tlp" else "R>"),
        Column("RADDR:RPORT", -21, _remote),
        Column("SEQ", 10, _text("seq")),
        Column("LEN", 6, lambda row: str(row["end_seq"] - row["seq"] & 0xFFFFFFFF)),
        Column("STATE", -12, _text("state")),
        Column("KIND", -8, _text("kind")),
        Column("CA", -8, _text("ca_state")),
    ),
    "resets": (
        TIME,
        Column("LADDR:LPORT", -21, _local),
        Column("RADDR:RPORT", -21, _remote),
        Column("WAS", -8, _text("is_sent")),
        Column("STATE", -12, _text("state")),
        Column("REASON", -20, _text("reason")),
    ),
    "destroy": (TIME, _SKADDR, *_ENDS),
    "packets": (
        TIME,
        *_PAIR,
        Column("SEQ", 10, _text("seq")),
        Column("ACK", 10, _text("ack")),
        Column("WIN", 6, _text("window")),
        Column("LEN", 6, _text("length")),
        *(Column(letter, 1, _flag(bit, letter)) for letter, bit in FLAGS),
    ),
    "drops": (
        TIME,
        *_PAIR,
        Column("SEQ", 10, _text("seq")),
        Column("LEN", 6, _text("length")),
        Column("INTERFACE", -12, _text("interface")),
        Column("CAUSE", -14, _text("cause")),
        Column("REASON", -20, _text("reason")),
        Column("FUNCTION", -20, _text("location")),
    ),
    "queue": (
        TIME,
        Column("INTERFACE", -12, _text("interface")),
        Column("KIND", -8, _text("kind")),
        Column("BYTES", 9, _text("backlog_bytes")),
        Column("PACKETS", 8, _text("backlog_packets")),
        Column("DROPS", 8, _text("drops")),
        Column("REQUEUES", 8, _text("requeues")),
        Column("MARKS", 8, _text("marks")),
        Column("SOJOURN_MS", 10, _sojourn),
    ),
}


def table_of(collector: str, timestamps: str | None) -> tuple[Column, ...]:
    """Return the columns of the collector's table with times of the kind *timestamps*.

    With None, times are relative to the start, and a table that has none (``life``) stays so.
    """
    columns = TABLES[collector]
    if timestamps is None:
        return columns
    return (_time_column(timestamps), *(column for column in columns if column is not TIME))


def heading(columns: tuple[Column, ...]) -> str:
    """Return the heading line of a table."""
    return " ".join(_cell(column.title, column.width) for column in columns).rstrip()


def line(columns: tuple[Column, ...], row: Row) -> str:
    """Return the line of a table for one event."""
    return " ".join(_cell(column.value(row), column.width) for column in columns).rstrip()


def _cell(text: str, width: int) -> str:
    return text.ljust(-width) if width < 0 else text.rjust(width)
