# SPDX-License-Identifier: Apache-2.0
"""Change the record of a real trial as known pitfalls of testbeds would, and test that the right check reports it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab.analysis.checks.judge import judge, verdict
from lab.analysis.measured import MeasuredTrial
from lab.evaluation.trial import measure
from lab.job.protocol import InterfaceResult, Job, Record
from lab.store.run import create_run
from lab.store.trial import TrialIdentity
from tests.conftest import job_of

pytestmark = pytest.mark.vm


@pytest.fixture(scope="module")
def trial(run_job: Callable[[Job], Path], tmp_path_factory: pytest.TempPathFactory) -> MeasuredTrial:
    job = job_of("duration=5s", loss="0.1%")
    run = create_run(tmp_path_factory.mktemp("results"), "planted", b"", {"trials": [{"id": "t"}]})
    identity = TrialIdentity(id="t", cell={}, repetition=1, seed=1, job_digest="0" * 64)
    return measure(run.put_trial(identity, job, run_job(job)))


def planted(trial: MeasuredTrial, change: Callable[[Record], None]) -> dict[str, str]:
    """Change the trial's record and return check id → verdict for all checks whose verdict is not ``ok``."""
    record = copy.deepcopy(trial.record)
    change(record)
    flows = tuple(
        replace(flow, result=next(found for found in record["flows"] if found["name"] == flow.name))
        for flow in trial.flows
    )
    return {
        check.id: check.verdict for check in judge(replace(trial, record=record, flows=flows)) if check.verdict != "ok"
    }


def interface(record: Record, node: str, role: str, link: str = "bottleneck") -> InterfaceResult:
    (found,) = (one for one in record["interfaces"] if (one["node"], one["role"], one["link"]) == (node, role, link))
    return found


def qdisc(port: InterfaceResult, kind: str) -> dict[str, Any]:
    (found,) = (one for one in port["qdiscs_after"] if one["kind"] == kind)
    return found


def test_the_trial_itself_is_valid(trial: MeasuredTrial) -> None:
    checks = judge(trial)
    assert verdict(checks) == "ok", [check for check in checks if check.verdict != "ok"]
    assert len(checks) >= 15


def offloads_on(record: Record) -> None:
    interface(record, "r1", "egress")["offloads"]["gso"] = True


def other_algorithm(record: Record) -> None:
    record["flows"][0]["congestion_control"] = "reno"


def processor_saturated(record: Record) -> None:
    record["cpu"]["busy_ns"] = record["cpu"]["total_ns"] * 95 // 100


def events_lost(record: Record) -> None:
    record["collectors"]["tcp_probe"]["lost"] = record["collectors"]["tcp_probe"]["rows"]


def receiver_limits(record: Record) -> None:
    info = record["flows"][0]["tcp_info"]
    info["rwnd_limited"] = info["busy_time"] // 2


def sender_limits(record: Record) -> None:
    info = record["flows"][0]["tcp_info"]
    info["sndbuf_limited"] = info["busy_time"] // 2


def metrics_cached(record: Record) -> None:
    record["sysctls"]["net.ipv4.tcp_no_metrics_save"] = "0"


def wrong_rate(record: Record) -> None:
    qdisc(interface(record, "r1", "egress"), "tbf")["options"]["rate"] *= 2


def wrong_delay(record: Record) -> None:
    qdisc(interface(record, "r2", "ingress"), "netem")["options"]["delay"]["delay"] = 0.005


def large_mtu(record: Record) -> None:
    for port in record["interfaces"]:
        port["mtu"] = 9000


@pytest.mark.parametrize(
    ("plant", "check", "expected"),
    [
        (offloads_on, "offloads", "invalid"),
        (other_algorithm, "congestion-control", "invalid"),
        (processor_saturated, "cpu", "invalid"),
        (events_lost, "lost-events", "invalid"),
        (receiver_limits, "receive-window", "invalid"),
        (sender_limits, "send-buffer", "invalid"),
        (metrics_cached, "metrics-cache", "invalid"),
        (wrong_rate, "rate-and-queue", "invalid"),
        (wrong_delay, "delay-and-loss", "invalid"),
        (large_mtu, "mtu", "invalid"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_planted_pitfall_is_caught(
    trial: MeasuredTrial, plant: Callable[[Record], None], check: str, expected: str
) -> None:
    assert planted(trial, plant) == {check: expected}
