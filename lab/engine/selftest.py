# SPDX-License-Identifier: Apache-2.0
"""The short trial that runs in every guest before its snapshot or its first fork.

It tests that the machine works, and it brings programs and libraries into the page cache.
"""

from __future__ import annotations

from typing import Any

from lab.job import kernels
from lab.job.protocol import PROTOCOL_FORMAT, Direction, Flow, Job, Probe

_PLAIN: Direction = {
    "rate_bps": None,
    "queue": None,
    "netem": None,
    "changes": [],
    "capacity": None,
    "lost_packets": [],
}


def _everything() -> dict[str, dict[str, Any]]:
    """Return all collectors with all their options switched on."""
    return {
        "tcp_probe": {"record": "every_ack", "ends": "both", "transmit": True},
        "flow": {"interval": 250_000_000},
        "life": {},
        "states": {},
        "retrans": {},
        "resets": {},
        "destroy": {},
        "packets": {},
        "drops": {"latency": True},
        "queue": {"interval": 10_000_000, "every_packet": True},
    }


def _shaped() -> Direction:
    """Return a link direction with a rate of 10 Mbit/s, a delay of 5 ms and a random loss of 0.1 %."""
    return {
        "rate_bps": 10_000_000,
        "queue": {"discipline": "bfifo", "limit_bytes": 60_000, "limit_packets": None, "parameters": {}},
        "netem": {
            "delay_ns": 5_000_000,
            "jitter": None,
            "loss": {"model": "random", "values": [0.001]},
            "duplicate": 0.0,
            "corrupt": 0.0,
            "reorder": None,
            "limit_packets": 100_000,
            "seed": 1,
        },
        "changes": [],
        "capacity": None,
        "lost_packets": [],
    }


def _flow() -> Flow:
    return {
        "name": "selftest",
        "group": "selftest",
        "source": "s1",
        "destination": "d1",
        "initiator": "source",
        "protocol": "tcp",
        "congestion_control": "cubic",
        "port": 5201,
        "start_ns": 0,
        "duration_ns": 1_000_000_000,
        "limit_bytes": None,
        "rate_bps": None,
        "message_bytes": None,
        "mss_bytes": None,
        "pacing_bps": None,
        "arrivals": None,
        "measured": {"start_ns": 0, "end_ns": 1_000_000_000},
    }


def _probe() -> Probe:
    return {
        "name": "selftest",
        "kind": "tcp",
        "source": "s1",
        "destination": "d1",
        "port": 8201,
        "interval_ns": 100_000_000,
        "start_ns": 0,
        "duration_ns": 500_000_000,
        "request_bytes": 64,
        "response_bytes": 64,
        "measured": {"start_ns": 0, "end_ns": 500_000_000},
    }


def self_test_job() -> Job:
    """Return a job with one CUBIC flow of one second, recorded by all collectors."""
    return {
        "format": PROTOCOL_FORMAT,
        "kernel": kernels.DEFAULT,
        "seed": 1,
        "ip": "ipv4",
        "duration_ns": 1_000_000_000,
        "nodes": [
            {"name": "s1", "role": "host"},
            {"name": "r1", "role": "router"},
            {"name": "r2", "role": "router"},
            {"name": "d1", "role": "host"},
        ],
        "links": [
            {"name": "access-s1", "a": "s1", "b": "r1", "ab": _PLAIN, "ba": _PLAIN},
            {"name": "bottleneck", "a": "r1", "b": "r2", "ab": _shaped(), "ba": _shaped()},
            {"name": "access-d1", "a": "r2", "b": "d1", "ab": _PLAIN, "ba": _PLAIN},
        ],
        "flows": [_flow()],
        "probes": [_probe()],
        "mtu": 1500,
        "offloads": False,
        "ecn": "off",
        "congestion_control_parameters": {},
        "socket_buffer_bytes": 16 << 20,
        "bin_ns": 10_000_000,
        "calibration": {"ping_count": 2},
        "collectors": _everything(),
    }
