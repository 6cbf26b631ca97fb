# SPDX-License-Identifier: Apache-2.0
"""Small jobs for tests: plain links between the nodes that are named, routers by ``r``, switches by ``w``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from lab.job import kernels
from lab.job.protocol import PROTOCOL_FORMAT, Direction, Job, Link


def plain() -> Direction:
    return {"rate_bps": None, "queue": None, "netem": None, "changes": [], "capacity": None, "lost_packets": []}


def link(a: str, b: str) -> Link:
    return {"name": f"{a}-{b}", "a": a, "b": b, "ab": plain(), "ba": plain()}


def _role(name: str) -> Literal["host", "router", "switch"]:
    return "router" if name.startswith("r") else "switch" if name.startswith("w") else "host"


def job_with(
    nodes: Sequence[str], links: Sequence[tuple[str, str]], ip: Literal["ipv4", "ipv6"] = "ipv4", flows: int = 1
) -> Job:
    """``flows`` flows from the first node to the last."""
    return {
        "format": PROTOCOL_FORMAT,
        "kernel": kernels.DEFAULT,
        "seed": 1,
        "ip": ip,
        "duration_ns": 1_000_000_000,
        "nodes": [{"name": name, "role": _role(name)} for name in nodes],
        "links": [link(a, b) for a, b in links],
        "flows": [
            {
                "name": f"f{number}",
                "group": "f",
                "source": nodes[0],
                "destination": nodes[-1],
                "initiator": "source",
                "protocol": "tcp",
                "congestion_control": "cubic",
                "port": 5201 + number,
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
            for number in range(flows)
        ],
        "probes": [],
        "mtu": 1500,
        "offloads": False,
        "ecn": "off",
        "congestion_control_parameters": {},
        "socket_buffer_bytes": 1 << 24,
        "bin_ns": 10_000_000,
        "calibration": {"ping_count": 2},
        "collectors": {},
    }
