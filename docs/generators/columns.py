# SPDX-License-Identifier: Apache-2.0
"""The columns of each collector's Parquet file, from the events in ``bpf/events.h`` and the units in ``lab/store``."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lab.agent.collectors.registry import RECORDERS
from lab.job.bpf_sources import BPF_SOURCES
from lab.store.rows import ADDRESS_FIELDS, COLUMN_UNITS, TEXT_FIELDS

from . import markdown_table, require

EVENTS = BPF_SOURCES / "events.h"
_STRUCT = re.compile(r"struct (\w+)_event \{\n(.*?)\n\};", re.DOTALL)
_FIELD = re.compile(r"^\tu(\d+) (\w+)(?:\[\d+\])?;", re.MULTILINE)

Column = tuple[str, str]
"""Name, and ``text`` or how many bits an unsigned integer has."""

WITHOUT_EVENTS: dict[str, tuple[Column, ...]] = {
    "flow": (
        ("ts_ns", "64"),
        ("tx_bytes", "64"),
        ("rx_bytes", "64"),
        ("tx_total_bytes", "64"),
        ("rx_total_bytes", "64"),
        ("saddr", "8"),
        ("daddr", "8"),
        ("comm", "8"),
        ("pid", "32"),
        ("netns", "32"),
        ("sport", "16"),
        ("dport", "16"),
        ("family", "16"),
    ),
    "drops_latency": (("from", "text"), ("to", "text"), ("at_least_ns", "64"), ("packets", "64")),
    "latency": (("ts_ns", "64"), ("rtt_ns", "64"), ("probe", "text")),
    "completions": (
        ("ts_ns", "64"),
        ("fct_ns", "64"),
        ("connect_ns", "64"),
        ("bytes", "64"),
        ("group", "text"),
        ("number", "32"),
        ("retransmissions", "32"),
        ("sport", "16"),
    ),
}
"""Files whose rows are made by the agent rather than by a BPF program."""

COMMON = {"time_ns", "saddr", "sport", "daddr", "dport", "family", "node", "interface", "flow", "end"}
"""Columns that one paragraph explains for all collectors."""

TEXTS = {
    "ack": "Acknowledgement number.",
    "at_least_ns": "Lower bound of the histogram's bucket; the upper bound is twice as much.",
    "backlog_bytes": "Bytes in the queue.",
    "backlog_packets": "Packets in the queue.",
    "bytes": "Bytes that the receiver read.",
    "ca_bandwidth": "BBR: its estimate of the bottleneck's bandwidth. 0 for other algorithms.",
    "ca_gain": "BBR: its pacing gain, in units of 1/256. 0 for other algorithms.",
    "ca_k_ms": "CUBIC: K, the time until the window reaches W_max again (RFC 9438). 0 for other algorithms.",
    "ca_min_rtt_us": "BBR: its min_rtt. Vegas: its baseRTT. 0 for other algorithms.",
    "ca_alpha": "DCTCP: its alpha, the fraction of marked data (RFC 8257), in units of 1/1024. 0 for other algorithms.",
    "ca_mode": "BBR: Startup, Drain, ProbeBW or ProbeRTT. Null for other algorithms.",
    "ca_name": "Congestion control of the socket.",
    "ca_state": "State of the kernel's loss recovery: Open, Disorder, CWR, Recovery or Loss.",
    "ca_window_max": "CUBIC: W_max (RFC 9438). 0 for other algorithms.",
    "cause": "Why the packet was dropped, in an experimenter's words; see below.",
    "comm": "Name of the process.",
    "completions.number": "Number of the flow within its group.",
    "connect_ns": "Time from the start of the flow until the connection was established; 0 if it never was.",
    "data_len": "Payload of the segment. A segment that is sent may be cut into several later (GSO).",
    "datagram": "iperf3's number of the datagram, for the flows of an experiment that are UDP; null for other packets. "
    "`lab trace` leaves this column out.",
    "delivery_rate": "Delivery rate, as `ss` shows it.",
    "drops": "Packets that the queue has dropped.",
    "drops.length": "Payload, for TCP and UDP.",
    "drops.seq": "Sequence number, for TCP.",
    "duration_ns": "How long the connection lasted.",
    "ecn": "ECN field of the IP header.",
    "end_seq": "End of the retransmitted range; 0 for a SYN-ACK.",
    "ether_type": "EtherType, as a number.",
    "fct_ns": "Flow completion time: from the start of the flow, handshake included, until the receiver had the last "
    "byte; 0 if that never happened.",
    "flags": "TCP flags.",
    "flow.comm": "Name of the thread that sent or read. A process whose threads have different names has several rows.",
    "from": "Place where the packet was before.",
    "group": "Name of the flow in the experiment.",
    "is_sent": "`sent` or `received`.",
    "is_transmit": "`receive` for a segment that arrived, `transmit` for one that was sent, `timeout` for one that was "
    "sent again after a retransmission timeout.",
    "kind": "`fast` (in Recovery), `timeout` (in Loss, or of a SYN), `tlp` (a tail loss probe), `synack` or `other`.",
    "length": "Payload.",
    "location": "Function in the kernel that dropped the packet.",
    "lost_out": "Segments that the kernel takes for lost.",
    "mark": "Mark of the socket (SO_MARK).",
    "marks": "Packets that came without a CE mark and left with one.",
    "min_rtt_us": "Smallest round-trip time within the kernel's window.",
    "mss": "Maximum segment size.",
    "newstate": "State after the change.",
    "oldstate": "State before the change.",
    "packet_bytes": "Size of the packet where it was dropped.",
    "packets": "Packets in this bucket.",
    "packets_out": "Segments sent and not yet acknowledged cumulatively.",
    "pacing_rate": "Pacing rate, as `ss` shows it.",
    "pid": "Process.",
    "probe": "Name of the probe in the experiment.",
    "protocol": "Protocol of the IP header, as a number.",
    "queue.kind": "`interval` (a sample), `enqueue` or `dequeue`.",
    "queue.packet_bytes": "Size of the packet that entered or left; 0 for a sample.",
    "rcv_wnd": "Receive window that the socket offers.",
    "rcvbuf": "Size of the receive buffer.",
    "reason": "Kernel's reason (`enum skb_drop_reason`).",
    "requeues": "Packets that were put back into the queue.",
    "resets.reason": "Kernel's reason (`enum sk_rst_reason`), where it gives one (since Linux 6.10).",
    "resets.state": "State of the socket; none if the segment belonged to no socket.",
    "retrans_out": "Retransmitted segments in flight.",
    "retransmissions": "Segments that the sender retransmitted.",
    "rmem_alloc": "Memory of the receive buffer in use.",
    "rtt_ns": "Time from the request to its answer; 0 if no answer came.",
    "rx_bytes": "Bytes that the process took out of the receive queue in the interval.",
    "rx_total_bytes": "Bytes that the process has taken out of the receive queue since the start.",
    "life.rx_bytes": "Bytes received, as the kernel counts them: SYN and FIN are one each.",
    "life.tx_bytes": "Bytes that the other end acknowledged, as the kernel counts them: SYN and FIN are one each.",
    "sacked_out": "Segments that were acknowledged selectively.",
    "seq": "Sequence number; for a retransmission, of the first byte (0 for a SYN-ACK).",
    "skaddr": "Address of the socket in the kernel.",
    "resets.skaddr": "Address of the socket in the kernel; 0 if the segment belonged to no socket.",
    "snd_cwnd": "Congestion window.",
    "snd_nxt": "Next sequence number to be sent.",
    "snd_una": "First sequence number that is not acknowledged.",
    "snd_wnd": "Send window: the receive window that the other end offers.",
    "sndbuf": "Size of the send buffer.",
    "sock_cookie": "Number that no other socket gets.",
    "sojourn_ns": "With `every_packet`: how long the packet that left was in the queue.",
    "srtt_us": "Smoothed round-trip time (RFC 6298).",
    "ssthresh": "Slow-start threshold, as the kernel reports it (`tcp_current_ssthresh()`): outside of the states CWR "
    "and Recovery, it is at least ¾ of cwnd. What a reduction has set is in the rows of those two states.",
    "state": "State of the connection.",
    "states.duration_ns": "How long the connection was in the old state; 0 if not known.",
    "states.comm": "Name of the thread that ran. For a segment that arrives it can be any thread.",
    "states.pid": "Thread that ran. For a segment that arrives it can be any thread.",
    "life.comm": "Name of the process that opened or closed the connection.",
    "life.pid": "Process that opened or closed the connection.",
    "to": "Place where the packet is now.",
    "total_retrans": "Segments retransmitted since the connection began.",
    "tx_bytes": "Bytes that tcp_sendmsg() accepted from the process in the interval.",
    "tx_total_bytes": "Bytes that tcp_sendmsg() has accepted from the process since the start.",
    "accounts.bytes": "Payload of these packets; delivered: what the receiver's TCP delivered in order.",
    "backlog.length_ns": "Length of the time that the row covers: 10 ms, or more if the queue did not change.",
    "backlog.byte_ns": "Integral of the length in bytes over this time. Divided by `length_ns`, the mean length.",
    "backlog.packet_ns": "The same in packets.",
    "backlog.most_bytes": "Largest number of bytes in the queue.",
    "backlog.most_packets": "Largest number of packets in the queue.",
    "backlog.end_bytes": "Bytes in the queue at the end of this time.",
    "backlog.entered_packets": "Packets that entered the queue.",
    "backlog.left_packets": "Packets that left the queue.",
    "backlog.removed_bytes": "By how many bytes the queue became shorter, because packets left or were dropped.",
    "losses.packets": "Packets that were dropped.",
    "losses.bytes": "Payload of these packets.",
    "losses.way": "`forward`: the flow's data; `backward`: their acknowledgements.",
    "accounts.packets": "Packets; 0 if delivered.",
    "again_bytes": "Part of `bytes` that was sent again or had arrived before.",
    "again_packets": "Part of `packets` that was sent again or had arrived before.",
    "bytes_acked": "Payload that the other end has acknowledged, the SYN included.",
    "bytes_received": "Payload that was received in order.",
    "bytes_retrans": "Payload that was retransmitted.",
    "bytes_sent": "Payload that was sent, retransmissions included.",
    "ce_packets": "Part of `packets` that had the mark Congestion Experienced.",
    "chrono_busy": "Time with data to send, without the times in the next two columns and that in `chrono_start`.",
    "chrono_rwnd_limited": "Time during which the receive window was the limit.",
    "chrono_sndbuf_limited": "Time during which the send buffer was the limit.",
    "chrono_start": "When the current one of these times began.",
    "chrono_type": "Which of these times is running: 1, 2 or 3; 0: none.",
    "data_segs_in": "Segments with payload that arrived.",
    "data_segs_out": "Segments with payload that were sent.",
    "delivered": "Segments that reached the other end, as far as the sender knows.",
    "delivered_ce": "Segments among them whose acknowledgements echoed a mark.",
    "dsack_dups": "Segments that the other end reported as duplicates (DSACK).",
    "fin_timeout": "The sysctl tcp_fin_timeout, which tells how long a jiffy is.",
    "is_sender": "1 at the end that sends the flow's data.",
    "jiffies": "The kernel's count of timer ticks.",
    "min_rtt": "Smallest round-trip time within the kernel's window.",
    "rcv_ooopack": "Segments that arrived out of order.",
    "reord_seen": "How often the sender saw reordering.",
    "reordering": "Distance of reordering that the sender tolerates.",
    "rtt": "Smoothed round-trip time.",
    "rttvar": "Mean deviation of the round-trip time.",
    "segs_in": "Segments that arrived.",
    "segs_out": "Segments that were sent.",
    "side": "Where and in which direction: `sent`, `arrived` and `delivered` are the flow's data; `sent_backward` "
    "and `arrived_backward` are their acknowledgements.",
    "snd_mss": "Maximum segment size.",
    "snd_ssthresh": "Slow-start threshold.",
    "unacked": "Segments in flight.",
    "window": "Window field of the header.",
    "wmem_queued": "Memory of the send buffer in use.",
}
"""Column, or ``collector.column`` where it means something else there → its meaning."""


def require_all(names: Iterable[str]) -> None:
    """End with a message unless every file of rows has a part in some page."""
    require("the columns", [*RECORDERS, *WITHOUT_EVENTS], names)


def table(name: str) -> str:
    """The table of one file's columns, but for those that all files share."""
    events = {struct: _FIELD.findall(body) for struct, body in _STRUCT.findall(EVENTS.read_text(encoding="utf-8"))}
    if name in WITHOUT_EVENTS:
        columns = list(WITHOUT_EVENTS[name])
    else:
        columns = [(column, bits) for bits, column in events[name]]
    named = {field for field, _enum in RECORDERS[name].names} if _is_collector(name) else set()
    rows = []
    for column, bits in columns:
        if column in COMMON or column in ("ts_ns", "netns", "ifindex") or column.startswith("unused"):
            continue
        is_text = bits == "text" or column in (*ADDRESS_FIELDS, *TEXT_FIELDS, "location") or column in named
        unit = "" if is_text else COLUMN_UNITS.get(column, "")
        rows.append((f"`{column}`", "text" if is_text else f"uint{bits}", unit, _text(name, column)))
    if name == "drops":
        rows.append(("`cause`", "text", "", _text(name, "cause")))
    return markdown_table(("Column", "Type", "Unit or values", "Meaning"), rows)


def _is_collector(name: str) -> bool:
    return name not in ("drops_latency", "latency", "completions")


def _text(name: str, column: str) -> str:
    found = TEXTS.get(f"{name}.{column}") or TEXTS.get(column)
    if found is None:
        raise SystemExit(f"docs/generators/columns.py has no text for the column {column} of {name}")
    return found
