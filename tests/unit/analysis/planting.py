# SPDX-License-Identifier: Apache-2.0
"""Faults planted in trials that were captured."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from lab.analysis.checks.judge import judge
from lab.analysis.measured import MeasuredTrial, measured_flow
from lab.evaluation.trial import measure
from lab.store.run import Run

Replayed = Callable[[str], Run]


@dataclass
class Parts:
    """What a trial is made of, to be changed."""

    job: Any
    record: Any
    client: dict[str, Any]
    server: dict[str, Any]
    """Of the first flow."""

    def flow(self) -> Any:
        return self.record["flows"][0]

    def info(self) -> Any:
        return self.record["flows"][0]["tcp_info"]

    def port(self, node: str, role: str, link: str = "bottleneck") -> Any:
        ports = self.record["interfaces"]
        return next(port for port in ports if (port["node"], port["role"], port["link"]) == (node, role, link))

    def qdisc(self, node: str, role: str, kind: str) -> Any:
        return next(one for one in self.port(node, role)["qdiscs_after"] if one["kind"] == kind)

    def bottleneck(self) -> Any:
        return next(link for link in self.job["links"] if link["name"] == "bottleneck")["ab"]


Plant = Callable[[Parts], None]


def planted(trial: MeasuredTrial, plant: Plant) -> MeasuredTrial:
    """Return the trial with something changed in its job, its record, or what iperf3 said."""
    first = trial.flows[0]
    parts = Parts(*copy.deepcopy((trial.job, trial.record, first.client, first.server)))
    plant(parts)
    flows = []
    for flow in trial.flows:
        client, server = (parts.client, parts.server) if flow is first else (flow.client, flow.server)
        rest = (client, server, flow.samples, flow.completions, flow.states)
        flows.append(measured_flow(parts.job, parts.record, flow.name, *rest))
    return replace(trial, job=parts.job, record=parts.record, flows=tuple(flows))


def complaints(trial: MeasuredTrial, plant: Plant) -> dict[str, str]:
    """Check id → verdict, of those that are not ok with the plant but were without."""
    before = {check.id: check.verdict for check in judge(trial)}
    after = {check.id: check.verdict for check in judge(planted(trial, plant))}
    return {name: found for name, found in after.items() if found != before.get(name, "ok")}


def trial_of(replayed: Replayed, name: str, trial_id: str) -> MeasuredTrial:
    return measure(replayed(name).trial(trial_id))
