# SPDX-License-Identifier: Apache-2.0
"""Every collector there is: where it hooks in, and how much room its events get."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

HookKind = Literal["tracepoint", "function", "return"]


@dataclass(frozen=True)
class Hook:
    """A place in the kernel, and the program of ``bpf/<collector>.bpf.c`` that runs there."""

    program: str
    kind: HookKind
    """``function``: when it is entered (fentry); ``return``: when it returns (fexit)."""
    targets: tuple[str, ...]
    """The names it has had, newest last; the first that the running kernel has is taken."""
    option: str | None = None
    """Only attached when the collector is asked for this."""
    is_sample: bool = False
    """It takes measurements, of which some may be missing, rather than events."""
    is_interruptible: bool = False
    """An interrupt may come to this place while a process is there: a second program records it (interrupted.bpf.c)."""
    is_second: bool = False
    """It is that second program."""
    required: bool = True
    """Without it, the collector cannot work; otherwise it only knows less."""

    @property
    def programs(self) -> tuple[Hook, ...]:
        """The hook, and that of its second program if it needs one."""
        if not self.is_interruptible:
            return (self,)
        return self, replace(self, program=f"{self.program}_within", is_second=True)


@dataclass(frozen=True)
class Collector:
    name: str
    hooks: tuple[Hook, ...]
    ring_bytes: int
    """Room for events between two readings, which happen several times a second; 0: it has no events."""
    memory: tuple[str, ...] = ()
    """Maps in which it remembers; emptied before it starts."""
    names: tuple[tuple[str, str], ...] = ()
    """Field → the enum whose enumerators its values are: one of :mod:`names`'s, or of the kernel's types."""


def _tracepoint(program: str, name: str, *, is_interruptible: bool = True) -> Hook:
    return Hook(program, "tracepoint", (name,), is_interruptible=is_interruptible)


_ALL = (
    Collector(
        "tcp_probe",
        (
            _tracepoint("tcp_probe_receive", "tcp_probe"),
            Hook("tcp_probe_transmit", "function", ("__tcp_transmit_skb",), option="transmit", is_interruptible=True),
        ),
        32 << 20,
        memory=("tcp_probe_last_window",),
        names=(("ca_state", "tcp_ca_state"), ("ca_mode", "bbr_mode"), ("is_transmit", "direction")),
    ),
    Collector(
        "flow",
        (
            Hook("flow_sent", "return", ("tcp_sendmsg",)),
            Hook("flow_received", "function", ("tcp_cleanup_rbuf",)),
        ),
        0,
        memory=("flow_totals",),
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
            Hook("packets_ipv4", "function", ("tcp_v4_rcv",)),
            Hook("packets_ipv6", "function", ("tcp_v6_rcv",)),
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
        # Under the queue's lock, with interrupts of the network off.
        (
            _tracepoint("queue_enqueue", "qdisc_enqueue", is_interruptible=False),
            _tracepoint("queue_dequeue", "qdisc_dequeue", is_interruptible=False),
        ),
        16 << 20,
        memory=("queue_states", "queue_waiting"),
        names=(("kind", "queue_sample"),),
    ),
)

COLLECTORS = {collector.name: collector for collector in _ALL}

PRIVATE_TYPES = ("tcp_bbr", "tcp_cubic", "tcp_vegas")
"""Modules whose own structures ``probe`` looks into, where the kernel describes them."""


PLACES = [hook.program for one in _ALL for hook in one.hooks if hook.is_interruptible]
"""The first programs at places where an interrupt may come, by number."""


def hooks_of(collectors: Sequence[str]) -> list[Hook]:
    return [hook for name in collectors for hook in COLLECTORS[name].hooks]
