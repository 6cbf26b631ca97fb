# SPDX-License-Identifier: Apache-2.0
"""What a link's figures come to: bandwidth-delay product, queue sizes.  Pure."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from lab.experiment.schema.links import Queue
from lab.job.protocol import ETHERNET_HEADER_BYTES
from lab.units import QueueLimit

__all__ = ["QueueSize", "bdp_bytes", "frame_bytes", "queue_size"]

_ONE_BDP = QueueLimit("bdp", Fraction(1))

# net/sched/sch_{codel,fq_codel,fq,pie,fq_pie,sfq}.c. Written out so that a trial says what it ran with.
_KERNEL_LIMIT_PACKETS = {"codel": 1000, "fq_codel": 10240, "fq": 10000, "pie": 1000, "fq_pie": 10240, "sfq": 127}
_IN_BYTES = frozenset({"bfifo", "red", "cake"})
"""Their limits count bytes; cake's is called memlimit, and the kernel derives it from the rate if none is given."""


@dataclass(frozen=True)
class QueueSize:
    """A queue's limit as its discipline counts: one of the two, or none where the kernel decides."""

    limit_bytes: int | None
    limit_packets: int | None


def frame_bytes(mtu: int) -> int:
    """Return what ``tc`` counts for a packet of full size."""
    return mtu + ETHERNET_HEADER_BYTES


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
    if limit is None and queue.discipline == "cake":
        return QueueSize(None, None)
    exact = _limit_bytes(_ONE_BDP if limit is None else limit, rate_bps, rtt_ns, mtu)
    if queue.discipline in _IN_BYTES:
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
