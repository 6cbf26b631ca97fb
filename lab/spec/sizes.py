# SPDX-License-Identifier: Apache-2.0
"""What a topology's figures come to: base RTT, bandwidth-delay product, queue sizes.  Pure."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from lab.protocol import ETHERNET_HEADER_BYTES
from lab.spec.models import Bottleneck, Dumbbell, Queue
from lab.units import QueueLimit

__all__ = ["QueueSize", "ReverseLink", "base_rtt_ns", "bdp_bytes", "frame_bytes", "queue_size", "reverse_of"]

_ONE_BDP = QueueLimit("bdp", Fraction(1))

# net/sched/sch_{codel,fq_codel,fq,pie}.c. Written out so that a trial says what it ran with.
_KERNEL_LIMIT_PACKETS = {"codel": 1000, "fq_codel": 10240, "fq": 10000, "pie": 1000}


@dataclass(frozen=True)
class QueueSize:
    """A queue's limit as its discipline counts: exactly one of the two is given."""

    limit_bytes: int | None
    limit_packets: int | None


@dataclass(frozen=True)
class ReverseLink:
    """The bottleneck's direction from the receivers to the senders, every default filled in."""

    rate_bps: int
    delay_ns: int
    loss: float
    queue: Queue


def frame_bytes(mtu: int) -> int:
    """Return what ``tc`` counts for a packet of full size."""
    return mtu + ETHERNET_HEADER_BYTES


def reverse_of(bottleneck: Bottleneck) -> ReverseLink:
    """Return the bottleneck's reverse direction: as forward where the file says nothing, but without loss."""
    reverse = bottleneck.reverse
    return ReverseLink(
        rate_bps=bottleneck.rate if reverse.rate is None else reverse.rate,
        delay_ns=bottleneck.delay if reverse.delay is None else reverse.delay,
        loss=reverse.loss,
        queue=bottleneck.queue if reverse.queue is None else reverse.queue,
    )


def base_rtt_ns(topology: Dumbbell) -> int:
    """Return the propagation delay from a sender to a receiver and back; no queueing, no serialisation."""
    return 4 * topology.access.delay + topology.bottleneck.delay + reverse_of(topology.bottleneck).delay_ns


def bdp_bytes(rate_bps: int, rtt_ns: int) -> int:
    """Return the bandwidth-delay product, rounded up."""
    return ceil(_bdp(rate_bps, rtt_ns))


def queue_size(queue: Queue, rate_bps: int, rtt_ns: int, mtu: int) -> QueueSize:
    """Return the limit of a queue in front of a link of ``rate_bps`` on a path of ``rtt_ns``.

    Bytes are rounded up (1bdp must hold the BDP), packets down (a queue must not hold more than declared); a limit
    that is shorter than one packet comes out as 0 packets or too few bytes, for the checks to refuse.
    """
    limit = queue.limit
    if limit is None and queue.discipline in _KERNEL_LIMIT_PACKETS:
        return QueueSize(None, _KERNEL_LIMIT_PACKETS[queue.discipline])
    exact = _limit_bytes(_ONE_BDP if limit is None else limit, rate_bps, rtt_ns, mtu)
    if queue.discipline == "bfifo":
        return QueueSize(ceil(exact), None)
    return QueueSize(None, ceil(exact) // frame_bytes(mtu))


def _bdp(rate_bps: int, rtt_ns: int) -> Fraction:
    return Fraction(rate_bps * rtt_ns, 8 * 10**9)


def _limit_bytes(limit: QueueLimit, rate_bps: int, rtt_ns: int, mtu: int) -> Fraction:
    match limit.unit:
        case "bdp":
            return limit.amount * _bdp(rate_bps, rtt_ns)
        case "time":
            return _bdp(rate_bps, int(limit.amount))
        case "packets":
            return limit.amount * frame_bytes(mtu)
        case "bytes":
            return limit.amount
