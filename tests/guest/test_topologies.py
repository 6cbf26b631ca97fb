# SPDX-License-Identifier: Apache-2.0
"""Test the shapes of networks that the agent has built: every host sends a datagram to every other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.engine.uml.engine import UmlEngine
from lab.engine.vm.engine import VmEngine
from tests.conftest import FAST_AND_AT_NIGHT_VM
from tests.guest.dumbbell import job_on
from tests.guest.own_guest import run_script

pytestmark = pytest.mark.vm

SHAPES: dict[str, tuple[dict[str, Any], int]] = {
    "dumbbell": ({"kind": "dumbbell", "pairs": 25, "bottleneck": {"rate": "100mbit", "delay": "1ms"}}, 50),
    "parking-lot": ({"kind": "parking-lot", "hops": 3, "bottleneck": {"rate": "100mbit", "delay": "1ms"}}, 8),
    "star": ({"kind": "star", "hosts": 6}, 6),
    "star of a switch": ({"kind": "star", "hosts": 6, "centre": "switch"}, 6),
    "linear": ({"kind": "linear", "hosts": 4}, 4),
    "linear of switches": ({"kind": "linear", "hosts": 4, "centre": "switch"}, 4),
    "tree": ({"kind": "tree", "depth": 2, "fanout": 3}, 9),
    "tree of routers": ({"kind": "tree", "depth": 2, "fanout": 3, "centre": "router"}, 9),
    "custom": (
        {
            "kind": "custom",
            "nodes": {
                **dict.fromkeys(("h1", "h2", "h3", "h4"), "host"),
                **dict.fromkeys(("w1", "w2"), "switch"),
                **dict.fromkeys(("r1", "r2", "r3"), "router"),
            },
            "links": {
                "a": {"from": "h1", "to": "w1"},
                "b": {"from": "h2", "to": "w2"},
                "c": {"from": "w1", "to": "w2"},
                "d": {"from": "w1", "to": "r1"},
                "e": {"from": "w2", "to": "r2"},
                "f": {"from": "r1", "to": "r3"},
                "g": {"from": "r2", "to": "r3"},
                "h": {"from": "r3", "to": "h3"},
                "i": {"from": "r2", "to": "h4", "rate": "10mbit", "delay": "1ms"},
            },
        },
        4,
    ),
}

ROUTERS_BETWEEN = {
    "dumbbell": {("s1", "d1"): 2, ("s1", "s2"): 1, ("d25", "s25"): 2},
    "parking-lot": {("s0", "d0"): 4, ("s1", "d1"): 2, ("s3", "d3"): 2, ("s1", "d3"): 4},
    "star": {("h1", "h6"): 1},
    "star of a switch": {("h1", "h6"): 0},
    "linear": {("h1", "h4"): 4, ("h2", "h3"): 2},
    "linear of switches": {("h1", "h4"): 0},
    "tree": {("h1", "h9"): 0},
    "tree of routers": {("h1", "h2"): 1, ("h1", "h9"): 3},
    "custom": {("h1", "h2"): 0, ("h1", "h3"): 2, ("h1", "h4"): 1, ("h3", "h4"): 2},
}


Answers = dict[str, dict[str, Any]]


def _asked(ip: str) -> dict[str, Any]:
    asked = {}
    for name, (shape, hosts) in SHAPES.items():
        ends = ("s1", "d1") if name == "dumbbell" else ("s0", "d0") if name == "parking-lot" else ("h1", "h2")
        job = job_on(shape, *ends, ip=ip)
        assert sum(node["role"] == "host" for node in job["nodes"]) == hosts
        asked[name] = ("everyone", job)
    return asked


@pytest.fixture(scope="module", params=FAST_AND_AT_NIGHT_VM)
def kernel(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=["ipv4", pytest.param("ipv6", marks=pytest.mark.nightly)])
def answers(
    engines: Callable[[str], VmEngine | UmlEngine],
    kernel: str,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Answers:
    """What arrived in each of the networks, with one version of IP."""
    script = Path(__file__).parent / "scripts" / "links.py"
    found: Answers = run_script(engines(kernel), script, tmp_path_factory.mktemp("shapes"), _asked(request.param))
    return found


@pytest.mark.parametrize("name", SHAPES)
def test_every_host_reaches_every_other_through_the_routers_between(answers: Answers, name: str) -> None:
    arrived = answers[name]["arrived"]
    hosts = SHAPES[name][1]
    assert len(arrived) == hosts * (hosts - 1)
    for (source, destination), routers in ROUTERS_BETWEEN[name].items():
        assert 64 - arrived[f"{source} {destination}"] == routers


@pytest.mark.parametrize("name", SHAPES)
def test_nodes_send_no_packets_of_their_own(answers: Answers, name: str) -> None:
    assert set(answers[name]["multicast"].values()) == {0}
