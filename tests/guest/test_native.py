# SPDX-License-Identifier: Apache-2.0
"""Test the native engine on the guest's kernel, which has everything that trials may need.

The tests check that trials run and that they leave nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.engine.uml.engine import UmlEngine
from lab.engine.vm.engine import VmEngine
from lab.job import kernels
from tests.conftest import FAST_AND_AT_NIGHT_VM, job_of
from tests.guest.own_guest import run_script

pytestmark = pytest.mark.vm


@pytest.fixture(scope="module", params=FAST_AND_AT_NIGHT_VM)
def done(
    engines: Callable[[str], VmEngine | UmlEngine],
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> dict[str, Any]:
    # A link with listed losses makes the agent pin a BPF program.
    lost = "topology.bottleneck.reverse.loss={model: list, packets: [1000000]}"
    collect = "collect={tcp_probe: , retrans: , drops: , states: }"
    job = job_of("duration=3s", collect, lost, loss="1%", kernel=request.param)
    asked = {"job": job, "tuned": {**job, "congestion_control_parameters": {"cubic": {"hystart": "0"}}}}
    script = Path(__file__).parent / "scripts" / "native.py"
    found: dict[str, Any] = run_script(engines(request.param), script, tmp_path_factory.mktemp("native"), asked)
    return {**found, "kernel": request.param}


def test_this_kernel_has_everything_for_native_trials(done: dict[str, Any]) -> None:
    lacking = {one["name"] for one in done["capabilities"] if not one["works"]}
    in_uml = {"struct_ops"}  # The kernel of User-mode Linux has no JIT compiler for BPF, which struct_ops needs.
    assert lacking == (in_uml if done["kernel"] in kernels.UML else set())
    assert len(done["capabilities"]) > 45


def test_a_trial_is_carried_out(done: dict[str, Any]) -> None:
    trial = done["trial"]
    record = trial["record"]
    assert (trial["status"], record["status"], record["engine"]) == (0, "ok", "native")
    assert 1e6 < trial["iperf3"]["end"]["sum_received"]["bits_per_second"] < 20e6
    assert record["collectors"]["tcp_probe"]["rows"] > 100
    assert record["collectors"]["retrans"]["rows"] > 0
    assert record["pressure"]["softnet_dropped"] == 0
    assert [qdisc["kind"] for port in record["interfaces"] for qdisc in port["qdiscs_after"]].count("netem") == 2
    assert trial["progress"] == sorted(trial["progress"])
    assert trial["progress"][-1] >= 2_000_000_000


@pytest.mark.parametrize("how", ["trial", "killed"])
def test_nothing_is_left(done: dict[str, Any], how: str) -> None:
    assert done[how]["before"]["processes"] == 0
    assert done[how]["after"] == done[how]["before"]


def test_there_was_something_to_leave(done: dict[str, Any]) -> None:
    during = done["killed"]["during"]
    assert during["processes"] >= 6
    assert during["namespaces"] >= 6
    # A running trial adds no links outside its namespaces.
    assert during["links"] == done["killed"]["before"]["links"]


def test_a_changed_parameter_is_put_back(done: dict[str, Any]) -> None:
    found = done["parameters"]
    assert (found["before"], found["changed"], found["after"]) == ("1", "0", "1")
    assert found["found"] == {"/sys/module/tcp_cubic/parameters/hystart": "1"}
    assert found["notes"] == []
    assert found["status"] == 9
