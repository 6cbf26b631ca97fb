# SPDX-License-Identifier: Apache-2.0
"""The traffic that all simulators carry: TCP flows between two hosts, over a chain of routers.

With one link between the routers, the chain is the dumbbell of ``experiments/cubic_vs_bbr.yaml``, without loss.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import Any

from benchmarks.measure import shipped_plan
from lab.job.protocol import Job

DELAY_NS = 20_000_000
"""The one-way delay of the whole path."""
FIRST_LINK = "link1"
"""The name of the first link between routers, which is the bottleneck."""
FIRST_ROUTER, SECOND_ROUTER = "r1", "r2"
"""The names of the routers at its ends, in the direction of the data."""


@dataclass(frozen=True)
class Scenario:
    """The traffic of one run."""

    rate_mbit: int
    flows: int
    duration_s: float
    links: int = 1
    """The number of links between routers.

    They all have the same rate and queue, and share the delay equally.
    """
    algorithm: str = "cubic"

    @property
    def rate_bps(self) -> int:
        return self.rate_mbit * 1_000_000

    @property
    def queue_bytes(self) -> int:
        """The limit of each queue, which is the BDP of the path."""
        return self.rate_bps * 2 * DELAY_NS // 8_000_000_000


def job_of(scenario: Scenario, kernel: str) -> Job:
    """Return the scenario as a job of lab, with every ACK recorded as in the experiment."""
    given = [
        "engine=uml",
        "repeat=1",
        "matrix={}",
        "start_jitter=0ms",
        f"duration={round(scenario.duration_s * 1000)}ms",
        f"flows.bulk.cc={scenario.algorithm}",
        f"flows.bulk.count={scenario.flows}",
        # A document in JSON is one in YAML as well.
        f"topology={json.dumps(_topology(scenario))}",
    ]
    (trial,) = shipped_plan(*given).trials
    return {**trial.job, "kernel": kernel}


def _topology(scenario: Scenario) -> dict[str, Any]:
    routers = [f"r{number}" for number in range(1, scenario.links + 2)]
    settings = {
        "rate": f"{scenario.rate_mbit}mbit",
        "delay": f"{DELAY_NS // scenario.links}ns",
        "queue": {"discipline": "bfifo", "limit": f"{scenario.queue_bytes}B"},
    }
    links: dict[str, Any] = {"left": {"from": "s1", "to": routers[0]}}
    for number, (left, right) in enumerate(itertools.pairwise(routers), start=1):
        links[f"link{number}"] = {"from": left, "to": right, **settings}
    links["right"] = {"from": routers[-1], "to": "d1"}
    nodes = {"s1": "host", "d1": "host", **dict.fromkeys(routers, "router")}
    return {"kind": "custom", "nodes": nodes, "links": links}
