# SPDX-License-Identifier: Apache-2.0
"""Jobs on a dumbbell with two pairs of hosts or on other networks, and what the kernel counted in them."""

from __future__ import annotations

from typing import Any

from lab.experiment.check.validate import validate
from lab.job import kernels
from lab.job.protocol import FlowResult, Job, Record
from lab.plan.plan import make_plan


def job(kernel: str, flows: dict[str, Any], link: dict[str, Any], duration: str = "4s", **fields: Any) -> Job:
    document = {
        "name": "test",
        "topology": {"kind": "dumbbell", "pairs": 2, "bottleneck": {"rate": "20mbit", "delay": "10ms", **link}},
        "flows": flows,
        "duration": duration,
        "engine": "uml" if kernel in kernels.UML else "vm",
        "kernel": kernel,
        **fields,
    }
    (trial,) = make_plan(validate(document)).trials
    return trial.job


def flow(record: Record, name: str) -> FlowResult:
    assert record["status"] == "ok", record.get("error")
    return next(found for found in record["flows"] if found["name"] == name)


def job_on(topology: dict[str, Any], source: str = "s1", destination: str = "d1", ip: str = "ipv4") -> Job:
    """Return a job on *topology*, whose flow is never started by scripts that only build its network."""
    flows = {"bulk": {"from": source, "to": destination}}
    document = {"name": "test", "topology": topology, "flows": flows, "duration": "10s", "ip": ip, "seed": 5}
    (trial,) = make_plan(validate(document)).trials
    return trial.job
