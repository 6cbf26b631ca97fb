# SPDX-License-Identifier: Apache-2.0
"""How long before its declared start a flow must begin to open its connections."""

from __future__ import annotations

import math

from lab.job.network import mean_loss, route
from lab.job.protocol import Flow, Job

_CLIENT_START_NS = 15_000_000
"""The time that an iperf3 client and its server need to start and to open their connections, without the path's delays,
in nanoseconds.  All clients together share one processor."""

_HANDSHAKE_RETRY_NS = 1_000_000_000
"""The first timeout for a SYN without an answer (TCP_TIMEOUT_INIT in include/net/tcp.h), in nanoseconds."""

_BUSY_RETRIES = 3
"""How many SYNs may be lost in the queues that earlier flows have filled."""

_MOST_RETRIES = 30
_LATE_HANDSHAKES = 0.001
"""The share of handshakes that may take longer."""


def lead_ns(job: Job, flow: Flow, measured_rtt_ns: int) -> int:
    """Return how long before its start the flow's iperf3 client must be started, in nanoseconds.

    This is enough for the handshake of the data connection, which travels on the experiment's path and may be lost
    there, and for the start of all clients.  ``measured_rtt_ns`` is the round-trip time before traffic, or 0.
    """
    clients = sum(other["arrivals"] is None for other in job["flows"])
    hops = (*route(job, flow["source"], flow["destination"]), *route(job, flow["destination"], flow["source"]))
    links = [hop.direction["netem"] for hop in hops]
    declared_rtt_ns = sum(
        netem["delay_ns"] + (netem["jitter"]["spread_ns"] if netem["jitter"] else 0) for netem in links if netem
    )
    lead = max(declared_rtt_ns, measured_rtt_ns) * 3 // 2 + clients * _CLIENT_START_NS
    if flow["protocol"] == "udp":
        return lead
    retries = _BUSY_RETRIES if any(other["start_ns"] < flow["start_ns"] - lead for other in job["flows"]) else 0
    arrives = math.prod(1.0 - mean_loss(netem) for netem in links)
    if 0 < arrives < 1:
        retries = max(retries, math.ceil(math.log(_LATE_HANDSHAKES) / math.log(1 - arrives)))
    return lead + min(retries, _MOST_RETRIES) * _HANDSHAKE_RETRY_NS
