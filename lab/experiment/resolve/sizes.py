# SPDX-License-Identifier: Apache-2.0
"""Compute bandwidth-delay products and queue limits from the rates and delays of links.  This module does no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from lab.experiment.schema.links import Queue
from lab.job.protocol import ETHERNET_HEADER_BYTES
from lab.units import QueueLimit

__all__ = ["QueueSize", "bdp_bytes", "frame_bytes", "queue_size"]

_ONE_BDP = QueueLimit("bdp", Fraction(1))

# The default limits of the kernel, from net/sched/sch_{codel,fq_codel,fq,pie,fq_pie,sfq}.c.  They are given to tc
# explicitly, so that a trial's job contains the limits it ran with.
_KERNEL_LIMIT_PACKETS = {"codel": 1000, "fq_codel": 10240, "fq": 10000, "pie": 1000, "fq_pie": 10240, "sfq": 127}
_IN_BYTES = frozenset({"bfifo", "red", "cake"})
"""Disciplines whose limit is in bytes.

The limit of cake is called memlimit; the kernel derives it from the rate if none is given.
"""


@dataclass(frozen=True)
class QueueSize:
    """The limit of a queue, in bytes or in packets, depending on its discipline.

    One of the two fields is None; both are None if the kernel chooses the limit.
    """

    limit_bytes: int | None
    limit_packets: int | None


def frame_bytes(mtu: int) -> int:
    """Return the size of a full-size packet as ``tc`` counts it: with its Ethernet header, in bytes."""
    return mtu + ETHERNET_HEADER_BYTES


def bdp_bytes(rate_bps: int, rtt_ns: int) -> int:
    """Return the bandwidth-delay product in bytes, rounded up."""
    return ceil(_bdp(rate_bps, rtt_ns))


def queue_size(queue: Queue, rate_bps: int, rtt_ns: int, mtu: int) -> QueueSize:
    """Return the limit of a queue in front of a link of ``rate_bps`` on a path with a base RTT of ``rtt_ns``.

    A limit in bytes is rounded up, so that 1bdp holds the whole BDP; a limit in packets is rounded down, so that the
    queue does not hold more than declared.  A limit of less than one packet results in 0 packets or in fewer bytes than
    a packet has, which :mod:`lab.experiment.check.links` refuses.
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
