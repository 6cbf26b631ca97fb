# SPDX-License-Identifier: Apache-2.0
"""Classify drops of packets: derive a cause that matters to experimenters from the kernel's reason and the place.

This module is also copied into the guest and used by live tracing.  It therefore uses only the standard library and
imports nothing else from ``lab``.
"""

from __future__ import annotations

import re
from collections.abc import Collection

CAUSES = (
    "random_loss",
    "queue_overflow",
    "aqm",
    "receive_buffer",
    "checksum",
    "no_route",
    "firewall",
    "other",
)
"""The causes of drops.

``random_loss``: declared loss, by netem.  ``queue_overflow``: a queue was full (tail drop).  ``aqm``: a queueing
discipline with active queue management decided to drop the packet.  ``receive_buffer``: a socket had no memory for it.
``checksum``: its checksum was wrong.  ``no_route``: there was no route or no link-layer address for it.  ``firewall``:
a packet filter, BPF program or IPsec policy dropped it.  ``other``: only the kernel's reason and function are known.
"""

_FIFOS = frozenset({"bfifo", "pfifo", "pfifo_fast", "fq", "codel", "fq_codel", "sfq"})
"""Queueing disciplines that refuse an arriving packet only when they are full.

They include codel and fq_codel, whose active queue management drops packets only when they are dequeued.
"""

_REASONS = {
    "QDISC_OVERLIMIT": "queue_overflow",
    "QDISC_BAND_LIMIT": "queue_overflow",
    "QDISC_FLOW_LIMIT": "queue_overflow",
    "FQ_BAND_LIMIT": "queue_overflow",
    "FQ_FLOW_LIMIT": "queue_overflow",
    "FQ_HORIZON_LIMIT": "queue_overflow",
    "CPU_BACKLOG": "queue_overflow",
    "FULL_RING": "queue_overflow",
    "QDISC_CONGESTED": "aqm",
    "CAKE_FLOOD": "aqm",
    "SOCKET_RCVBUFF": "receive_buffer",
    "SOCKET_BACKLOG": "receive_buffer",
    "PROTO_MEM": "receive_buffer",
    "TCP_OFO_QUEUE_PRUNE": "receive_buffer",
    "NETFILTER_DROP": "firewall",
    "SOCKET_FILTER": "firewall",
    "BPF_CGROUP_EGRESS": "firewall",
    "TC_INGRESS": "firewall",
    "TC_EGRESS": "firewall",
    "XDP": "firewall",
    "XFRM_POLICY": "firewall",
    "IP_INNOROUTES": "no_route",
    "IP_OUTNOROUTES": "no_route",
    "IP_RPFILTER": "no_route",
    "NEIGH_FAILED": "no_route",
    "NEIGH_QUEUEFULL": "no_route",
    "NEIGH_DEAD": "no_route",
}


_LINK_PROGRAMS = {"TC_INGRESS": "random_loss", "TC_EGRESS": "queue_overflow"}
"""The causes of drops by a trial's own BPF classifiers.

At the ingress they drop packets whose loss is declared, at the egress packets that do not fit in the queue of a link
with a capacity file.
"""

_MANAGES_QUEUE = re.compile(r"codel|(^|_)(cake|pie|red|sfb|choke)_")
"""Names of functions in net/sched by which active queue management drops packets from the queue."""


def cause_of(reason: str, location: str, qdiscs: Collection[str]) -> str:
    """Return the cause of a drop, one of :data:`CAUSES`.

    ``reason`` is the kernel's reason (``enum skb_drop_reason``, without its prefix).  ``location`` is the function that
    dropped the packet, with its module as in ``/proc/kallsyms``.  ``qdiscs`` are the kinds of the queueing disciplines
    of the packet's interface; they include ``clsact`` only if the trial itself has installed it.
    """
    if "clsact" in qdiscs and reason in _LINK_PROGRAMS:
        return _LINK_PROGRAMS[reason]
    if reason in _REASONS:
        return _REASONS[reason]
    if reason.endswith("_CSUM"):
        return "checksum"
    if reason == "QDISC_DROP":
        return _refused_by(qdiscs)
    # The discipline itself freed the packet when it dequeued it.  A discipline that is built into the kernel is
    # recognised by the name of the function, because its location names no module.
    if "[sch_netem]" in location:
        return "random_loss"
    if "[sch_" in location or _MANAGES_QUEUE.search(location):
        return "aqm"
    return "other"


def _refused_by(qdiscs: Collection[str]) -> str:
    """Return the cause of a drop when a packet was refused by a queue, from the queueing disciplines of the interface.

    Up to Linux 6.13 the kernel's reason does not say which discipline refused the packet, or why.
    """
    queues = [kind for kind in qdiscs if kind not in ("tbf", "htb", "ingress", "clsact", "noqueue", "mq")]
    if "netem" in queues:
        return "random_loss"
    if not queues or _FIFOS & set(queues):
        return "queue_overflow"
    return "aqm"
