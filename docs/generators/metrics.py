# SPDX-License-Identifier: Apache-2.0
"""The columns of ``metrics.parquet``, from the fields of :class:`lab.analysis.metrics.FlowMetrics`."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import types
import typing

from lab.analysis.metrics import FlowMetrics
from lab.analysis.metrics.probe import Latency

from . import markdown_table, sentences

UNITS = {
    "_bps": "bit/s",
    "_bytes": "bytes",
    "_us": "µs",
    "_s": "s",
    "_segments": "segments",
    "_share": "fraction, 0 to 1",
}
"""Suffix of a column's name → its unit."""

OTHER_UNITS = {
    "declared_loss": "probability",
    "share_of_link": "fraction, 0 to 1",
    "ceiling": "fraction, 0 to 1",
    "retransmits": "segments",
    "retransmitted_share": "fraction, 0 to 1",
    "window_reductions": "count",
    "jain_index": "1/n to 1",
    "jain_index_over_time": "1/n to 1",
    "utilisation": "fraction, 0 to 1",
    "goodput_cv": "ratio",
    "power_bps_per_s": "bit/s²",
    "slow_start_overshoot": "ratio",
    "slowdown_mean": "ratio",
    "slowdown_median": "ratio",
    "slowdown_p95": "ratio",
    "recoveries": "count",
    "harm_goodput": "fraction, at most 1",
    "harm_rtt": "fraction, at most 1",
    "requests": "count",
    "dropped_packets": "packets",
    "marked_packets": "packets",
    "reordering_extent_mean": "datagrams",
    "reordering_extent_max": "datagrams",
}

TEXTS = {
    "kind": "What the row is about: `flow` (one connection of iperf3), `short_flows` (a group of short flows) or "
    "`probe`. A probe's row has only its name, ends, times and latency.",
    "flow": "Name of the flow or probe, such as `bulk`, or `bulk-1` where the experiment asks for several (`count`).",
    "group": "Name of the flow as the experiment declares it. All flows of one `count` share it; the report averages "
    "over them.",
    "congestion_control": "Congestion control, read back from the socket; `udp` for a UDP flow.",
    "source": "Host that sends the data.",
    "destination": "Host that receives the data.",
    "start_s": "Start of the flow as the experiment asks for it, from the start of traffic, start jitter included.",
    "duration_s": "Duration of the flow as the experiment asks for it.",
    "measured_from_s": "Start of the flow's [measured window](#the-measured-window), from the start of traffic. Null "
    "if it contains no part of the flow, such as a period of on-off traffic.",
    "measured_to_s": "End of the flow's measured window, from the start of traffic. Null as before.",
    "goodput_bps": "Payload that arrived at the receiver, without further copies of packets, divided by the flow's own "
    "time (RFC 5166 calls this goodput). It covers the measured window: without one, the flow's declared time, slow "
    "start included.",
    "goodput_interval_s": "The flow's own time, by which goodput is divided: from the first packet to the last one.",
    "goodput_bytes": "Payload that arrived at the receiver, without further copies of packets.",
    "acked_bps": "Payload that was acknowledged, from the `tcp_probe` trace.",
    "sender_bps": "Payload that left the sender for the first time, over the time from its first packet to its last.",
    "bottleneck_bps": "Declared rate of the bottleneck, which is the link with the lowest rate at the time on the "
    "flow's path. If the rate changes within the measured window, this is the mean.",
    "declared_loss": "Probability that a data packet is lost at random on its way, as the experiment declares it for "
    "the start of traffic.",
    "declared_rtt_us": "Sum of the declared propagation delays along the path, both ways, at the start of traffic.",
    "queue_bytes": "Limit of the bottleneck's queue when the flow starts. A limit in packets is counted in packets of "
    "full size. Null if there is no limit or no queue.",
    "share_of_link": "`goodput_bps` divided by `bottleneck_bps`. Headers keep it below `ceiling`.",
    "ceiling": "Largest possible `share_of_link`: the payload's share of a full frame, 1448/1514 for IPv4 and an MTU "
    "of 1500.",
    "retransmits": "Retransmitted segments (`tcp_info`: total_retrans). If the measured window is only a part of the "
    "flow's time, those that left the sender within it. Null for UDP.",
    "retransmitted_share": "Retransmitted segments as a fraction of all data segments sent (`tcp_info`: total_retrans "
    "/ data_segs_out). If the measured window is only a part of the flow's time, of those that left the sender within "
    "it.",
    "window_reductions": "How often the sender lowered ssthresh below cwnd, from the trace. This is a lower bound. "
    "Null for BBR, to which ssthresh means nothing.",
    "base_rtt_us": "Base RTT: the lowest round-trip time that the path can have. If it changes within the "
    "measured window, this is the mean.",
    "min_rtt_us": "Smallest round-trip time that the sender's kernel saw (`tcp_info`). Always of the whole flow.",
    "srtt_mean_us": "Smoothed RTT of the sender (RFC 6298): mean over time.",
    "srtt_median_us": "Smoothed RTT: median over time.",
    "srtt_p95_us": "Smoothed RTT: 95th percentile over time.",
    "srtt_max_us": "Smoothed RTT: largest value.",
    "dropped_packets": "Packets with the flow's data, or of its handshake, that the kernel dropped on their way.",
    "marked_packets": "Packets that arrived with the ECN mark Congestion Experienced (RFC 3168).",
    "queueing_delay_mean_us": "Mean time that packets of any flow waited in the queues on the path of the flow's data. "
    "Null if no queue is on the path.",
    "queueing_delay_p95_us": "95th percentile of the time that packets waited in these queues.",
    "srtt_inflation_mean_us": "Smoothed RTT minus the base RTT at the same time: mean over time.",
    "srtt_inflation_p95_us": "Smoothed RTT minus the base RTT at the same time: 95th percentile over time.",
    "cwnd_mean_segments": "Congestion window: mean over time.",
    "busy_s": "Time during which the sender had data to send or in flight (`tcp_info`). Always of the whole flow.",
    "rwnd_limited_share": "Part of the busy time in which the receiver's window was the limit (`tcp_info`). "
    "Always of the whole flow.",
    "sndbuf_limited_share": "Part of the busy time in which the send buffer was the limit (`tcp_info`). Always "
    "of the whole flow.",
    "jain_index": "Jain's fairness index of the goodput of all TCP flows with the same bottleneck, in the same "
    "direction; short flows are excluded. Null if there is only one such flow.",
    "fct_median_us": "For short flows that started in the measured window: median of the completion times. Flows that "
    "did not complete are left out.",
    "fct_p95_us": "For short flows that started in the measured window: 95th percentile of the completion times.",
    "datagrams_lost_share": "For a UDP flow: fraction of its packets of which no copy reached the receiver. If the "
    "measured window is only a part of the flow's time, of those that left the sender within it.",
    "jitter_mean_us": "For a UDP flow: mean of the [interarrival jitter](#jitter-and-reordering) J of RFC 3550 over "
    "the datagrams that arrived.",
    "jitter_last_us": "For a UDP flow: the interarrival jitter J after the last datagram in the measured window. "
    "iperf3 reports this value at the end of a test.",
    "reordered_share": "For a UDP flow: [reordered datagrams](#jitter-and-reordering) as a fraction of those that "
    "arrived (RFC 4737), without further copies.",
    "reordering_extent_mean": "For a UDP flow: mean [extent](#jitter-and-reordering) of the reordered datagrams (RFC "
    "4737). Null if none was reordered.",
    "reordering_extent_max": "For a UDP flow: largest extent of a reordered datagram. Null if none was reordered.",
    "cpu_busy_share": "Part of the traffic's time in which the processor that ran the whole topology was busy. Always "
    "of the whole trial.",
}
"""Column → its meaning, where a reader needs more than the field's docstring."""


def table(_what: str) -> str:
    """The table of all columns that every experiment has."""
    rows = []
    columns = [(family, field) for family in (FlowMetrics, Latency) for field in dataclasses.fields(family)]
    for family, field in columns:
        docstrings, hints = _docstrings(family), typing.get_type_hints(family)
        text = TEXTS.get(field.name) or sentences(docstrings.get(field.name, "")).replace("None ", "Null ")
        if not text:
            raise SystemExit(
                f"{family.__name__}.{field.name} has no docstring, and docs/generators/metrics.py no text for it"
            )
        rows.append((f"`{field.name}`", _type(hints[field.name]), _unit(field.name), text))
    return markdown_table(("Column", "Type", "Unit", "Meaning"), rows)


def _docstrings(cls: type) -> dict[str, str]:
    """Field → the text below it in the source, for all families of fields that the class inherits."""
    found: dict[str, str] = {}
    for base in cls.__mro__:
        if dataclasses.is_dataclass(base):
            found |= _docstrings_in(base)
    return found


def _docstrings_in(cls: type) -> dict[str, str]:
    (definition,) = ast.parse(inspect.getsource(cls)).body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for field, below in zip(definition.body, definition.body[1:], strict=False):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            found[field.target.id] = str(below.value.value)
    return found


def _type(hint: object) -> str:
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    name = {str: "text", int: "integer", float: "float"}[kinds[0]]
    return f"{name} or null" if types.NoneType in kinds else name


def _unit(name: str) -> str:
    if name in OTHER_UNITS:
        return OTHER_UNITS[name]
    return next((unit for suffix, unit in UNITS.items() if name.endswith(suffix)), "")
