# SPDX-License-Identifier: Apache-2.0
"""A stored plan whose jobs would lead somewhere else: it is refused before an engine sees it, whatever its digests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.errors import InputError
from lab.experiment.read.load import load_experiment
from lab.plan.plan import Plan, make_plan
from lab.store.digest import digest_of
from tests.data.capture import EXPERIMENTS

SHIPPED = sorted((Path(__file__).parents[3] / "experiments").glob("*.yaml"))
Job = dict[str, Any]


def queue(job: Job) -> dict[str, Any]:
    found: dict[str, Any] = next(link["ab"]["queue"] for link in job["links"] if link["ab"]["queue"])
    return found


EVIL: dict[str, tuple[Callable[[Job], object], str]] = {
    "module": (
        lambda job: job["congestion_control_parameters"].update({"x/../../../tmp": {"a": "1"}}),
        "expected the name of an algorithm",
    ),
    "module parameter": (
        lambda job: job["congestion_control_parameters"].update({"cubic": {"../../../../tmp/evil": "1"}}),
        "expected the name of a module's parameter",
    ),
    "module value": (
        lambda job: job["congestion_control_parameters"].update({"cubic": {"hystart": "1\n2"}}),
        "expected a value of letters",
    ),
    "sysctl": (
        lambda job: job["nodes"][0].update(
            settings={"sysctls": {"net./../../tmp/x": "1"}, "initial_window": None, "queue": None, "offloads": None}
        ),
        "expected a sysctl of the network",
    ),
    "algorithm": (lambda job: job["flows"][0].update(congestion_control="-a b"), "expected an algorithm"),
    "node": (lambda job: job["nodes"][0].update(name="s1\nx"), "expected the name of a node"),
    "node with a slash": (lambda job: job["nodes"][0].update(name="../s1"), "expected the name of a node"),
    "flow": (lambda job: job["flows"][0].update(name="../../f"), "expected the name of a flow or probe"),
    "discipline": (lambda job: queue(job).update(discipline="fq; id"), "expected bfifo, pfifo"),
    "parameter of tc": (lambda job: queue(job)["parameters"].update({"a\nqdisc": 1}), "expected a parameter of tc"),
    "value of tc": (lambda job: queue(job)["parameters"].update({"target": "1\nqdisc"}), "expected a single word"),
    "kernel": (lambda job: job.update(kernel="deb-../../x"), "expected the name of a kernel"),
    "collector": (lambda job: job["collectors"].update({"evil": {}}), "unknown collector evil"),
    "option": (lambda job: job["collectors"].update({"drops": {"host": "a/b"}}), "or the name or address of a host"),
    "bomb": (
        lambda job: job["links"][0]["ab"].update(
            rate_bps=8, queue=queue(job), capacity={"counts": "!", "period_ms": 1, "packet_bytes": 1514}
        ),
        "expected the numbers of opportunities",
    ),
}


def changed(change: Callable[[Job], object]) -> str:
    plan = make_plan(load_experiment(EXPERIMENTS / "loss.yaml").checked)
    document = json.loads(plan.to_json())
    for trial in document["trials"]:
        change(trial["job"])
        trial["digest"] = digest_of(trial["job"])
    return json.dumps(document)


@pytest.mark.parametrize("name", EVIL)
def test_words_that_lead_elsewhere(name: str) -> None:
    change, message = EVIL[name]
    with pytest.raises(InputError, match=message):
        Plan.from_json(changed(change))


@pytest.mark.parametrize("trial", ["../../x", "a/b", "", "."])
def test_a_trial_whose_folder_is_elsewhere(trial: str) -> None:
    text = changed(lambda _job: None).replace('"id": "cubic-loss-0pct-r1"', f'"id": "{trial}"')
    with pytest.raises(InputError, match="cannot be used as a file name"):
        Plan.from_json(text)


@pytest.mark.parametrize("path", [*SHIPPED, *sorted(EXPERIMENTS.glob("*.yaml"))], ids=lambda path: path.stem)
def test_plans_of_experiments_are_read_back(path: Path) -> None:
    plan = make_plan(load_experiment(path).checked)
    assert Plan.from_json(plan.to_json()) == plan
