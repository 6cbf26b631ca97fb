# SPDX-License-Identifier: Apache-2.0
"""The list of all collectors: their hooks in the kernel and the sizes of their buffers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

HookKind = Literal["tracepoint", "function", "return"]


@dataclass(frozen=True)
class Hook:
    """A tracepoint or function in the kernel, and the program of ``bpf/<collector>.bpf.c`` that runs there."""

    program: str
    kind: HookKind
    """Where the program runs: at a tracepoint, when a function is entered (``function``, attached with fentry) or when
    it returns (``return``, attached with fexit)."""
    targets: tuple[str, ...]
    """The names of the tracepoint or function in different kernel versions, newest last; the first one that the running
    kernel has is used."""
    option: str | None = None
    """The collector's option that needs this hook; None if the hook is always attached."""
    is_sample: bool = False
    """Whether the program takes sample measurements, some of which may be missed, rather than recording every event."""
    is_interruptible: bool = False
    """Whether an interrupt handler may reach the hook while its program is running for a process.  The kernel does not
    run the program within itself, so it is loaded twice, and the second one records such events
    (bpf/interrupted.bpf.c)."""
    is_second: bool = False
    """Whether this is the hook of such a second program."""
    required: bool = True
    """Whether the collector (or its option) cannot work without this hook; if not, it only records less."""

    @property
    def programs(self) -> tuple[Hook, ...]:
        """The hook itself and, if it is interruptible, the hook of its second program."""
        if not self.is_interruptible:
            return (self,)
        return self, replace(self, is_second=True)


@dataclass(frozen=True)
class Collector:
    """The hooks, buffer and maps of one collector."""

    name: str
    hooks: tuple[Hook, ...]
    ring_bytes: int
    """Size of the ring buffer, which must hold the events between two readings (the buffer is read several times a
    second); 0 if the collector writes no events."""
    follows: tuple[str, ...] = ()
    """Source files whose functions its programs call, in the order in which they are compiled."""
    memory: tuple[str, ...] = ()
    """Maps in which the collector keeps state between events; they are emptied before it starts."""
    names: tuple[tuple[str, str], ...] = ()
    """Pairs of a field and the enum that names its values: one of :data:`lab.agent.collectors.names.ENUMS`, or an enum
    of the kernel."""


def _tracepoint(program: str, name: str, *, is_interruptible: bool = True) -> Hook:
    return Hook(program, "tracepoint", (name,), is_interruptible=is_interruptible)


_ALL = (
    Collector(
        "tcp_probe",
        (
            _tracepoint("tcp_probe_receive", "tcp_probe"),
            Hook("tcp_probe_transmit", "function", ("__tcp_transmit_skb",), option="transmit", is_interruptible=True),
            Hook("tcp_probe_timeout", "tracepoint", ("tcp_retransmit_skb",), option="timeouts", is_interruptible=True),
        ),
        32 << 20,
        memory=("tcp_probe_last_window",),
        names=(("ca_state", "tcp_ca_state"), ("ca_mode", "bbr_mode"), ("is_transmit", "direction")),
    ),
    Collector(
        "flow",
        (
            Hook("flow_sent", "return", ("tcp_sendmsg",)),
            Hook("flow_sent_page", "return", ("tcp_sendpage",), required=False),
            Hook("flow_begins", "function", ("tcp_recvmsg",), required=False),
            Hook("flow_received", "function", ("tcp_cleanup_rbuf",)),
        ),
        0,
        memory=("flow_totals", "flow_read"),
    ),
    Collector(
        "life", (_tracepoint("life_change", "inet_sock_set_state"),), 1 << 20, memory=("life_birth", "life_owners")
    ),
    Collector(
        "states",
        (_tracepoint("states_change", "inet_sock_set_state"),),
        1 << 20,
        memory=("states_since",),
        names=(("oldstate", "tcp_state"), ("newstate", "tcp_state")),
    ),
    Collector(
        "retrans",
        (
            _tracepoint("retrans_segment", "tcp_retransmit_skb"),
            _tracepoint("retrans_synack", "tcp_retransmit_synack"),
        ),
        4 << 20,
        names=(("state", "tcp_state"), ("ca_state", "tcp_ca_state"), ("kind", "retransmission")),
    ),
    Collector(
        "resets",
        (_tracepoint("resets_sent", "tcp_send_reset"), _tracepoint("resets_received", "tcp_receive_reset")),
        1 << 20,
        names=(("state", "tcp_state"), ("reason", "sk_rst_reason"), ("is_sent", "reset")),
    ),
    Collector("destroy", (_tracepoint("destroy_socket", "tcp_destroy_sock"),), 1 << 20),
    Collector(
        "packets",
        (
            Hook("packets_received", "function", ("tcp_v4_rcv",)),
            Hook("packets_received", "function", ("tcp_v6_rcv",)),
        ),
        16 << 20,
    ),
    Collector(
        "drops",
        (
            _tracepoint("drops_packet", "kfree_skb"),
            Hook("drops_dev_queue_xmit", "function", ("__dev_queue_xmit",), option="latency", is_sample=True),
            Hook("drops_net_dev_xmit", "tracepoint", ("net_dev_xmit",), option="latency", is_sample=True),
            Hook("drops_eth_type_trans", "function", ("eth_type_trans",), option="latency", is_sample=True),
            Hook(
                "drops_gro_receive",
                "function",
                ("napi_gro_receive", "gro_receive_skb"),
                option="latency",
                is_sample=True,
                required=False,
            ),
            Hook("drops_netif_receive", "tracepoint", ("netif_receive_skb",), option="latency", is_sample=True),
            Hook("drops_consumed", "tracepoint", ("consume_skb",), option="latency", is_sample=True),
            Hook("drops_tcp_receive", "function", ("tcp_v4_rcv",), option="latency", is_sample=True),
        ),
        8 << 20,
        memory=("drops_last_seen", "drops_latency"),
        names=(("reason", "skb_drop_reason"),),
    ),
    Collector(
        "queue",
        # At enqueue and dequeue, the kernel holds the qdisc's lock, with network interrupts (softirqs) disabled, so
        # that none can arrive while one of these programs runs.
        (
            _tracepoint("queue_before", "net_dev_queue"),
            _tracepoint("queue_enqueue", "qdisc_enqueue", is_interruptible=False),
            _tracepoint("queue_dequeue", "qdisc_dequeue", is_interruptible=False),
        ),
        16 << 20,
        memory=("queue_states", "queue_waiting"),
        names=(("kind", "queue_sample"),),
    ),
)

_ALWAYS = (
    Collector(
        "accounts",
        (
            _tracepoint("accounts_received", "tcp_probe"),
            Hook("accounts_arrived", "function", ("tcp_v4_rcv",), option="by_function"),
            Hook("accounts_arrived", "function", ("tcp_v6_rcv",), option="by_function"),
            Hook("accounts_arrived", "function", ("udp_rcv",), option="by_function"),
            Hook("accounts_arrived", "function", ("udpv6_rcv",), option="by_function"),
            Hook("accounts_enter", "tracepoint", ("netif_receive_skb",), option="by_interface", is_interruptible=True),
        ),
        8 << 20,
        follows=("flows", "control", "datagrams"),
        memory=("flows_connections", "flows_by_port"),
        names=(("side", "accounts_side"),),
    ),
    Collector(
        "backlog",
        # As for the collector `queue`, no interrupt can arrive while one of these programs runs.
        (
            _tracepoint("backlog_enqueue", "qdisc_enqueue", is_interruptible=False),
            _tracepoint("backlog_dequeue", "qdisc_dequeue", is_interruptible=False),
        ),
        4 << 20,
        memory=("backlog_states", "backlog_places"),
    ),
    Collector(
        "losses",
        (_tracepoint("losses_packet", "kfree_skb"),),
        1 << 20,
        follows=("flows", "control", "datagrams", "accounts"),
        memory=("losses_bins",),
        names=(("reason", "skb_drop_reason"), ("way", "way")),
    ),
    Collector(
        "sockets",
        (_tracepoint("sockets_end", "inet_sock_set_state"),),
        1 << 20,
        follows=("flows", "control", "datagrams", "accounts"),
        names=(("oldstate", "tcp_state"), ("newstate", "tcp_state")),
    ),
)

COLLECTORS = {collector.name: collector for collector in _ALL}
"""The collectors that an experiment or a user can ask for."""

RECORDERS = COLLECTORS | {collector.name: collector for collector in _ALWAYS}
"""All of them, with those that run in every trial."""

ALWAYS = tuple(collector.name for collector in _ALWAYS)

PRIVATE_TYPES = ("tcp_bbr", "tcp_cubic", "tcp_dctcp", "tcp_vegas")
"""Modules whose private structures ``tcp_probe`` reads, if the kernel has type information about them."""


PLACES = [hook.program for collector in RECORDERS.values() for hook in collector.hooks if hook.is_interruptible]
"""The programs of all interruptible hooks.  The index of a program is its number in the BPF programs."""
