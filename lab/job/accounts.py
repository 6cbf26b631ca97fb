# SPDX-License-Identifier: Apache-2.0
"""The part of a record (:mod:`lab.job.protocol`) that says what the kernel saw of each flow.

Times are in nanoseconds since the start of traffic, and sizes in bytes.
"""

from __future__ import annotations

from typing import TypedDict


class AccountTotal(TypedDict):
    """Packets that a flow sent, or that arrived of it."""

    packets: int
    bytes: int
    """Payload, in bytes, including ``again_bytes``."""
    again_packets: int
    """Where packets are sent: retransmissions.  Where they arrive: further copies of packets that had arrived."""
    again_bytes: int
    ce_packets: int
    """Packets with the mark Congestion Experienced (RFC 3168)."""
    first_ns: int | None
    """When the first packet with payload was counted, since the start of traffic; None if there was none."""
    last_ns: int | None
    first_bytes: int
    """The payload of this first packet."""


class Account(TypedDict):
    """What was counted of a flow at one of its ends."""

    all: AccountTotal
    declared: AccountTotal
    """What was counted within the flow's declared time only, which is from ``start_ns`` for ``duration_ns``."""
    measured: AccountTotal
    """What was counted within the flow's measured window only."""
    frame_bytes: int
    """The size of all packets in bytes, as ``tc`` counts it; 0 where packets arrive."""


class DatagramCounts(TypedDict):
    """What the kernel counted of a UDP flow's datagrams; further copies are left out."""

    left: int
    """The number of datagrams that left the sender within the flow's measured window."""
    left_arrived: int
    """The number of those that arrived, whether within the window or later."""
    arrived: int
    """The number of datagrams that arrived within the measured window and whose time of departure is known."""
    reordered: int
    """The number of those that arrived after a datagram with a higher number (RFC 4737, Type-P-Reordered)."""
    extents: int
    """The number of reordered datagrams whose extent is known."""
    extent_sum: int
    """The sum of their extents (RFC 4737, section 4.2.1).

    The extent of a reordered datagram is how many datagrams arrived after the first one with a higher number, itself
    included.
    """
    extent_max: int
    jitter_sum_ns: int
    """The sum of the interarrival jitter (RFC 3550, section 6.4.1) after each of them, in nanoseconds."""
    jitter_last_ns: int
    """The interarrival jitter after the last one of them, in nanoseconds."""


class SocketEnd(TypedDict):
    """What the socket of a data connection had counted when the connection ended."""

    at_ns: int
    is_sender: bool
    is_last: bool
    """True: the socket was closed; False: its connection left the state ESTABLISHED."""
    local_port: int
    remote_port: int
    congestion_control: str
    tcp_info: dict[str, int]


class FlowAccounts(TypedDict):
    """What the kernel saw of a flow."""

    sides: dict[str, Account]
    """``sent``: where the data leave the sender; ``arrived``: where they reach the receiver's transport protocol;

    ``sent_backward`` and ``arrived_backward``: the same for their acknowledgements; ``delivered``: what the receiver's
    TCP delivered in order.
    """
    datagrams: DatagramCounts | None
    """None for TCP."""
    sockets: list[SocketEnd]
