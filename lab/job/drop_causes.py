# SPDX-License-Identifier: Apache-2.0
"""Why a packet was dropped, in an experimenter's words, from the kernel's reason and the place.

Also shipped into the guest and used live: standard library only, no other import from ``lab``.
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
"""``random_loss``: netem's, as declared.  ``queue_overflow``: a queue was full (tail drop).  ``aqm``: a queueing
discipline that manages its queue chose to.  ``other``: see the kernel's reason and function."""

_FIFOS = frozenset({"bfifo", "pfifo", "pfifo_fast", "fq", "codel", "fq_codel", "sfq"})
"""Those that refuse a packet only when they are full; what codel gives up, it gives up when it dequeues."""

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
"""What a trial's own classifiers drop: packets whose loss is declared, and packets that a link with a capacity file
has no room for."""

_MANAGES_QUEUE = re.compile(r"codel|(^|_)(cake|pie|red|sfb|choke)_")
"""Names of functions in net/sched that drop what they have queued."""


def cause_of(reason: str, location: str, qdiscs: Collection[str]) -> str:
    """One of :data:`CAUSES`.

    ``reason`` is the kernel's (``enum skb_drop_reason``, without its prefix), ``location`` the function that dropped,
    with its module as in ``/proc/kallsyms``, ``qdiscs`` the kinds of the queueing disciplines of the packet's
    interface; ``clsact`` among them only if it is a trial's own.
    """
    if "clsact" in qdiscs and reason in _LINK_PROGRAMS:
        return _LINK_PROGRAMS[reason]
    if reason in _REASONS:
        return _REASONS[reason]
    if reason.endswith("_CSUM"):
        return "checksum"
    if reason == "QDISC_DROP":
        return _refused_by(qdiscs)
    # Freed by the discipline itself, on its way out of the queue; some disciplines are no modules.
    if "[sch_netem]" in location:
        return "random_loss"
    if "[sch_" in location or _MANAGES_QUEUE.search(location):
        return "aqm"
    return "other"


def _refused_by(qdiscs: Collection[str]) -> str:
    """Who refused a packet that came to a queue: up to 6.13 the kernel does not say more than that one did."""
    queues = [kind for kind in qdiscs if kind not in ("tbf", "htb", "ingress", "clsact", "noqueue", "mq")]
    if "netem" in queues:
        return "random_loss"
    if not queues or _FIFOS & set(queues):
        return "queue_overflow"
    return "aqm"
