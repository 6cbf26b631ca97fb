# SPDX-License-Identifier: Apache-2.0
"""Map the numbers in events to names: those of the kernel's enums and functions, and those of ``bpf/events.h``."""

from __future__ import annotations

import bisect
import functools
from collections.abc import Callable, Iterable
from pathlib import Path

ENUMS: dict[str, dict[int, str]] = {
    # bpf/accounts.bpf.c
    "accounts_side": {
        0: "sent",
        1: "arrived",
        2: "sent_backward",
        3: "arrived_backward",
        4: "delivered",
    },
    # bpf/losses.bpf.c
    "way": {0: "forward", 1: "backward"},
    # include/net/tcp_states.h
    "tcp_state": {
        0: "none",
        1: "ESTABLISHED",
        2: "SYN_SENT",
        3: "SYN_RECV",
        4: "FIN_WAIT1",
        5: "FIN_WAIT2",
        6: "TIME_WAIT",
        7: "CLOSE",
        8: "CLOSE_WAIT",
        9: "LAST_ACK",
        10: "LISTEN",
        11: "CLOSING",
        12: "NEW_SYN_RECV",
    },
    # include/uapi/linux/tcp.h
    "tcp_ca_state": {0: "Open", 1: "Disorder", 2: "CWR", 3: "Recovery", 4: "Loss"},
    # net/ipv4/tcp_bbr.c
    "bbr_mode": {0: "Startup", 1: "Drain", 2: "ProbeBW", 3: "ProbeRTT", 255: ""},
    "direction": {0: "receive", 1: "transmit", 2: "timeout"},
    "retransmission": {0: "fast", 1: "timeout", 2: "tlp", 3: "synack", 4: "other"},
    "reset": {0: "received", 1: "sent"},
    "queue_sample": {0: "interval", 1: "enqueue", 2: "dequeue"},
    "drops_stage": {
        1: "dev_queue_xmit",
        2: "net_dev_xmit",
        3: "eth_type_trans",
        4: "napi_gro_receive",
        5: "netif_receive_skb",
        6: "tcp_v4_rcv",
    },
}

_PREFIXES = {"skb_drop_reason": ("SKB_DROP_REASON_", "SKB_"), "sk_rst_reason": ("SK_RST_REASON_",)}


def names_of(enum: str, kernel: Callable[[str], dict[int, str]]) -> dict[int, str]:
    """Return value → name for *enum*; ``kernel`` looks up enums that are not in :data:`ENUMS` in the running kernel."""
    if enum in ENUMS:
        return ENUMS[enum]
    return {value: _short(enum, name) for value, name in kernel(enum).items()}


def _short(enum: str, name: str) -> str:
    for prefix in _PREFIXES.get(enum, ()):
        if name.startswith(prefix):
            return name.removeprefix(prefix)
    return name


def symbols(addresses: Iterable[int]) -> dict[int, str]:
    """Return address → name of the kernel function that contains it; unknown addresses are given in hexadecimal.

    The name of a function in a module is followed by ``[module]``.
    """
    wanted = set(addresses)
    if not wanted:
        return {}
    starts, names = _functions(_modules())
    found = {}
    for address in wanted:
        position = bisect.bisect_right(starts, address) - 1
        # To an unprivileged process, the kernel shows all addresses as 0.
        found[address] = names[position] if position >= 0 and starts[position] else f"{address:#x}"
    return found


def _modules() -> frozenset[str]:
    try:
        lines = Path("/proc/modules").read_text(encoding="ascii").splitlines()
    except FileNotFoundError:  # The kernel is built without support for modules.
        return frozenset()
    return frozenset(line.split(" ", 1)[0] for line in lines)


@functools.lru_cache(maxsize=1)
def _functions(_loaded: frozenset[str]) -> tuple[list[int], list[str]]:
    """Return the start addresses and the names of all kernel functions, sorted by address.

    Reading them is slow, and they change only when a module is loaded or removed, so the result is cached by the set
    of loaded modules.
    """
    functions = []
    with Path("/proc/kallsyms").open(encoding="ascii") as file:
        for line in file:
            start, kind, name = line.rstrip().split(" ", 2)
            if kind in "tTwW":
                functions.append((int(start, 16), name.replace("\t", " ")))
    functions.sort()
    return [start for start, _name in functions], [name for _start, name in functions]
