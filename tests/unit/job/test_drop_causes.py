# SPDX-License-Identifier: Apache-2.0
"""The causes of drops that are derived from the kernel's reasons and places, as Linux 6.12 and 6.18 report them."""

from __future__ import annotations

import pytest

from lab.job.drop_causes import CAUSES, cause_of


@pytest.mark.parametrize(
    ("reason", "location", "qdiscs", "cause"),
    [
        ("QDISC_DROP", "__dev_queue_xmit", ["netem"], "random_loss"),
        ("QDISC_DROP", "__dev_queue_xmit", ["tbf", "bfifo"], "queue_overflow"),
        ("QDISC_DROP", "__dev_queue_xmit", ["tbf", "fq_codel"], "queue_overflow"),
        ("QDISC_DROP", "__dev_queue_xmit", ["tbf", "pie"], "aqm"),
        ("QDISC_DROP", "__dev_queue_xmit", ["htb", "red"], "aqm"),
        ("QDISC_DROP", "__dev_queue_xmit", [], "queue_overflow"),
        ("NOT_SPECIFIED", "__codel_qdisc_dequeue [sch_codel]", ["tbf", "codel"], "aqm"),
        ("NOT_SPECIFIED", "__fq_codel_dequeue", ["tbf", "fq_codel"], "aqm"),
        ("NOT_SPECIFIED", "netem_dequeue [sch_netem]", ["netem"], "random_loss"),
        ("QDISC_OVERLIMIT", "__dev_queue_xmit", ["tbf", "codel"], "queue_overflow"),
        ("QDISC_CONGESTED", "__dev_queue_xmit", ["tbf", "codel"], "aqm"),
        ("SOCKET_RCVBUFF", "tcp_rcv_established", [], "receive_buffer"),
        ("TCP_CSUM", "tcp_v4_rcv", [], "checksum"),
        ("IP_OUTNOROUTES", "ip_output", [], "no_route"),
        ("NETFILTER_DROP", "nf_hook_slow", [], "firewall"),
        ("NO_SOCKET", "tcp_v4_rcv", ["netem"], "other"),
        ("NOT_SPECIFIED", "ip6_mc_input", ["tbf", "bfifo"], "other"),
    ],
)
def test_a_drop_is_called_what_it_was(reason: str, location: str, qdiscs: list[str], cause: str) -> None:
    assert cause in CAUSES
    assert cause_of(reason, location, qdiscs) == cause
