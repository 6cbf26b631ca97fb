# SPDX-License-Identifier: Apache-2.0
"""Checks that look at more than a value read back: traces, amounts, short flows, links that change, other engines."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lab.analysis.checks.judge import judge
from lab.analysis.measured import MeasuredTrial
from tests.unit.analysis.planting import Parts, Plant, Replayed, complaints, planted, trial_of


@pytest.fixture(scope="module")
def trial(replayed: Replayed) -> MeasuredTrial:
    """A CUBIC flow over a bottleneck with 1 % loss."""
    return trial_of(replayed, "everything", "cubic-r1")


@pytest.mark.parametrize("offset", [-1, 1])
def test_a_rate_or_a_delay_within_what_tc_rounds(trial: MeasuredTrial, offset: int) -> None:
    def plant(parts: Parts) -> None:
        parts.qdisc("r1", "egress", "tbf")["options"]["rate"] += offset
        parts.qdisc("r2", "ingress", "netem")["options"]["delay"]["delay"] += offset * 0.9e-6

    assert complaints(trial, plant) == {}


def test_samples_that_do_not_agree_with_iperf3(trial: MeasuredTrial) -> None:
    (flow,) = trial.flows
    assert flow.samples is not None
    for share, expected in ((0.98, "ok"), (0.9, "warn"), (0.5, "invalid")):
        kept = flow.samples.between(0, int(flow.samples.time_ns[-1] * share))
        checks = judge(replace(trial, flows=(replace(flow, samples=kept),)))
        (found,) = (check for check in checks if check.id == "instruments-agree")
        assert (share, found.verdict) == (share, expected)
        assert "bytes delivered" in found.found
    empty = flow.samples.between(-2, -1)
    assert not len(empty)
    checks = judge(replace(trial, flows=(replace(flow, samples=empty),)))
    assert {check.id: check.verdict for check in checks}["instruments-agree"] == "invalid"


def test_nothing_arrived(trial: MeasuredTrial) -> None:
    def plant(parts: Parts) -> None:
        parts.flow()["accounts"]["sides"]["arrived"]["declared"] |= {"bytes": 0, "again_bytes": 0, "first_ns": None}

    assert complaints(trial, plant)["iperf3-finished"] == "invalid"


def test_a_flow_with_an_amount_is_judged_by_it(trial: MeasuredTrial) -> None:
    done = trial.flows[0].received().bytes

    def asked(limit: int) -> Plant:
        def plant(parts: Parts) -> None:
            parts.job["flows"][0]["limit_bytes"] = limit

        return plant

    block = 16384
    assert complaints(trial, asked(done)) == {}
    assert complaints(trial, asked(done - 2 * block)) == {}
    assert complaints(trial, asked(done - 2 * block - 1)) == {"flow-duration": "invalid"}
    assert complaints(trial, asked(done + 1)) == {"flow-duration": "invalid"}


def test_a_trace_of_changes_only_does_not_have_all_bytes(trial: MeasuredTrial) -> None:
    (flow,) = trial.flows
    assert flow.samples is not None
    changes = np.flatnonzero(np.diff(flow.samples.snd_cwnd, prepend=0))[:3]
    few = flow.samples.between(int(flow.samples.time_ns[changes[0]]), int(flow.samples.time_ns[changes[-1]]))
    job: Any = copy.deepcopy(trial.job)
    job["collectors"]["tcp_probe"]["record"] = "cwnd_change"
    thinned = replace(trial, job=job, flows=(replace(flow, samples=few),))
    (found,) = (check for check in judge(thinned) if check.id == "instruments-agree")
    assert "bytes delivered" not in found.found


# --- other trials --------------------------------------------------------------------------------------------


def test_short_flows_that_do_not_complete(replayed: Replayed) -> None:
    trial = trial_of(replayed, "short_flows", "discipline-bfifo-r1")
    web = next(flow for flow in trial.flows if flow.name == "web")
    assert web.completions is not None
    number = len(web.completions)
    for unfinished, expected in ((0, "ok"), (1, "warn"), (number // 20 + 1, "invalid")):
        times = web.completions.fct_ns.copy()
        times[:unfinished] = 0
        changed = replace(web, completions=replace(web.completions, fct_ns=times))
        flows = tuple(changed if flow is web else flow for flow in trial.flows)
        (found,) = (check for check in judge(replace(trial, flows=flows)) if check.id == "short-flows")
        assert found.verdict == expected
        if unfinished:
            assert f"web: {number - unfinished} of {number} complete" in found.found


def test_a_capacity_file_is_followed_by_fq(replayed: Replayed) -> None:
    trial = trial_of(replayed, "capacity", "single-r1")

    def plant(parts: Parts) -> None:
        parts.qdisc("r1", "egress", "fq")["kind"] = "tbf"

    assert complaints(trial, plant) == {"rate-and-queue": "invalid"}


def test_a_link_that_changes_is_judged_by_its_last_state_and_its_mean(replayed: Replayed) -> None:
    trial = trial_of(replayed, "schedule", "cubic-r1")
    checks = {check.id: check for check in judge(trial)}
    assert checks["delay-and-loss"].verdict == "ok"
    assert "delay 15 ms, loss-random loss 0.01" in checks["delay-and-loss"].asked
    assert "loss that changes" in checks["netem-drops"].asked
    assert checks["achieved-rate"].verdict == "ok"
    assert checks["sender-qdisc"].verdict == "warn"

    def plant(parts: Parts) -> None:
        arrived = parts.flow()["accounts"]["sides"]["arrived"]["declared"]
        arrived["bytes"] = int(arrived["bytes"] * 1.15)

    assert complaints(trial, plant)["achieved-rate"] == "invalid"


def test_a_kernel_without_seeds(replayed: Replayed) -> None:
    trial = trial_of(replayed, "kernels", "kernel-debian-12-cubic-r1")
    assert {check.id: check.verdict for check in judge(trial)}["delay-and-loss"] == "ok"

    def in_real_time(parts: Parts) -> None:
        parts.record["engine"] = "native"

    assert complaints(trial, in_real_time) == {"delay-and-loss": "warn"}


def test_a_real_machine_is_judged_too(replayed: Replayed) -> None:
    trial = trial_of(replayed, "native", "cubic-r1")
    assert "quiet-machine" in {check.id for check in judge(trial)}

    def dropped(parts: Parts) -> None:
        parts.record["pressure"]["softnet_dropped"] = 3

    (found,) = (check for check in judge(planted(trial, dropped)) if check.id == "quiet-machine")
    assert (found.verdict, found.found.split(";")[0]) == ("invalid", "3 dropped (softnet)")


def test_udp_counts_with_its_own_headers(replayed: Replayed) -> None:
    trial = trial_of(replayed, "udp", "queue-fq_codel-100p-r1")
    checks = {check.id: check for check in judge(trial)}
    # Of each datagram, 42 bytes are headers of UDP, IP and Ethernet.
    wire = 0.0
    for flow in trial.flows:
        block = flow.client["start"]["test_start"]["blksize"]
        wire += flow.received().bytes * (block + 42) / block
    seconds = max(flow.received().seconds for flow in trial.flows)
    shown, unit, *_ = checks["achieved-rate"].found.split()
    assert float(shown) == pytest.approx(wire * 8 / seconds / 1e6, rel=0.001)
    assert unit == "Mbit/s"
    assert checks["receive-window"].found == "nothing to check"


def test_a_window_without_data(replayed: Replayed) -> None:
    trial = trial_of(replayed, "measured", "single-r1")
    assert {check.id: check.verdict for check in judge(trial)}["measured-window"] == "ok"
    for limit, expected in ((None, "warn"), (10_000, "invalid")):

        def plant(parts: Parts, limit: int | None = limit) -> None:
            parts.job["flows"][0]["limit_bytes"] = limit
            none = {"packets": 0, "bytes": 0, "again_bytes": 0, "first_ns": None, "last_ns": None}
            parts.flow()["accounts"]["sides"]["arrived"]["measured"] |= none

        assert complaints(trial, plant)["measured-window"] == expected


def test_a_window_in_which_no_short_flow_starts(replayed: Replayed) -> None:
    trial = trial_of(replayed, "measured", "single-r1")

    def plant(parts: Parts) -> None:
        (web,) = (flow for flow in parts.job["flows"] if flow["name"] == "web")
        web["measured"] = {"start_ns": 10**9, "end_ns": 10**9 + 1}

    assert complaints(trial, plant) == {"measured-window": "invalid"}


def test_a_window_of_a_few_round_trips(replayed: Replayed) -> None:
    trial = trial_of(replayed, "measured", "single-r1")

    def plant(parts: Parts) -> None:
        # The base RTT is 10 ms.
        parts.job["flows"][0]["measured"] = {"start_ns": 10**9, "end_ns": 10**9 + 95_000_000}

    assert complaints(trial, plant) == {"measured-window": "warn"}
