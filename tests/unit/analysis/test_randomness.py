# SPDX-License-Identifier: Apache-2.0
"""What makes repetitions differ, for each kind of random draw that an experiment can declare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab.analysis.randomness import RANDOM_DISCIPLINES, Randomness, randomness
from lab.experiment.read.load import load_experiment
from lab.job.protocol import Job
from lab.plan.plan import make_plan

PLAIN = "from: s1, to: d1"
PARETO = "amount: {distribution: pareto, mean: 24kB, shape: 1.2, largest: 1MB}"
EVENLY = "arrivals: {per_second: 2, process: constant}"


def jobs_of(tmp_path: Path, *, link: str = "", flow: str = PLAIN, more: str = "") -> list[Job]:
    """Return the jobs of three repetitions."""
    path = tmp_path / "experiment.yaml"
    bottleneck = "rate: 10mbit, delay: 10ms" + (f", {link}" if link else "")
    path.write_text(
        f"name: test\ntopology: {{kind: dumbbell, pairs: 1, bottleneck: {{{bottleneck}}}}}\n"
        f"flows:\n  bulk: {{{flow}}}\nduration: 10s\nrepeat: 3\n{more}"
    )
    return [trial.job for trial in make_plan(load_experiment(path).checked).trials]


def found(jobs: list[Job], engine: str = "uml", release: str = "7.3.0") -> Randomness:
    return randomness(jobs, engine, release)


@pytest.mark.parametrize(
    ("parts", "declared"),
    [
        ({}, ()),
        ({"link": "loss: 1%"}, ("random loss",)),
        ({"link": "loss: {model: gemodel, p: 1%, r: 20%}"}, ("random loss",)),
        ({"link": "loss: {model: list, packets: [5, 9]}"}, ()),
        ({"link": "jitter: 1ms"}, ("jitter",)),
        ({"link": "duplicate: 1%, corrupt: 1%"}, ("duplication", "corruption")),
        ({"link": "reorder: {probability: 1%}"}, ("reordering",)),
        ({"link": "reverse: {loss: 1%}"}, ("random loss",)),
        ({"link": "schedule: [{at: 5s, loss: 2%}]"}, ("random loss",)),
        ({"link": "schedule: [{at: 5s, loss: 100%}, {at: 6s, loss: 0%}]"}, ()),
        ({"more": "start_jitter: 100ms\n"}, ("start times",)),
        ({"flow": f"{PLAIN}, amount: 50kB, arrivals: {{per_second: 2}}"}, ("arrivals of short flows",)),
        ({"flow": f"{PLAIN}, amount: 50kB, {EVENLY}"}, ()),
        (
            # A constant process has the same times after the start of its flow, wherever jitter moves that.
            {"flow": f"{PLAIN}, amount: 50kB, {EVENLY}", "more": "start_jitter: 1s\n"},
            ("start times",),
        ),
        (
            {"flow": f"{PLAIN}, {PARETO}, {EVENLY}"},
            ("sizes of short flows",),
        ),
        ({"flow": f"{PLAIN}, {PARETO}"}, ("amounts of data",)),
    ],
)  # fmt: skip
def test_each_declared_draw_is_found(parts: dict[str, Any], declared: tuple[str, ...], tmp_path: Path) -> None:
    result = found(jobs_of(tmp_path, **parts))
    assert result.declared == declared
    assert result.can_differ == bool(declared)


@pytest.mark.parametrize("discipline", RANDOM_DISCIPLINES)
def test_what_the_kernel_draws_is_the_same_in_all_repetitions_of_virtual_time(discipline: str, tmp_path: Path) -> None:
    jobs = jobs_of(tmp_path, link=f"queue: {{discipline: {discipline}}}", flow=f"{PLAIN}, cc: bbr")
    exact = found(jobs)
    assert (exact.declared, len(exact.of_kernel), exact.can_differ) == ((), 2, False)
    assert str(exact) == "nothing in it is random"
    assert discipline in exact.of_kernel[0]
    # Before Linux 6.6, netem has no seeds, and the whole generator is seeded for each trial instead.
    assert found(jobs, "vm", "6.1.0-37-amd64").can_differ
    assert not found(jobs, "vm", "6.12.48+deb13-amd64").can_differ
    assert found(jobs, "native", "6.12.0").can_differ


def test_nothing_is_random_even_for_old_kernels_if_nothing_draws(tmp_path: Path) -> None:
    jobs = jobs_of(tmp_path)
    assert not found(jobs, "vm", "6.1.0-37-amd64").can_differ
    assert str(found(jobs, "native")) == "the course of real time is random"


def test_the_clause_names_everything(tmp_path: Path) -> None:
    jobs = jobs_of(tmp_path, link="loss: 1%, jitter: 1ms", more="start_jitter: 100ms\n")
    assert str(found(jobs)) == "random loss, jitter and start times are random"
