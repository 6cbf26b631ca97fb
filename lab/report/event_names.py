# SPDX-License-Identifier: Apache-2.0
"""The names of retransmissions and drops in figures, charts and captions."""

from __future__ import annotations

RETRANSMISSIONS = {
    "fast": "fast retransmit",
    "timeout": "timeout",
    "tlp": "tail loss probe",
    "synack": "SYN-ACK retransmit",
    "other": "other retransmission",
}
"""Kind of a retransmission → its label."""
DROPS = {
    "random_loss": "random loss",
    "queue_overflow": "queue overflow",
    "aqm": "dropped by AQM",
    "receive_buffer": "receive buffer full",
    "checksum": "bad checksum",
    "no_route": "no route",
    "firewall": "firewall",
}
"""Cause of a drop → its label.  ``other`` is left out: it is mostly packets for connections that are closed."""
MAX_MARKED = 4
"""If a row has more flows than this, their curves have no markers, because they could not be distinguished."""
