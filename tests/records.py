# SPDX-License-Identifier: Apache-2.0
"""The record of a trial in which nothing happened, for tests."""

from __future__ import annotations

from lab.job.protocol import PROTOCOL_FORMAT, Record


def record() -> Record:
    return {
        "format": PROTOCOL_FORMAT, "engine": "vm", "status": "ok", "pressure": None,
        "traffic_start_ns": 0, "traffic_end_ns": 0, "kernel": "6.12",
        "versions": {}, "sysctls": {}, "available_congestion_control": [], "flows": [], "interfaces": [],
        "namespaces": [], "counters": {}, "calibration": [], "cpu": {"total_ns": 1, "busy_ns": 0, "processors": 1},
        "collectors": {},
    }  # fmt: skip
